import { CofferError } from './errors.js';
import type { Freshness } from './storage/shared.js';

/**
 * What is under way in an engine, which is waited for at its end; none begins once it is stopped, nor on what is older than may be
 * answered.
 */
export class Requests {
  readonly #freshness: Freshness | undefined;
  readonly #problem: () => CofferError | undefined;
  #running = 0;
  #onQuiet: () => void = () => undefined;
  #stopped: CofferError | undefined;

  /**
   * @param freshness of a shared store: how old what is read here may be
   * @param problem why that store takes no changes
   */
  constructor(freshness: Freshness | undefined, problem: () => CofferError | undefined) {
    this.#freshness = freshness;
    this.#problem = problem;
  }

  /** Why none is served; undefined while they are. */
  get stopped(): CofferError | undefined {
    return this.#stopped;
  }

  stop(reason: CofferError): void {
    this.#stopped = reason;
  }

  /**
   * What only reads is not waited for at the end: it waits for nothing but its audit entry, which the log writes.
   *
   * @throws CofferError `stopped`, `stale`
   */
  read<T>(task: () => Promise<T>): Promise<T> {
    try {
      this.requireRunning();
      const fresh = this.#freshness?.ready();
      if (!fresh) return task();
      return fresh.then(task, (error: unknown) => Promise.reject(this.explained(error)));
    } catch (error) {
      return Promise.reject(this.explained(error));
    }
  }

  /**
   * @throws CofferError `stopped`; `stale` where what is here is too old to decide on, or in its place why the store takes no changes,
   *   which tells more
   */
  run<T>(task: () => Promise<T>): Promise<T> {
    const freshness = this.#freshness;
    if (!freshness) return this.runStale(task);
    return this.runStale(async () => {
      try {
        await freshness.ready();
      } catch (error) {
        throw this.#problem() ?? error;
      }
      return task();
    });
  }

  /** For what is to be had however old the state is. @throws CofferError `stopped` */
  async runStale<T>(task: () => Promise<T>): Promise<T> {
    this.requireRunning();
    this.#running++;
    try {
      return await task();
    } finally {
      this.#running--;
      if (this.#running === 0) this.#onQuiet();
    }
  }

  /** Old answers are refused as that, whatever the reason, and it is told to who asks where there is a sentence for them. */
  explained(error: unknown): unknown {
    if (!(error instanceof CofferError) || error.code !== 'stale') return error;
    const { forCaller } = this.#problem() ?? {};
    return forCaller === undefined
      ? error
      : new CofferError('stale', error.message, { forCaller, cause: error });
  }

  /** Resolves when none is under way. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
      if (this.#running === 0) resolve();
    });
  }

  /** @throws CofferError `stopped` */
  requireRunning(): void {
    if (this.#stopped) throw new CofferError('stopped', this.#stopped.message);
  }
}
