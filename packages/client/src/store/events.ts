import { CofferClientError, invalid } from '../errors.js';
import type { StoreEvents } from './options.js';

/** So many secrets are told of by name in one error. */
const MOST_TOLD = 20;

type Listener<K extends keyof StoreEvents> = (event: StoreEvents[K]) => unknown;

/** Who listens to a store, and what they were told that is still so. */
export class Events {
  readonly #listeners: { readonly [K in keyof StoreEvents]: Set<Listener<K>> } = {
    update: new Set(),
    error: new Set(),
    recovered: new Set(),
    close: new Set(),
  };
  /** What is wrong now, by what it is about: a secret's name, `''` for all of a round, or who met it. What became wrong last is the last. */
  readonly #wrong = new Map<unknown, CofferClientError>();

  on<K extends keyof StoreEvents>(event: K, listener: Listener<K>): () => void {
    if (!Object.hasOwn(this.#listeners, event)) throw invalid(`a store tells of no '${event}'`);
    // Of its own, so that each `on` has its "off".
    const own: Listener<K> = (told) => listener(told);
    this.#listeners[event].add(own);
    return () => this.#listeners[event].delete(own);
  }

  /** Tells all who listen, each of them to its first `await` before this returns. Nothing that they throw gets out. */
  tell<K extends keyof StoreEvents>(event: K, told: StoreEvents[K]): void {
    const listeners = [...this.#listeners[event]];
    for (const listener of listeners) void this.#call(event, listener, told);
    if (event === 'error' && listeners.length === 0) warn((told as CofferClientError).message);
  }

  /** Tells an error once, however often it comes, until it is {@link over} or another. */
  wrong(about: unknown, error: CofferClientError): void {
    this.report(new Map([[about, error]]));
  }

  /** As {@link wrong} each; what is wrong with many secrets for one reason is told as one. */
  report(failures: ReadonlyMap<unknown, CofferClientError>): void {
    const news = new Map<string, CofferClientError[]>();
    for (const [about, error] of failures)
      if (this.#isNews(about, error)) news.set(error.code, [...(news.get(error.code) ?? []), error]);
    for (const errors of news.values()) this.tell('error', together(errors));
  }

  /** Tells that these are well again, if somebody was told that they were not. */
  over(...abouts: unknown[]): void {
    const well = new Map<string, { error: CofferClientError; names: string[] }>();
    for (const about of abouts) {
      const error = this.#wrong.get(about);
      if (!this.#wrong.delete(about) || !error || [...this.#wrong.values()].some(isSame(error))) continue;
      const told = well.get(error.code) ?? { error, names: [] };
      if (about && typeof about === 'string') told.names.push(about);
      well.set(error.code, told);
    }
    for (const told of well.values()) this.tell('recovered', told);
  }

  /** Whether nobody was told of this since what was wrong there before. */
  #isNews(about: unknown, error: CofferClientError): boolean {
    if (error.code === 'closed' || this.#wrong.get(about)?.code === error.code) return false;
    const before = [...this.#wrong.keys()].indexOf(about);
    const told = [...this.#wrong.values()].slice(before + 1).some(isSame(error));
    this.#wrong.delete(about);
    this.#wrong.set(about, error);
    return !told;
  }

  async #call<K extends keyof StoreEvents>(
    event: K,
    listener: Listener<K>,
    told: StoreEvents[K],
  ): Promise<void> {
    try {
      await listener(told);
    } catch (cause) {
      const message = `a listener to '${event}' of the store failed`;
      if (event === 'error') warn(message);
      else this.tell('error', asClientError(cause, 'listener_failed', message));
    }
  }
}

/** The one failure, or all of them as one, with the code of the first. */
export function together(errors: readonly CofferClientError[]): CofferClientError {
  const [first] = errors as readonly [CofferClientError];
  if (errors.length === 1) return first;
  const told = errors.slice(0, MOST_TOLD).map(({ message }) => message);
  if (errors.length > MOST_TOLD) told.push(`and ${errors.length - MOST_TOLD} more`);
  const message = `${errors.length} secrets failed: ${told.join('; ')}`;
  return new CofferClientError(first.code, message, { cause: new AggregateError(errors) });
}

/** Whether it is the same cause. Who is unknown is so in whatever words. */
const isSame = (one: CofferClientError) => (other: CofferClientError) =>
  one.message === other.message || (one.code === other.code && one.code === 'unauthenticated');

/** What was thrown, if it is of this package, else an error of ours that has it. */
export const asClientError = (
  thrown: unknown,
  code = 'internal',
  message = 'the client of the store failed',
): CofferClientError =>
  thrown instanceof CofferClientError ? thrown : new CofferClientError(code, message, { thrown });

const warn = (message: string) => process.emitWarning(message, { code: 'COFFER_STORE' });
