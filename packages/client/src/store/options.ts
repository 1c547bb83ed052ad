import type { Cache } from '../cache/cache.js';
import type { CofferClientError } from '../errors.js';
import type {
  CallOptions,
  SecretAnswer,
  SecretInfo,
  SecretRequest,
  SecretValue,
  WatchEvent,
  WatchOptions,
} from '../types.js';

/** Where a store gets its secrets: a `Client`, a `FileClient`, an `EnvClient`, or your own. */
export interface StoreClient {
  /** The active value, or that of `version`. */
  get(name: string, options?: CallOptions & { readonly version?: number | undefined }): Promise<SecretValue>;
  /** The active value if it is not that of `knownVersion`, else undefined. */
  getIfChanged(name: string, knownVersion: number, options?: CallOptions): Promise<SecretValue | undefined>;
  /** Without it, secrets are asked for one by one. */
  getMany?(requests: readonly SecretRequest[], options?: CallOptions): Promise<SecretAnswer[]>;
  /** Without it, or when it rejects with `unsupported`, only polls find what is new. */
  watch?(options?: WatchOptions): AsyncGenerator<WatchEvent, void>;
  /** For keyrings and versioned secrets. */
  info?(name: string, options?: CallOptions): Promise<SecretInfo>;
  /** For versioned secrets. */
  createVersion?(name: string, version: number, value: Uint8Array, options?: CallOptions): Promise<void>;
  /** True if what it lacks now it will always lack, so that waiting for it is pointless. */
  readonly fixed?: boolean;
}

/** Says when a store polls. The default is a timer; tests have one of their own (`FakeTicker` of `@coffer/testing`). */
export interface Ticker {
  /**
   * Calls `poll` whenever it is time. The promise that it gives is settled, and never rejects, when the poll is over.
   *
   * @returns a function that ends it
   */
  start(poll: () => Promise<void>): () => void;
}

/** What a {@link Store} holds, and how it keeps it fresh. */
export interface StoreOptions<Name extends string = string, Lookup extends boolean = boolean> {
  /** Where its secrets come from. It stays yours to close. */
  readonly client: StoreClient;
  /** The names of the secrets that the program needs. The store opens when each has a value. */
  readonly secrets?: readonly Name[] | undefined;
  /** Fields whose secrets are declared along with `secrets`. */
  readonly fields?: Declares<Name> | readonly Declares<Name>[] | undefined;
  /** Whether secrets that are not declared may be looked up; default no, and then at least one must be declared. */
  readonly allowLookup?: Lookup | undefined;
  /** Keeps the values between two runs, so that the program starts without the server. Default: none. */
  readonly cache?: Cache | undefined;
  /** Cached values that the server confirmed longer ago than this, in milliseconds, are not used; default: any are. */
  readonly maxAge?: number | undefined;
  /**
   * Milliseconds between two polls, ± 10 % drawn once for the store; default an hour; `Infinity` for none. With a server that pushes
   * changes they are a safety net.
   */
  readonly pollInterval?: number | undefined;
  /** Whether changes are pushed, where the server can do it; default yes. */
  readonly watch?: boolean | undefined;
  /**
   * Secrets that are not declared, were not read for so many milliseconds and have no handle any more are dropped; default: none
   * are. One of which a keyring was made is never dropped.
   */
  readonly expiryAge?: number | undefined;
  /** Ends the opening; it then rejects with `not_opened`. The open store does not heed it. */
  readonly signal?: AbortSignal | undefined;
  /** The same as `store.on('error', …)`, from the beginning of the opening on. */
  readonly onError?: ((error: CofferClientError) => void) | undefined;
  /** In place of the timer that `pollInterval` describes. */
  readonly ticker?: Ticker | undefined;
  /** Milliseconds since 1970; default `Date.now`. */
  readonly now?: (() => number) | undefined;
}

/** Something that says which secrets it needs. */
export interface Declares<Name extends string = string> {
  /** Their names. */
  readonly secrets: readonly Name[];
}

/** What a store tells by {@link Store.on}. */
export interface StoreEvents {
  /** A handle gives a new value from now on. */
  update: { readonly name: string; readonly version: number };
  /**
   * Something did not work: the server cannot be reached, refuses a secret, or has it no more. The last values stay. Without a listener
   * it becomes a warning of the process.
   */
  error: CofferClientError;
  /**
   * What an 'error' told of is over: the latest of it is `error`. `names` are the secrets that it was about; without one it was the
   * server, the watch or the cache as a whole.
   */
  recovered: { readonly error: CofferClientError; readonly names: readonly string[] };
  /** The store is closed. */
  close: undefined;
}

/** Counts since the store was opened. */
export interface StoreMetrics {
  /** Polls begun, `refresh` among them; those that were asked for while one ran count as one. */
  readonly polls: number;
  /** Those that failed, wholly or in part. */
  readonly pollErrors: number;
  /** When the latest was asked for, in milliseconds since 1970, whether it went well or not; undefined before the first. */
  readonly latestPoll: number | undefined;
  /**
   * When the server last confirmed what is held, in milliseconds since 1970, to the second: of all secrets the one that it confirmed longest
   * ago, at the opening, by a poll or after a change. Undefined if it never confirmed one of them, as it may be with a cache. For an alarm
   * see whether it is longer ago than two poll intervals.
   */
  readonly confirmedAt: number | undefined;
  /** How often a value was read from a handle. */
  readonly reads: number;
  /** New values that came, after the first of each secret. */
  readonly updates: number;
  /** Whether the server pushes changes at this moment. */
  readonly watching: boolean;
  /** Secrets held. */
  readonly secrets: number;
}
