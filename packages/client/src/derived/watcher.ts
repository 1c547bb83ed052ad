import { onAbort } from '../abort.js';
import { CofferClientError } from '../errors.js';
import type { Secret } from '../secret/secret.js';
import type { SecretBytes } from '../secret/secret-bytes.js';
import type { SecretSource } from '../store/secret-source.js';
import type { CallOptions } from '../types.js';

/**
 * Waits for a secret's next value. Changes that nobody waited for count as one, and only the current value is ever given.
 * Waiting does not keep the process alive.
 *
 * ```ts
 * using watcher = await Watcher.open(store, 'prod/tls/key');
 * use(watcher.secret.get());
 * for await (const key of watcher) use(key);
 * ```
 */
export class Watcher implements Disposable {
  /** The handle of the secret. */
  readonly secret: Secret;
  readonly #offs: readonly (() => void)[];
  readonly #waiting = new Set<() => void>();
  #changed = false;
  #closed = false;

  private constructor(store: SecretSource, secret: Secret) {
    this.secret = secret;
    const off = store.on('update', ({ name }) => {
      if (name !== secret.name) return;
      this.#changed = true;
      this.#wake();
    });
    this.#offs = [off, store.on('close', () => this.close())];
  }

  /** Begins to watch. What is current by then is no change. */
  static async open(store: SecretSource, name: string, options?: CallOptions): Promise<Watcher> {
    return new Watcher(store, await store.lookup(name, options));
  }

  /**
   * The value, as soon as it is another than at the last call, or than at the opening. One call of several at the same time is given it.
   * The copy is yours to wipe.
   *
   * @throws CofferClientError `closed` when the watcher or its store is closed
   */
  async next(options: CallOptions = {}): Promise<SecretBytes> {
    const { signal } = options;
    for (;;) {
      signal?.throwIfAborted();
      if (this.#closed) throw new CofferClientError('closed', 'the watcher is closed');
      if (this.#changed) break;
      const off = onAbort(signal, () => this.#wake());
      await new Promise<void>((wake) => this.#waiting.add(wake));
      off();
    }
    this.#changed = false;
    return this.secret.get();
  }

  /** Each next value, until the watcher or its store is closed. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SecretBytes, void> {
    while (!this.#closed) {
      try {
        yield await this.next();
      } catch (error) {
        if (!this.#closed) throw error;
      }
    }
  }

  /** Ends what waits. */
  close(): void {
    this.#closed = true;
    for (const off of this.#offs) off();
    this.#wake();
  }

  /** As {@link close}. */
  [Symbol.dispose](): void {
    this.close();
  }

  readonly #wake = (): void => {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  };
}
