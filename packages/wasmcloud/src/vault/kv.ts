import { isUtf8 } from 'node:buffer';
import { z } from 'zod';
import { membersIn, partAt, plainJson, textOf } from '../backend/json-at.js';
import type { Secret } from '../backend/options.js';
import { SourceReason } from '../backend/source-reason.js';
import { SecretsError } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';
import type { VaultApi } from './api.js';
import { Forbidden } from './forbidden.js';
import type { Patience, VaultAnswer } from './http.js';
import type { ClientToken } from './login.js';
import type { KvMounts, KvVersion } from './mounts.js';
import type { VaultReference } from './reference.js';
import { wordsOf } from './words.js';

/** Version 1 does not number what it holds, and holds nothing older. */
const UNNUMBERED = 'current';

/**
 * Reads secrets of Vault's engine KV, of both its versions. A secret is a JSON object: one of its fields, as text if it is one
 * and else as JSON, or all of it, as JSON.
 *
 * Source of the format: Vault's HTTP API, secrets engines KV version 1 and 2.
 */
export class VaultKv {
  readonly #api: VaultApi;
  readonly #mounts: KvMounts;

  constructor(api: VaultApi, mounts: KvMounts) {
    this.#api = api;
    this.#mounts = mounts;
  }

  /**
   * @param asker whose token is asked for each request, since it may be good for few
   * @throws Forbidden; SecretsError `SecretNotFound`, with the reason as its cause, `PolicyError`, `UpstreamError`
   */
  async read(
    reference: VaultReference,
    { owner, client }: { readonly owner: string; readonly client: () => Promise<ClientToken> },
    patience: Patience,
  ): Promise<Secret> {
    const mounts = this.#mounts;
    const asked = async () => mounts.ask(reference, { owner, client: await client() });
    const kv = mounts.known(reference) ?? (await asked());
    const answer = await this.#ask(kv, reference, await client(), patience);
    if (answer.status !== 404) return secretIn(kv, reference, answer);
    const gone = notFound(answer);
    // What was there a while ago may be of the other version by now.
    const now = mounts.justAsked(reference) ?? (await asked());
    if (now === kv) throw gone;
    return secretIn(now, reference, await this.#ask(now, reference, await client(), patience));
  }

  #ask(
    kv: KvVersion,
    reference: VaultReference,
    client: ClientToken,
    patience: Patience,
  ): Promise<VaultAnswer> {
    const { enginePath, key, version } = reference;
    if (kv === 1 && version !== undefined) {
      throw new SecretsError('UpstreamError', 'KV of version 1 keeps no versions: name none');
    }
    const numbered = version === undefined ? '' : `?version=${version}`;
    const path = kv === 2 ? `${enginePath}/data/${key}${numbered}` : `${enginePath}/${key}`;
    return this.#api.ask({ method: 'GET', path, namespace: client.namespace, token: client.token }, patience);
  }
}

function secretIn(kv: KvVersion, { field }: VaultReference, answer: VaultAnswer): Secret {
  const { status, body } = answer;
  if (status === 404) throw notFound(answer);
  try {
    if (status === 403) throw new Forbidden(wordsOf(body));
    if (status !== 200) throw new SecretsError('UpstreamError', `Vault answers ${status}: ${wordsOf(body)}`);
    const { version, object } =
      kv === 2 ? numbered(body) : { version: UNNUMBERED, object: partAt(body, ['data']) };
    if (version === undefined || object === undefined || object[0] !== OPEN) throw foreign();
    return {
      version,
      kind: 'string',
      value: field === undefined ? plainJson(object) : fieldOf(object, field),
    };
  } finally {
    body.fill(0);
  }
}

const [OPEN, QUOTE] = Buffer.from('{"');

/** What version 2 answers with, in parts of the answer's memory. */
function numbered(body: Uint8Array): { version: string | undefined; object: Uint8Array | undefined } {
  const data = membersOf(partAt(body, ['data']));
  const number = membersOf(data?.get('metadata'))?.get('version');
  const text = number && Buffer.from(number).toString('latin1');
  return {
    version: text !== undefined && /^\d{1,16}$/.test(text) ? text : undefined,
    object: data?.get('data'),
  };
}

const membersOf = (part: Uint8Array | undefined) => part && membersIn(part);

function fieldOf(object: Uint8Array, field: string): Uint8Array {
  const json = membersIn(object)?.get(field);
  if (json === undefined) throw absent(`it has no field ${JSON.stringify(field)}`);
  const value = json[0] === QUOTE ? textOf(json) : plainJson(json);
  if (isUtf8(value)) return value;
  value.fill(0);
  throw foreign();
}

const goneSchema = z.object({
  data: z.object({
    metadata: z.object({ version: z.int(), destroyed: z.boolean(), deletion_time: z.string() }),
  }),
});

function notFound({ body }: VaultAnswer): SecretsError {
  const { data } = readJson(goneSchema, body) ?? {};
  body.fill(0);
  if (data === undefined) return absent('there is none, or not in this version');
  const { version, destroyed } = data.metadata;
  return absent(`version ${version} is ${destroyed ? 'destroyed' : 'deleted'}`);
}

const absent = (why: string): SecretsError =>
  new SecretsError('SecretNotFound', '', { cause: new SourceReason(`the secret is not in Vault: ${why}`) });
const foreign = (): SecretsError =>
  new SecretsError('UpstreamError', 'Vault gives an answer that KV does not give');
