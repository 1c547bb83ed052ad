import { z } from 'zod';
import { SecretsError } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';
import type { VaultApi } from './api.js';
import { Flights } from './flights.js';
import { Forbidden } from './forbidden.js';
import type { ClientToken } from './login.js';
import type { VaultReference } from './reference.js';
import { wordsOf } from './words.js';

export type KvVersion = 1 | 2;

const MOST = 1_000;
/** What was asked for in this time is not asked for again because a secret is not there. */
const AGAIN_MS = 2_000;

const mountSchema = z.object({
  data: z.object({
    path: z.string(),
    type: z.string(),
    options: z.object({ version: z.string().optional() }).nullish(),
  }),
});

type Mount = z.output<typeof mountSchema>['data'];

interface Known {
  readonly version: KvVersion;
  readonly asked: number;
}

/** Knows of which version of KV an engine is: asked for once, as Vault's own command line does, and remembered. */
export class KvMounts {
  readonly #api: VaultApi;
  readonly #all: KvVersion | undefined;
  readonly #timeoutMs: number;
  readonly #known = new Map<string, Known>();
  readonly #flights = new Flights<Known>();

  /** @param all the version of all engines, where it is known */
  constructor(api: VaultApi, all: KvVersion | undefined, timeoutMs: number) {
    this.#api = api;
    this.#all = all;
    this.#timeoutMs = timeoutMs;
  }

  /** @throws Forbidden; SecretsError `PolicyError`, `UpstreamError` */
  async versionOf(reference: VaultReference, client: ClientToken): Promise<KvVersion> {
    if (this.#all !== undefined) return this.#all;
    const known = this.#known.get(keyOf(reference));
    if (known !== undefined) return known.version;
    // Who may not know it is in the way of nobody who may: each asks with its own token.
    const key = `${client.token}\n${keyOf(reference)}`;
    return (await this.#flights.run(key, () => this.#ask(reference, client))).version;
  }

  /** The same, asked anew unless it was just now. */
  async versionAgain(reference: VaultReference, client: ClientToken): Promise<KvVersion> {
    const known = this.#known.get(keyOf(reference));
    if (known !== undefined && performance.now() - known.asked >= AGAIN_MS)
      this.#known.delete(keyOf(reference));
    return this.versionOf(reference, client);
  }

  async #ask(reference: VaultReference, { namespace, token }: ClientToken): Promise<Known> {
    const asked = performance.now();
    const path = `sys/internal/ui/mounts/${reference.enginePath}`;
    const { status, body } = await this.#api.ask(
      { method: 'GET', path, namespace, token },
      { until: asked + this.#timeoutMs },
    );
    if (status === 403) throw new Forbidden(wordsOf(body));
    const { data } = readJson(mountSchema, body) ?? {};
    if (status !== 200 || data === undefined) {
      throw new SecretsError(
        'UpstreamError',
        `Vault does not tell what is mounted at ${reference.engine} (${status})`,
      );
    }
    const known = { version: kvVersion(reference.engine, data), asked };
    this.#known.set(keyOf(reference), known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MOST) break;
      this.#known.delete(oldest);
    }
    return known;
  }
}

const keyOf = ({ namespace = '', enginePath }: VaultReference): string => `${namespace}\n${enginePath}`;

/** Of other engines, such as those that make credentials, nothing is read: each read would make some. */
function kvVersion(engine: string, { path, type, options }: Mount): KvVersion {
  const mount = path.replace(/\/$/, '');
  if (type !== 'kv' && type !== 'generic') {
    throw new SecretsError(
      'PolicyError',
      `the engine ${engine} in Vault holds no KV secrets, but is of type ${type}`,
    );
  }
  if (mount !== engine) {
    throw new SecretsError(
      'PolicyError',
      `${engine} is a folder of the engine ${mount} in Vault: it belongs to the key`,
    );
  }
  return options?.version === '2' ? 2 : 1;
}
