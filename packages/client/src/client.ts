import { withEnvironment } from './environment.js';
import { CofferClientError, invalid } from './errors.js';
import * as answers from './http/answers.js';
import { Caller, type Question } from './http/caller.js';
import { getMany } from './http/many.js';
import { lacksRoute } from './http/open-answer.js';
import { LONGEST_TIMER_MS } from './http/pause.js';
import { type Shape, version as versionNumber } from './http/shapes.js';
import { Transport } from './http/transport.js';
import { watch } from './http/watch.js';
import { encodeBase64 } from './secret/base64.js';
import type {
  CallOptions,
  ChangeOptions,
  SecretAnswer,
  SecretInfo,
  SecretRequest,
  SecretValue,
  WatchEvent,
  WatchOptions,
  Whoami,
} from './types.js';

/** Where the server is, who asks, and for how long. */
export interface ClientOptions {
  /**
   * `http(s)://HOST:PORT`, or `unix:PATH` for a server's admin socket; default `http://127.0.0.1:2633`. A path,
   * as proxies have it, stands before `/api/…`. A password in the URL is sent as HTTP Basic, where coffer takes a token.
   */
  readonly server?: string | undefined;
  /**
   * A bearer token, or a function that gives one, which is asked before each request is sent. It goes before a password in the URL.
   */
  readonly token?: string | (() => string | Promise<string>) | undefined;
  /**
   * The content of a NATS creds file, in place of a token: each request carries a proof of some seconds, made with its key. Bytes
   * are copied, and stay yours to wipe; the copy is wiped by {@link Client.close}. A path, or another text without the file's lines of
   * dashes, is refused at once; a key or token in it that is damaged is seen by the first call (`invalid_argument`).
   */
  readonly creds?: string | Uint8Array | undefined;
  /**
   * The URL of the server as its configuration has it in `publicUrl`, for which the proofs are made; default `server`. With
   * creds over a Unix socket it must be given.
   */
  readonly audience?: string | undefined;
  /** Certificate authorities (PEM) to trust in place of the system's. */
  readonly ca?: string | Uint8Array | undefined;
  /** The certificate (PEM), with those between it and its authority, that is shown to a server or proxy that asks for one. */
  readonly cert?: string | Uint8Array | undefined;
  /** The private key of `cert` (PEM). Bytes stay yours to wipe. */
  readonly key?: string | Uint8Array | undefined;
  /** The name that the server's certificate must hold; default the host in `server`. */
  readonly serverName?: string | undefined;
  /** Milliseconds until a call gives up, its retries included; default 30,000. */
  readonly timeout?: number | undefined;
  /**
   * How often a request is repeated when its connection fails, or when the server says that it is too busy (429, 503) and
   * wants to be asked again within two seconds; of what only reads, also when a proxy cannot reach the server (502, 504); default 2.
   */
  readonly retries?: number | undefined;
  /** The largest answer that is read; default 64 MiB. */
  readonly maxAnswerBytes?: number | undefined;
}

const DEFAULT_SERVER = 'http://127.0.0.1:2633';
const MAX_VERSION = 2 ** 32 - 1;
const SINGLY_MS = 60_000;

/**
 * For the other entries of this package.
 *
 * @internal
 */
export let callerOf: (client: Client) => Caller;

/**
 * Calls a coffer server, or a setec one (which knows only setec's own calls).
 *
 * Every call rejects with a {@link CofferClientError}, or with its signal's reason.
 *
 * ```ts
 * const client = new Client({ server: 'https://secrets.example.com', token });
 * const { value, version } = await client.get('prod/db/password');
 * ```
 */
export class Client {
  static {
    callerOf = (client) => client.#caller;
  }

  readonly #caller: Caller;
  /** By the clock of `performance`: until then, secrets are asked for one by one. */
  #singlyUntil = 0;

  /** Opens no connection yet. Throws `invalid_argument` for options that cannot be. */
  constructor(options: ClientOptions = {}) {
    const transport = new Transport({
      ...options,
      server: options.server ?? DEFAULT_SERVER,
      timeout: within('timeout', options.timeout ?? 30_000, 1, LONGEST_TIMER_MS),
      retries: within('retries', options.retries ?? 2, 0, 10),
      maxAnswerBytes: within('maxAnswerBytes', options.maxAnswerBytes ?? 64 * 2 ** 20, 1, 2 ** 31),
    });
    this.#caller = new Caller(transport);
  }

