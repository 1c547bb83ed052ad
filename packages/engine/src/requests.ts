import { CofferError } from './errors.js';

/** What is under way in an engine, which is waited for at its end; none begins once it is stopped. */
export class Requests {
  #running = 0;
  #onQuiet: () => void = () => undefined;
  #stopped: CofferError | undefined;

  /** Why none is served; undefined while they are. */
  get stopped(): CofferError | undefined {
    return this.#stopped;
  }

  stop(reason: CofferError): void {
    this.#stopped = reason;
  }

  /** @throws CofferError `stopped` */
  requireRunning(): void {
    if (this.#stopped) throw new CofferError('stopped', this.#stopped.message);
  }

  /** @throws CofferError `stopped` */
  async run<T>(task: () => Promise<T>): Promise<T> {
    this.requireRunning();
    this.#running++;
    try {
      return await task();
    } finally {
      this.#running--;
      if (this.#running === 0) this.#onQuiet();
    }
  }

  /** Resolves when none is under way. */
  quiet(): Promise<void> {
    return new Promise((resolve) => {
      this.#onQuiet = resolve;
      if (this.#running === 0) resolve();
    });
  }
}
