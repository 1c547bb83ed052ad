import { type Deferred, deferred } from '@nats-io/nats-core';

/** A sequence, and what must be as far. */
export interface Awaited {
  readonly sequence: number;
  is(): number;
}

/** Who waits until the replica is as far as a sequence. */
export class Waiters {
  readonly #waiting = new Map<Deferred<void>, Awaited>();

  get count(): number {
    return this.#waiting.size;
  }

  /** @throws the signal's reason, and what {@link rejectAll} is given */
  async wait(awaited: Awaited, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    const waiting = deferred<void>();
    const giveUp = () => waiting.reject(signal?.reason as Error);
    this.#waiting.set(waiting, awaited);
    signal?.addEventListener('abort', giveUp);
    try {
      await waiting;
    } finally {
      signal?.removeEventListener('abort', giveUp);
      this.#waiting.delete(waiting);
    }
  }

  /** Ends the waits for what is there by now. */
  look(): void {
    for (const [waiting, { sequence, is }] of this.#waiting) {
      if (sequence > is()) continue;
      this.#waiting.delete(waiting);
      waiting.resolve();
    }
  }

  rejectAll(error: Error): void {
    for (const waiting of this.#waiting.keys()) waiting.reject(error);
    this.#waiting.clear();
  }
}
