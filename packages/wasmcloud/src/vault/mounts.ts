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

/** Of engines, and of those that one owner has asked for: an engine has as many names as there are namespaces to think of. */
const MOST = 1_000;
const SHARE = 10;
/** What was asked for in this time is not asked for again because a secret is not there. */
const AGAIN_MS = 2_000;
/** Another engine may be where one was. */
const KNOWN_MS = 5 * 60 * 1000;

const mountSchema = z.object({
  data: z.object({
    path: z.string(),
    type: z.string(),
    options: z.object({ version: z.string().optional() }).nullish(),
  }),
});

type Mount = z.output<typeof mountSchema>['data'];
type EnginePlace = Pick<VaultReference, 'namespace' | 'engine' | 'enginePath'>;

interface Known {
  readonly version: KvVersion;
  readonly asked: number;
  /** Who asked for it first. */
  readonly owner: string;
}

/** Who asks for an engine. */
export interface MountAsker {
  readonly owner: string;
  readonly client: ClientToken;
}

export interface MountsOptions {
  readonly timeoutMs: number;
  /** So many are known, and of those that one owner has asked for. */
  readonly bounds?: { readonly most: number; readonly share: number };
  /** An engine that is pushed out by none, and its version where Vault does not say it. */
  readonly standing?: (EnginePlace & { readonly version: KvVersion | undefined }) | undefined;
}

/** Knows of which version of KV an engine is: asked for, as Vault's own command line does, and remembered for some minutes. */
export class KvMounts {
  readonly #api: VaultApi;
  readonly #options: MountsOptions;
  readonly #known = new Map<string, Known>();
  readonly #flights = new Flights<Known>();

  constructor(api: VaultApi, options: MountsOptions) {
    this.#api = api;
    this.#options = options;
  }

  /** Undefined: it has to be asked for. */
  known(reference: EnginePlace): KvVersion | undefined {
    return this.#current(reference, KNOWN_MS)?.version;
  }

  /** The same unless it was asked for some time ago. */
  justAsked(reference: EnginePlace): KvVersion | undefined {
    return this.#current(reference, AGAIN_MS)?.version;
  }

  /** @throws Forbidden; SecretsError `PolicyError`, `UpstreamError` */
  async ask(reference: EnginePlace, asker: MountAsker): Promise<KvVersion> {
    // Who may not know it is in the way of nobody who may: each asks with its own token.
    const key = `${asker.client.token}\n${keyOf(reference)}`;
    return (await this.#flights.run(key, () => this.#ask(reference, asker))).version;
  }

  #current(reference: EnginePlace, withinMs: number): Known | undefined {
    const known = this.#known.get(keyOf(reference));
    return known !== undefined && performance.now() - known.asked < withinMs ? known : undefined;
  }

  async #ask(reference: EnginePlace, { owner, client }: MountAsker): Promise<Known> {
    const { namespace, token } = client;
    const asked = performance.now();
    const path = `sys/internal/ui/mounts/${reference.enginePath}`;
    const { status, body } = await this.#api.ask(
      { method: 'GET', path, namespace, token },
      { until: asked + this.#options.timeoutMs },
    );
    const told = this.#isStanding(keyOf(reference)) ? this.#options.standing?.version : undefined;
    if (status === 403 && told) return this.#remember(reference, { version: told, asked, owner });
    if (status === 403) throw new Forbidden(wordsOf(body));
    const { data } = readJson(mountSchema, body) ?? {};
    if (status !== 200 || data === undefined) {
      throw new SecretsError(
        'UpstreamError',
        `Vault does not tell what is mounted at ${reference.engine} (${status})`,
      );
    }
    return this.#remember(reference, { version: kvVersion(reference.engine, data), asked, owner });
  }

  #remember(reference: EnginePlace, known: Known): Known {
    const { most, share } = this.#options.bounds ?? { most: MOST, share: SHARE };
    const key = keyOf(reference);
    const { owner } = this.#known.get(key) ?? known;
    this.#known.delete(key);
    this.#known.set(key, { ...known, owner });
    const all = [...this.#known].filter(([key]) => !this.#isStanding(key));
    const own = all.filter((one) => one[1].owner === owner);
    const [oldest] = own.length > share ? own : all;
    if (oldest && (own.length > share || all.length > most)) this.#known.delete(oldest[0]);
    return known;
  }

  #isStanding(key: string): boolean {
    const { standing } = this.#options;
    return standing !== undefined && keyOf(standing) === key;
  }
}

const keyOf = ({ namespace = '', enginePath }: EnginePlace): string => `${namespace}\n${enginePath}`;

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