  /**
   * A client by what the environment says:
   *
   * - `COFFER_SERVER`, or `SETEC_SERVER`: as `server`;
   * - one of `COFFER_TOKEN`; `COFFER_TOKEN_FILE`, a path: the file is read before each request, so that another token can be put
   *   there; `COFFER_CREDS`, the path of a creds file, with `COFFER_AUDIENCE` as `audience`;
   * - `COFFER_CA`, the path of a file: as `ca`.
   *
   * An empty variable counts as none.
   *
   * @param options what is in them goes before what the variables say
   * @throws CofferClientError `invalid_argument`, also for a file that cannot be read
   */
  static fromEnv(
    env: Readonly<Record<string, string | undefined>> = process.env,
    options: ClientOptions = {},
  ): Client {
    return withEnvironment(env, options, (all) => new Client(all));
  }

  /** The server's address, without any credential. */
  get server(): string {
    return this.#caller.transport.address.display;
  }

  /** True if a credential is sent over a network in clear: everybody on the way can read it, and every secret. */
  get exposed(): boolean {
    return this.#caller.transport.exposed;
  }

  /** Every secret that the caller may `info`, by name in byte order; none is an empty list. */
  list(options?: CallOptions): Promise<SecretInfo[]> {
    return this.#ask('list', {}, answers.secretList, { options });
  }

  /** A secret's versions, without values. `not_found` if there is no such secret. */
  info(name: string, options?: CallOptions): Promise<SecretInfo> {
    return this.#ask('info', { Name: name }, answers.secretInfo, { name, options });
  }

  /** A secret's active value, or that of `options.version`. `not_found` if there is none. */
  async get(
    name: string,
    options: CallOptions & { readonly version?: number | undefined } = {},
  ): Promise<SecretValue> {
    const { version = 0 } = options;
    const body = { Name: name, Version: checkedVersion(version, 0) };
    const about = { name, version: version || undefined, options };
    const got = await this.#ask('get', body, answers.secretValue, about);
    if (!version || got.version === version) return got;
    got.value.wipe();
    throw new CofferClientError(
      'bad_answer',
      `the server gave version ${got.version} in place of ${version}`,
    );
  }

  /** The active value if it is not that of `knownVersion`, else undefined. With 0 it is always the active one. */
  async getIfChanged(
    name: string,
    knownVersion: number,
    options?: CallOptions,
  ): Promise<SecretValue | undefined> {
    const body = { Name: name, Version: checkedVersion(knownVersion, 0), UpdateIfChanged: true };
    const question = { path: '/api/get', body, action: 'get', name, options };
    const answer = await this.#caller.send(question);
    return knownVersion && answer.status === 304
      ? undefined
      : this.#caller.read(answer, question, answers.secretValue);
  }

  /**
   * Many secrets in few requests; the answers are in the order of the requests, and one's refusal does not fail the others.
   * Any number may be asked for. A server that cannot do it, as setec's, is asked for one after the other.
   */
  async getMany(requests: readonly SecretRequest[], options?: CallOptions): Promise<SecretAnswer[]> {
    for (const { version = 0, known } of requests) {
      checkedVersion(version, 0);
      if (known === undefined) continue;
      checkedVersion(known, 0);
      if (version !== 0) throw invalid(KNOWN_OR_VERSION);
    }
    return getMany(requests, {
      together: (some) => this.#together(some, options),
      single: async (request) => {
        const { askOne, refused } = await import('./http/one-by-one.js');
        return askOne(this, request, options).catch((error) => refused(request.name, error));
      },
    });
  }

