import { setTimeout as delay } from 'node:timers/promises';

import type { Freshness } from '../storage/shared.js';

/** What was sent before may still arrive for so long, in milliseconds. */
const ON_ITS_WAY = 2_000;
const LOOK = 100;

/**
 * Changes of a shared store of which it is not known whether they came true: an answer was lost, or the process died in between.
 * When all is here that can have come of them, the heads tell, and their intents in the log are closed.
 */
export class Doubts {
  readonly #freshness: Freshness;
  readonly #closing = new AbortController();
  readonly #waiting = new Set<Promise<void>>();

  constructor(freshness: Freshness) {
    this.#freshness = freshness;
  }

  /** Calls `close` when the heads tell. Where that does not come before the end, the next start has it to do. */
  settle(close: () => Promise<void>): void {
    const waiting: Promise<void> = this.#whenTold()
      .then(close)
      .catch(() => undefined)
      .finally(() => this.#waiting.delete(waiting));
    this.#waiting.add(waiting);
  }

  /** Waits for no doubt, but for the entries that are being written. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#waiting);
  }

  async #whenTold(): Promise<void> {
    const then = performance.now() + ON_ITS_WAY;
    const { signal } = this.#closing;
    while (this.#freshness.mark() < then) await delay(LOOK, undefined, { signal, ref: false });
  }
}
