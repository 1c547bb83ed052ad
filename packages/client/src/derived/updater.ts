import { CofferClientError } from '../errors.js';
import { LONGEST_TIMER_MS } from '../http/pause.js';
import type { Secret } from '../secret/secret.js';
import type { SecretBytes } from '../secret/secret-bytes.js';
import type { SecretSource } from '../store/secret-source.js';
import { inTime } from '../store/waiting.js';
import type { CallOptions } from '../types.js';

/** How an {@link Updater} gives up values. `signal` ends the lookup of the secret. */
export interface UpdaterOptions<T> extends CallOptions {
  /** Ends a value that another took the place of; default: its own `close()`, `[Symbol.asyncDispose]()` or `[Symbol.dispose]()`. */
  readonly close?: ((old: T) => unknown) | undefined;
  /** How many milliseconds an old value lives on for those who still use it; default 30,000. */
  readonly grace?: number | undefined;
}

/**
 * A value made from a secret, such as a connection pool or a parsed key, and made anew when the secret changes.
 *
 * A change is built at once, within the store's `update` if `build` is not async; one build runs at a time, and the newest value of the
 * secret wins. When a build fails, the value that is there stays, the store tells of it as an `error` (`update_failed`, with what was
 * thrown as its {@link CofferClientError.thrown}, which is not printed), and the next change is built again.
 *
 * ```ts
 * const pool = await Updater.open(store, 'prod/db/url', (url) => new Pool(url.reveal()), { close: (old) => old.end() });
 * await pool.get().query('…');
 * ```
 */
export class Updater<T> implements AsyncDisposable {
  readonly #store: SecretSource;
  readonly #secret: Secret;
  readonly #build: Build<T>;
  readonly #options: UpdaterOptions<T>;
  readonly #off: () => void;
  /** What ends them when their grace time is over. */
  readonly #old = new Map<T, NodeJS.Timeout>();
  #current: { readonly value: T } | undefined;
  #building: Promise<void> | undefined;
  #stale = false;
  #ended = false;
  #closing: Promise<void> | undefined;
  #error: CofferClientError | undefined;

  private constructor(store: SecretSource, secret: Secret, build: Build<T>, options: UpdaterOptions<T>) {
    this.#store = store;
    this.#secret = secret;
    this.#build = build;
    this.#options = options;
    this.#off = store.on('update', ({ name }) => {
      if (name === secret.name) this.#update();
    });
  }

  /**
   * Builds the first value.
   *
   * @param build is given a copy of the secret's value, its own to keep or to wipe. If it gives the current value again, that stays
   * @throws CofferClientError what the store's `lookup` fails with; `update_failed` if the first `build` fails
   */
  static async open<T>(
    store: SecretSource,
    name: string,
    build: (value: SecretBytes) => T | Promise<T>,
    options: UpdaterOptions<T> = {},
  ): Promise<Updater<T>> {
    const updater = new Updater(store, await store.lookup(name, options), build, options);
    updater.#update();
    while (updater.#building) await updater.#building;
    if (updater.#current) return updater;
    updater.#off();
    throw updater.#error;
  }

  /**
   * The current value. Ask for it at each use, and use it no longer than the grace time.
   *
   * @throws CofferClientError `closed` after {@link close}
   */
  get(): T {
    if (this.#closing) throw new CofferClientError('closed', 'the updater is closed');
    return (this.#current as { value: T }).value;
  }

  /** `update_failed`, if the latest build did; undefined if it went well. */
  get error(): CofferClientError | undefined {
    return this.#error;
  }

  /**
   * Ends the updates, waits for a build that is under way, but no longer than 5 seconds, and ends the values that are left, without a
   * grace time.
   */
  close(): Promise<void> {
    this.#closing ??= this.#end();
    return this.#closing;
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #end(): Promise<void> {
    this.#off();
    if (this.#building && !(await inTime(this.#building)))
      this.#store.report(this.#failure('still being made when it was closed'));
    this.#ended = true;
    for (const timer of this.#old.values()) clearTimeout(timer);
    const values = [...this.#old.keys()];
    if (this.#current) values.push(this.#current.value);
    await Promise.all(values.map((value) => this.#dispose(value)));
  }

  #update(): void {
    this.#stale = this.#building !== undefined;
    if (this.#stale) return;
    try {
      const built = this.#build(this.#secret.get());
      if (isPromise(built)) this.#building = this.#finish(built);
      else this.#take(built);
    } catch (thrown) {
      this.#failed(thrown);
    }
  }

  async #finish(built: PromiseLike<T>): Promise<void> {
    try {
      this.#take(await built);
    } catch (thrown) {
      this.#failed(thrown);
    }
    this.#building = undefined;
    if (this.#stale && !this.#closing) this.#update();
  }

  #take(value: T): void {
    const before = this.#current;
    if (this.#ended) {
      if (value !== before?.value) void this.#dispose(value);
      return;
    }
    this.#current = { value };
    this.#error = undefined;
    clearTimeout(this.#old.get(value));
    this.#old.delete(value);
    if (!before || before.value === value) return;
    const end = () => {
      this.#old.delete(before.value);
      void this.#dispose(before.value);
    };
    const grace = Math.min(this.#options.grace ?? 30_000, LONGEST_TIMER_MS);
    this.#old.set(before.value, setTimeout(end, grace).unref());
  }

  #failed(thrown: unknown): void {
    this.#error = this.#failure(this.#current ? 'not renewed: the one before stays' : 'not made', thrown);
    if (this.#current) this.#store.report(this.#error);
  }

  async #dispose(value: T): Promise<void> {
    try {
      await (this.#options.close ?? closeItself)(value);
    } catch (thrown) {
      this.#store.report(this.#failure('not closed', thrown));
    }
  }

  #failure(what: string, thrown?: unknown): CofferClientError {
    const why = thrown instanceof CofferClientError ? ` (${thrown.message})` : '';
    const message = `the value made from ${JSON.stringify(this.#secret.name)} was ${what}${why}`;
    return new CofferClientError('update_failed', message, { thrown });
  }
}

type Build<T> = (value: SecretBytes) => T | Promise<T>;

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === 'function';
}

function closeItself(value: unknown): unknown {
  const { close, [Symbol.asyncDispose]: endLater, [Symbol.dispose]: end } = Object(value);
  return [close, endLater, end].find((method) => typeof method === 'function')?.call(value);
}
