import { type CofferClientError, invalid } from '../errors.js';
import type { Secret } from '../secret/secret.js';
import type { CallOptions } from '../types.js';
import { Core, illFormed } from './core.js';
import type { Keyring } from './keyring.js';
import type { StoreEvents, StoreMetrics, StoreOptions } from './options.js';
import type { SecretSource } from './secret-source.js';
import { VersionedSecret } from './versioned-secret.js';
import { awaited } from './waiting.js';

/**
 * The secrets of a program, current at any moment: fetched when it starts, pushed by the server when they change, and kept when
 * the server is away.
 *
 * ```ts
 * await using store = await Store.open({ client, secrets: ['prod/db/password'] });
 * const password = store.secret('prod/db/password');
 * connect({ password: () => password.reveal() });
 * ```
 *
 * Once it is open, nothing of it keeps the process alive.
 *
 * A function that is given a store says which secrets it needs, `Store<'prod/db/password'>`. `Store` alone is any store, and gives
 * `Secret | undefined`; `Store<string>` is one without lookups whose names are not known to the compiler.
 */
export class Store<
  Name extends string = never,
  Other extends string = [Name] extends [never] ? string : never,
> implements AsyncDisposable, SecretSource
{
  readonly #core: Core;

  private constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Waits until each declared secret has a value: from the cache, without the server, if all of them are there, else from the
   * server, for as long as it takes; what is in the way is told to `onError`.
   *
   * @throws CofferClientError `invalid_argument`; `not_found` if the client says that waiting is pointless; `not_opened` when
   *   `options.signal` ends it, with what is missing and why, and the signal's reason as its `cause`
   */
  static async open<const Name extends string = never, const Lookup extends boolean = false>(
    options: StoreOptions<Name, Lookup>,
  ): Promise<Opened<Name, Lookup>> {
    const core = new Core(options, declaredBy(options));
    try {
      await awaited(core.open());
      return new Store(core) as Opened<Name, Lookup>;
    } catch (error) {
      await core.close(false);
      throw error;
    }
  }

  // The compiler tells of the last one, so of the names that were declared.
  /** Where lookups are allowed, the handle of any secret; undefined for one that is not held. */
  secret<const Asked extends Other>(name: [Asked] extends [Name] ? never : Asked): Secret | undefined;
  /**
   * The handle of a declared secret, which has a value.
   *
   * @throws CofferClientError `undeclared`, `closed`
   */
  secret(name: Name): Secret;
  secret(name: string): Secret | undefined {
    return this.#core.secret(name);
  }

  /**
   * The handle of any secret, which is fetched if it is not held, once, within 5 minutes; it is kept fresh from then on.
   *
   * @throws CofferClientError `undeclared` for one that is not held where lookups are not allowed, `closed`, and what the
   *   client's `get` fails with
   */
  lookup(name: string, options?: CallOptions): Promise<Secret> {
    return awaited(this.#core.lookup(name, options));
  }

  /**
   * Fetches what is new of all secrets, as it is now or later. Rejects when one of them fails; the others have been taken then.
   * What is asked for while another one runs shares the next one.
   */
  refresh(options?: CallOptions): Promise<void> {
    return awaited(this.#core.refresh(options));
  }

  /**
   * A secret whose versions are asked for and made by number.
   *
   * @throws CofferClientError `undeclared` for one that is not held where lookups are not allowed, `closed`
   */
  versioned(name: string): VersionedSecret {
    return VersionedSecret.of(this.#core, name);
  }

  /**
   * All versions of a secret, kept fresh. Keep the keyring: each call fetches. The caller needs the rights `get` and `info`; `get` alone
   * does once the watch has told of a change of the secret.
   *
   * @throws CofferClientError `undeclared` for a secret that is not held where lookups are not allowed, `closed`, `not_found`,
   *   `access_denied`, and what else fetching fails with
   */
  keyring(name: string, options?: CallOptions): Promise<Keyring> {
    return awaited(import('./keyring.js').then(({ openKeyring }) => openKeyring(this.#core, name, options)));
  }

  /** Tells the listeners of 'error', or the process where there is none: for what is built on a store. */
  report(error: CofferClientError): void {
    this.#core.events.tell('error', error);
  }

  /** Counts, for your monitoring. */
  metrics(): StoreMetrics {
    return this.#core.metrics;
  }

  /**
   * Calls `listener` for each event from now on; what it throws becomes an 'error'.
   *
   * @returns a function that ends it
   */
  on<K extends keyof StoreEvents>(event: K, listener: (event: StoreEvents[K]) => unknown): () => void {
    return this.#core.events.on(event, listener);
  }

  /**
   * Ends the watch and the polls, writes the cache and wipes the values; handles throw `closed` from then on. The client stays
   * open. For a cache that takes too long it waits 5 seconds, and tells of it as an 'error'.
   */
  close(): Promise<void> {
    return this.#core.close();
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** What {@link Store.open} gives: where lookups are allowed, other names may be asked for than those that are known to be declared. */
export type Opened<Name extends string, Lookup extends boolean> = [Lookup] extends [false]
  ? Store<Name, never>
  : Store<string extends Name ? never : Name, string>;

/** The names of the secrets that are declared, once the options have been looked over. */
function declaredBy(options: StoreOptions): Set<string> {
  const { client, secrets = [], fields = [], allowLookup } = options;
  const names = new Set([...secrets, ...[fields].flat().flatMap((declares) => declares.secrets)]);
  if (!client) throw invalid('a store has a client');
  if (names.size === 0 && !allowLookup) throw invalid('a store has secrets, or allows lookups');
  for (const name of names) {
    if (!name) throw invalid('a secret has a name');
    if (!name.isWellFormed()) throw illFormed();
  }
  for (const option of ['maxAge', 'pollInterval', 'expiryAge'] as const)
    if (!((options[option] ?? 1) > 0)) throw invalid(`${option} is a number of milliseconds above 0`);
  return names;
}
