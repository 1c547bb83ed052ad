import { randomBytes } from 'node:crypto';
import {
  createKeyPair,
  createProof,
  type KeyPair,
  type ProofUser,
  publicKeyOf,
  seal,
} from '@coffer/identity';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import type { Mapping, Operation, Secret, SecretQuery } from '../backend/options.js';
import { encodePut } from '../protocol/encode-secret.js';
import { errorFromText, SecretsError, told } from '../protocol/errors.js';
import { HOST_XKEY, PROOF } from '../protocol/headers.js';
import { readJson } from '../protocol/json.js';
import { mappingsSchema, putAnswerSchema } from '../protocol/messages.js';
import { type BackendAddress, operationSubject } from '../protocol/subjects.js';
import { openAnswer, openSecret, strange } from './answers.js';
import { ask, type Limits } from './ask.js';
import { retrying } from './retry.js';
import { TransitKey } from './transit-key.js';

export interface AdminClientOptions extends BackendAddress {
  /** Connected. Whoever made it closes it. */
  readonly nats: NatsConnection;
  /** The backend's transit key, public or as its seed, which is not kept; default: the backend is asked. */
  readonly transitKey?: string | undefined;
  /** Shows who asks: each request is signed for the backend, which then lets grants decide. Default: NATS alone decides. */
  readonly proofUser?: ProofUser | undefined;
  /** For one attempt; default 10,000. */
  readonly timeoutMs?: number | undefined;
  /** For a request with all its attempts; default 30,000. */
  readonly deadlineMs?: number | undefined;
}

/** About one request. */
export interface AdminRequestOptions {
  /** The id of a change, which is then made once, however often it is asked for; default a random one. Signed requests only. */
  readonly operationId?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 10_000;
const DEADLINE_MS = 30_000;
const ID_BYTES = 16;

/**
 * Administers a backend that has secrets-nats-kv's operations, and coffer's own over them, through NATS.
 *
 * It asks again where nobody has answered, but an unsigned change only as long as it cannot have been made.
 */
export class AdminClient {
  readonly #options: AdminClientOptions;
  readonly #given: string | undefined;
  readonly #asked: TransitKey;

  /**
   * @throws TypeError for a name or prefix that can be none; IdentityError for a transit key that is none
   */
  constructor(options: AdminClientOptions) {
    const { transitKey } = options;
    this.#options = options;
    this.#given = transitKey?.startsWith('S') ? publicKeyOf(transitKey) : transitKey;
    this.#asked = new TransitKey(options.nats, options);
  }

  /** Puts a value, which is then the current one, and answers with the number of its version. */
  async putSecret(
    key: string,
    value: { readonly kind: Secret['kind']; readonly value: Uint8Array },
    options: AdminRequestOptions = {},
  ): Promise<number> {
    const message = encodePut(key, value);
    try {
      return await this.#send({ operation: 'put_secret', message, change: true }, options, revisionIn);
    } finally {
      message.fill(0);
    }
  }

  /** Lets a component (`M…`) or provider (`V…`) have secrets. */
  async addMapping(entity: string, names: readonly string[], options: AdminRequestOptions = {}) {
    await this.#editMapping('add_mapping', entity, names, options);
  }

  async removeMapping(entity: string, names: readonly string[], options: AdminRequestOptions = {}) {
    await this.#editMapping('remove_mapping', entity, names, options);
  }

  /** coffer's own. @param entity undefined: of all */
  async listMappings(entity?: string, options: AdminRequestOptions = {}): Promise<readonly Mapping[]> {
    return await this.#send(
      { operation: 'list_mappings', entity, message: Buffer.from('{}') },
      options,
      (answer, own) => openAnswer(answer, own, mappingsSchema).mappings,
    );
  }

  /** coffer's own: as a person, not as a component. The bytes are the caller's to wipe. */
  async getSecret(query: SecretQuery, options: AdminRequestOptions = {}): Promise<Secret> {
    const { key, field, version } = query;
    const message = Buffer.from(JSON.stringify({ key, field, version }));
    return await this.#send({ operation: 'get_secret', message }, options, openSecret);
  }

  async #editMapping(
    operation: 'add_mapping' | 'remove_mapping',
    entity: string,
    names: readonly string[],
    options: AdminRequestOptions,
  ): Promise<void> {
    const plain = Buffer.from(JSON.stringify(names));
    await this.#send({ operation, entity, plain, change: true }, options, ({ data }) => {
      const text = Buffer.from(data).toString();
      if (text !== 'ok') throw errorFromText(text);
    });
  }

  async #send<T>(
    request: AdminRequest,
    { operationId = randomBytes(ID_BYTES).toString('base64url'), signal }: AdminRequestOptions,
    read: (answer: Msg, own: KeyPair) => T,
  ): Promise<T> {
    const { timeoutMs = TIMEOUT_MS, deadlineMs = DEADLINE_MS, proofUser } = this.#options;
    const repeatable = !request.change || proofUser !== undefined;
    let renewed = false;
    const attempt = async (timeout: number): Promise<T> => {
      const limits = { timeoutMs: timeout, signal };
      const key = await this.#transitKey(request, limits);
      try {
        return await this.#ask(request, key, operationId, limits, read);
      } catch (error) {
        if (key === undefined || renewed || !(await this.#isGone(error, key, limits))) throw error;
        renewed = true;
        return await attempt(timeout);
      }
    };
    return await retrying(attempt, { deadlineMs, timeoutMs, signal, repeatable });
  }

  async #ask<T>(
    request: AdminRequest,
    transitKey: string | undefined,
    id: string,
    limits: Limits,
    read: (answer: Msg, own: KeyPair) => T,
  ): Promise<T> {
    const { nats, proofUser } = this.#options;
    const { operation, entity, message, plain } = request;
    using own = createKeyPair('curve');
    const subject = operationSubject(this.#options, operation, entity);
    const payload = message && transitKey ? seal(message, own, transitKey) : (plain ?? new Uint8Array(0));
    const proof =
      proofUser &&
      createProof({
        ...proofUser,
        id,
        audience: `xkey:${transitKey}`,
        request: { method: 'NATS', path: `/${subject}`, body: payload },
      });
    const headers = { [HOST_XKEY]: own.publicKey, ...(proof && { [PROOF]: proof }) };
    return read(await ask(nats, { subject, payload, headers, ...limits }), own);
  }

  /** Undefined where a request is neither sealed nor signed. */
  async #transitKey({ message }: AdminRequest, limits: Limits): Promise<string | undefined> {
    if (message === undefined && this.#options.proofUser === undefined) return undefined;
    return this.#given ?? (await this.#asked.get(limits));
  }

  async #isGone(error: unknown, key: string, limits: Limits): Promise<boolean> {
    if (this.#given !== undefined) return false;
    if (!(error instanceof SecretsError) || error.code !== 'DecryptionError') return false;
    return await this.#asked.renew(key, limits);
  }
}

interface AdminRequest {
  readonly operation: Exclude<Operation, 'unknown'>;
  readonly entity?: string | undefined;
  /** To be sealed. */
  readonly message?: Uint8Array | undefined;
  /** To be sent as it is. */
  readonly plain?: Uint8Array | undefined;
  readonly change?: boolean;
}

function revisionIn({ data }: Msg): number {
  const answer = readJson(putAnswerSchema, data);
  if (answer === undefined) throw strange();
  if (answer.error) throw told(answer.error);
  return answer.revision;
}
