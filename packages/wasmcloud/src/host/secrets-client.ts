import { createKeyPair, seal } from '@coffer/identity';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Application, Secret, SecretQuery } from '../backend/options.js';
import { SecretsError } from '../protocol/errors.js';
import { HOST_XKEY } from '../protocol/headers.js';
import type { SecretRequest } from '../protocol/messages.js';
import { operationSubject } from '../protocol/subjects.js';
import { openSecret } from './answers.js';
import { ask } from './ask.js';
import { retrying } from './retry.js';
import { TransitKey } from './transit-key.js';

export interface SecretsClientOptions {
  /** Connected. Whoever made it closes it. */
  readonly nats: NatsConnection;
  /** Default `wasmcloud.secrets`. */
  readonly prefix?: string | undefined;
  /** For one attempt; default 10,000, as wasmCloud's hosts have it. */
  readonly timeoutMs?: number | undefined;
  /** For a `get` with all its attempts; default 30,000. */
  readonly deadlineMs?: number | undefined;
}

/** Which secret a host asks for, and in whose name. */
export interface HostRequest extends SecretQuery {
  /** The name of the backend, as `nats-kv`. */
  readonly backend: string;
  /** The token of the component or provider. */
  readonly entityJwt: string;
  readonly hostJwt: string;
  readonly application?: Partial<Application> | undefined;
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 10_000;
const DEADLINE_MS = 30_000;

/**
 * The host's side of the protocol: fetches secrets from any backend on NATS, as a wasmCloud host does, and more patiently: where
 * nobody answers, or the backend is busy, it asks again.
 *
 * @example
 * const secrets = new SecretsClient({ nats: await connect({ servers: 'nats://127.0.0.1:4222' }) });
 * const { value } = await secrets.get({ backend: 'nats-kv', key: 'db/password', entityJwt, hostJwt });
 */
export class SecretsClient {
  readonly #nats: NatsConnection;
  readonly #prefix: string | undefined;
  readonly #timeoutMs: number;
  readonly #deadlineMs: number;
  readonly #transitKeys = new Map<string, TransitKey>();

  constructor({ nats, prefix, timeoutMs = TIMEOUT_MS, deadlineMs = DEADLINE_MS }: SecretsClientOptions) {
    this.#nats = nats;
    this.#prefix = prefix;
    this.#timeoutMs = timeoutMs;
    this.#deadlineMs = deadlineMs;
  }

  /**
   * Fetches a secret. Each request is sealed from a key made for it alone.
   *
   * @returns the secret, whose bytes are the caller's to wipe
   * @throws SecretsError what the backend has answered; NoAnswerError; the signal's reason; TypeError for a backend's name that
   *   can be none
   */
  async get(request: HostRequest): Promise<Secret> {
    const { backend, signal } = request;
    const address = { name: backend, prefix: this.#prefix };
    const subject = operationSubject(address, 'get');
    let known = this.#transitKeys.get(backend);
    if (known === undefined) {
      known = new TransitKey(this.#nats, address);
      this.#transitKeys.set(backend, known);
    }
    const transitKey = known;
    let renewed = false;
    const attempt = async (timeoutMs: number): Promise<Secret> => {
      const limits = { timeoutMs, signal };
      const key = await transitKey.get(limits);
      try {
        return await this.#ask(subject, key, request, timeoutMs);
      } catch (error) {
        const gone = error instanceof SecretsError && error.code === 'DecryptionError';
        if (!gone || renewed || !(await transitKey.renew(key, limits))) throw error;
        renewed = true;
        return await attempt(timeoutMs);
      }
    };
    return await retrying(attempt, {
      deadlineMs: this.#deadlineMs,
      timeoutMs: this.#timeoutMs,
      signal,
      repeatable: true,
    });
  }

  async #ask(subject: string, transitKey: string, request: HostRequest, timeoutMs: number): Promise<Secret> {
    using own = createKeyPair('curve');
    const payload = seal(Buffer.from(JSON.stringify(messageOf(request))), own, transitKey);
    const headers = { [HOST_XKEY]: own.publicKey };
    const { signal } = request;
    return openSecret(await ask(this.#nats, { subject, payload, headers, timeoutMs, signal }), own);
  }
}

function messageOf({ key, field, version, entityJwt, hostJwt, application }: HostRequest): SecretRequest {
  const { name = null, policy = '' } = application ?? {};
  return {
    key,
    field: field ?? null,
    version: version ?? null,
    context: { entity_jwt: entityJwt, host_jwt: hostJwt, application: { name, policy } },
  };
}