  async #together(
    requests: readonly SecretRequest[],
    options: CallOptions | undefined,
  ): Promise<SecretAnswer[] | undefined> {
    if (performance.now() < this.#singlyUntil) return undefined;
    const secrets = requests.map(({ name, version, known }) => ({ name, version, known }));
    const question = { path: '/api/get-many', body: { secrets }, action: 'get', options };
    const answer = await this.#caller.send(question);
    if (lacksRoute(answer)) {
      // A page that is not found may be a proxy's, for a moment; what does not know the method is setec's, or for a while a proxy's too.
      if (answer.status === 400) this.#singlyUntil = performance.now() + SINGLY_MS;
      return undefined;
    }
    return this.#caller.read(answer, question, answers.secretAnswers);
  }

  /**
   * Saves a value and answers with its version. The first value of a name becomes active; a later one becomes a
   * new inactive version, unless it equals that of the highest number, which is then the answer. Text is saved as UTF-8.
   */
  async put(name: string, value: string | Uint8Array, change: ChangeOptions = {}): Promise<number> {
    return this.#ask('put', { Name: name, Value: encodeValue(value) }, versionNumber, { name, change });
  }

  /** Makes a version of this number and activates it. `version_taken` if the number was ever used. */
  async createVersion(
    name: string,
    version: number,
    value: string | Uint8Array,
    change: ChangeOptions = {},
  ): Promise<void> {
    const body = { Name: name, Version: checkedVersion(version, 1), Value: encodeValue(value) };
    return this.#ask('create-version', body, nothing, { name, version, change });
  }

  /** Makes a version the active one. `not_found` if it does not exist. */
  async activate(name: string, version: number, change: ChangeOptions = {}): Promise<void> {
    const body = { Name: name, Version: checkedVersion(version, 1) };
    return this.#ask('activate', body, nothing, { name, version, change });
  }

  /** Deletes a version that is not the active one. */
  async deleteVersion(name: string, version: number, change: ChangeOptions = {}): Promise<void> {
    const body = { Name: name, Version: checkedVersion(version, 1) };
    return this.#ask('delete-version', body, nothing, { name, version, change });
  }

  /** Deletes a secret with all its versions and the memory of their numbers. An unknown name is no error. */
  async delete(name: string, change: ChangeOptions = {}): Promise<void> {
    return this.#ask('delete', { Name: name }, nothing, { name, change });
  }

  /**
   * Tells of changes as they happen, of secrets that you may `get` at that moment; never of values.
   *
   * A connection that breaks is made anew, and the watch goes on where it was; `onTrouble` hears of it. Only the first one must succeed. It ends by
   * `break`, by the signal, or with an error: `unauthenticated` or `access_denied` when your token or your last grant is gone,
   * `unsupported` by a server that cannot do it, as setec's.
   *
   * ```ts
   * for await (const event of client.watch({ secrets: ['prod/*'] })) {
   *   if (event.type === 'ready' || event.type === 'reset') await readAll();
   *   else if (event.type === 'change') await readOne(event.name);
   * }
   * ```
   */
  watch(options: WatchOptions = {}): AsyncGenerator<WatchEvent, void> {
    return watch(this.#caller.transport, options);
  }

  /** Who the server takes this caller for, and the grants that apply to it. */
  async whoami(options?: CallOptions): Promise<Whoami> {
    const { whoami } = await import('./http/whoami.js');
    return this.#caller.ask({ path: '/api/whoami', action: 'whoami', options }, whoami);
  }

  /** Ends the connections and wipes the key of the creds. Calls under way, and later ones, reject with the code `closed`. */
  close(): void {
    this.#caller.transport.close();
  }

  /** As {@link close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
  }

  #ask<T>(
    method: string,
    body: object,
    shape: Shape<T>,
    about: Omit<Question, 'path' | 'action'>,
  ): Promise<T> {
    const action = method === 'delete-version' ? 'delete' : method;
    return this.#caller.ask({ path: `/api/${method}`, action, body, ...about }, shape);
  }
}

const KNOWN_OR_VERSION = 'a known version counts where the active one is asked for, not a stated one';

function nothing(): void {}

function encodeValue(value: string | Uint8Array): string {
  if (typeof value === 'string') return Buffer.from(value).toString('base64');
  if (value instanceof Uint8Array) return encodeBase64(value);
  throw invalid('a value is text or bytes');
}

function checkedVersion(version: number, lowest: 0 | 1): number {
  if (!Number.isInteger(version) || version < lowest || version > MAX_VERSION) {
    throw new CofferClientError('invalid_version', `a version is a whole number from 1 to ${MAX_VERSION}`);
  }
  return version;
}

function within(option: string, value: number, lowest: number, highest: number): number {
  if (!Number.isInteger(value) || value < lowest || value > highest) {
    throw invalid(`${option} is a whole number from ${lowest} to ${highest}, not ${value}`);
  }
  return value;
}
