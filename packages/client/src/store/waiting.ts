import { heeding, onAbort } from '../abort.js';
import { CofferClientError } from '../errors.js';

export { heeding };

/** Setec's limit to a lookup. */
export const LIMIT_MS = 300_000;

/** Holds the process until the promise is settled: somebody waits for it, and nothing else of a store does. */
export function awaited<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => {}, LIMIT_MS);
  return promise.finally(() => clearInterval(timer));
}

/** How long a close waits for what others do. */
const CLOSING_MS = 5_000;

/** Whether it is settled before a close has waited long enough. */
export async function inTime(promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, CLOSING_MS, false);
  });
  const done = promise.then(() => true);
  return Promise.race([done, late]).finally(() => clearTimeout(timer));
}

/** Calls that end with the store, or after 5 minutes. */
export class Calls {
  readonly #underWay = new Set<AbortController>();
  #closed = false;

  async run<T>(work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (this.#closed) throw storeClosed();
    signal?.throwIfAborted();
    const stop = new AbortController();
    const off = onAbort(signal, () => stop.abort(signal?.reason));
    const timer = setTimeout(() => stop.abort(tookTooLong()), LIMIT_MS).unref();
    this.#underWay.add(stop);
    try {
      return await heeding(work(stop.signal), stop.signal);
    } finally {
      clearTimeout(timer);
      off();
      this.#underWay.delete(stop);
    }
  }

  close(): void {
    this.#closed = true;
    for (const stop of this.#underWay) stop.abort(storeClosed());
  }
}

/** A wait that can be ended early. */
export class Pause {
  #end: () => void = () => {};

  wait(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, milliseconds).unref();
      this.#end = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Ends the wait, if there is one. */
  end(): void {
    this.#end();
  }
}

/** How long to wait after so many tries: twice as long each time, with jitter. */
export const backOff = (tries: number, longest: number): number =>
  Math.min(longest, 200 * 2 ** Math.min(tries, 20)) * (0.5 + Math.random() / 2);

export const storeClosed = () => new CofferClientError('closed', 'the store is closed');
const tookTooLong = () => new CofferClientError('timeout', 'there was no answer within 5 minutes');
