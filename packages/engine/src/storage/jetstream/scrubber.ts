import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { BACKGROUND } from '../shared.js';
import type { Continuity } from './continuity.js';
import { MOST_SWEPT, type Scrubbed, scrub } from './scrub.js';
import { Sweeper, type SweeperOptions } from './sweeper.js';

/** After so many removals they are swept sooner. */
const MANY_REMOVED = 5_000;
/** How long a comparison waits until what is there is read. */
const SETTLED_MS = 10_000;

export interface ScrubberOptions extends SweeperOptions {
  readonly continuity: Continuity;
  /** Up to where the stream is applied. */
  readonly position: () => number;
  /** Resolves when it is applied up to there. */
  readonly passed: (sequence: number, signal: AbortSignal) => Promise<void>;
  /** The same, and nothing lacks. */
  readonly settled: (sequence: number, signal: AbortSignal) => Promise<void>;
}

/** Compares all that is here with the stream, now and then, and sweeps what may be forgotten. */
export class Scrubber {
  readonly #options: ScrubberOptions;
  readonly #sweeper: Sweeper;
  /** How many removals came since the last comparison. */
  #removed = 0;
  /** Up to where they were many. */
  #many: number | undefined;

  constructor(options: ScrubberOptions) {
    this.#options = options;
    this.#sweeper = new Sweeper(options);
  }

  /** So many were removed by what was just applied. */
  removed(count: number): void {
    this.#removed += count;
    if (this.#removed >= MANY_REMOVED) this.#many ??= this.#options.position();
  }

  /** True where many wait to be swept by this instance, and may be. */
  get isDue(): boolean {
    const { leases, members } = this.#options;
    return this.#many !== undefined && leases.holds(BACKGROUND) && members.level >= this.#many;
  }

  /**
   * @param goesOn false when no more is to be changed
   * @throws Regression for what is not in the stream as it is here; what nats.js does
   */
  async run(
    manager: JetStreamManager,
    connection: NatsConnection,
    goesOn: () => boolean,
  ): Promise<Pick<Scrubbed, 'missed' | 'compared'>> {
    const { layout, replica, continuity, members, position, passed } = this.#options;
    this.#removed = 0;
    this.#many = undefined;
    const isRipe = this.#sweeper.ripe();
    const upTo = await this.#sweeper.outlive();
    const caughtUp = async () => {
      const { state } = await continuity.look(manager, connection, position);
      // Where it does not come, the leader is asked for more records, and that is all.
      await passed(state.last_seq, AbortSignal.timeout(SETTLED_MS)).catch(() => {});
    };
    const here = position();
    const found = await scrub({ connection, manager, layout, replica, position: here, caughtUp, isRipe });
    const suspects = [...found.suspects, ...(await this.#forget(manager, connection, found.forgotten, upTo))];
    await continuity.checkKeys(manager, connection, position, suspects, () => members.epochLevel);
    if (found.missed === undefined) {
      // What is left of it when it ends is found again.
      await this.#sweeper.sweep(manager, found, goesOn).catch(() => {});
      if (found.ripe.length >= MOST_SWEPT) this.#many = 0;
    }
    return found;
  }

  /** @returns what the stream should not have forgotten: known when all has been read that allowed it to */
  async #forget(
    manager: JetStreamManager,
    connection: NatsConnection,
    forgotten: Scrubbed['forgotten'],
    upTo: number,
  ): Promise<Uint8Array[]> {
    if (forgotten.length === 0) return [];
    const { continuity, position, settled } = this.#options;
    const { state } = await continuity.look(manager, connection, position);
    await settled(state.last_seq, AbortSignal.timeout(SETTLED_MS));
    return this.#sweeper.forget(forgotten, upTo);
  }
}
