import { CofferClientError, invalid } from '../errors.js';
import type { StoreEvents } from './options.js';

type Listener<K extends keyof StoreEvents> = (event: StoreEvents[K]) => unknown;

/** Who listens to a store, and what they were told that is still so. */
export class Events {
  readonly #listeners: { readonly [K in keyof StoreEvents]: Set<Listener<K>> } = {
    update: new Set(),
    error: new Set(),
    close: new Set(),
  };
  /** What is wrong now, by what it is about. */
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
    const told =
      this.#wrong.get(about)?.code === error.code ||
      [...this.#wrong.values()].some(({ message }) => message === error.message);
    this.#wrong.set(about, error);
    if (!told && error.code !== 'closed') this.tell('error', error);
  }

  report(failures: ReadonlyMap<string, CofferClientError>): void {
    for (const [name, error] of failures) this.wrong(name, error);
  }

  over(about: unknown): void {
    this.#wrong.delete(about);
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

/** What was thrown, if it is of this package, else an error of ours that has it. */
export const asClientError = (
  thrown: unknown,
  code = 'internal',
  message = 'the client of the store failed',
): CofferClientError =>
  thrown instanceof CofferClientError ? thrown : new CofferClientError(code, message, { thrown });

const warn = (message: string) => process.emitWarning(message, { code: 'COFFER_STORE' });
