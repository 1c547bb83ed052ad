import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import type { CofferError } from '../../errors.js';
import { Regression } from './admission.js';
import { Outdated } from './epoch.js';
import { Intake, type Taken } from './intake.js';
import type { Layout } from './layout.js';
import type { MessageSeal } from './message-seal.js';
import { Tap } from './tap.js';

/** An instance that is so many messages behind reads all of the stream up to its end first, see {@link Layout.whole}. */
const FAR = 5_000;
/** Between two looks whether the stream is still what it was. */
const LOOK_MS = 1_000;
/** Between two comparisons of all records; some more by chance, so that not all instances read at once. */
const SCRUB_MS = 5 * 60_000;

export interface ReadingOptions {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly instance: string;
  readonly from: number;
  /** The last sequence that the stream has. */
  readonly end: number;
  /** All that is there is to be read, and no more. */
  readonly fill: boolean;
  /** At the server that leads the stream, though little is to be read. */
  readonly atLeader: boolean;
  /** Looks whether the stream is still what it was. What speaks against it ends the reading. */
  readonly look: (reading: Reading) => Promise<void>;
  /** Compares all records. The same. @returns how many */
  readonly scrub: (reading: Reading) => Promise<number | undefined>;
}

/**
 * One reading of the stream from a place on, and what is looked at as long as it lasts: each second the stream, every five minutes all
 * of its records.
 *
 * Who fills a replica, or is far behind, reads at the server that leads the stream, up to where that ended when the reading began. Who
 * follows reads at any server that has the stream, so that the leader need not send to all: what such a one has lost on its disk, and
 * leaves out without a word, is found by the comparison, which is with the leader.
 *
 * Life: `open` … `close`.
 */
export class Reading {
  readonly manager: JetStreamManager;
  readonly connection: NatsConnection;
  readonly #options: ReadingOptions;
  readonly #isFar: boolean;
  readonly #tap: Tap;
  readonly #intake: Intake;
  readonly #looks: NodeJS.Timeout;
  readonly #scrubs: NodeJS.Timeout;
  #read: number;
  /** For what is to come next. */
  #waitsSince = performance.now();
  #isTaking = false;
  #looking: Promise<void> | undefined;
  #scrubbing: Promise<number | undefined> | undefined;

  private constructor(options: ReadingOptions, tap: Tap, isFar: boolean) {
    const { manager, connection, layout, seal, from } = options;
    this.manager = manager;
    this.connection = connection;
    this.#options = options;
    this.#isFar = isFar;
    this.#tap = tap;
    this.#intake = new Intake(layout, seal);
    this.#read = from - 1;
    this.#looks = setInterval(() => void this.look(), LOOK_MS).unref();
    this.#scrubs = setInterval(() => void this.scrub(), SCRUB_MS * (1 + Math.random() / 10)).unref();
  }

  /** @throws as {@link Tap.open} */
  static async open(options: ReadingOptions): Promise<Reading> {
    const { connection, manager, layout, instance, from, end, fill, atLeader } = options;
    const isFar = fill || end - from > FAR;
    const what = isFar ? layout.whole(instance) : { filters: layout.followed(instance) };
    const { stream } = layout;
    const tap = await Tap.open({ connection, manager, stream, ...what, from, atLeader: isFar || atLeader });
    return new Reading(options, tap, isFar);
  }

  /** Aborted when it ends, with why. */
  get ending(): AbortSignal {
    return this.#tap.ending;
  }

  /**
   * What came, as it is to be applied, until it gets lost; where much was to be read, until all is read that was there when it began.
   *
   * @throws what it was {@link break broken off} with, and CofferError `tampered` for what no instance wrote
   */
  async *taken(): AsyncGenerator<Taken> {
    const { end } = this.#options;
    while (!this.#isFar || this.#read < end) {
      this.#isTaking = false;
      this.#waitsSince = performance.now();
      this.#intake.add(await this.#tap.next());
      this.#isTaking = true;
      const { messages, upTo, settled } = this.#intake.take();
      if (upTo === undefined) continue;
      // A server that is behind itself has gaps, too, up to where the stream ended when it began to catch up.
      yield { messages, upTo, settled: settled && upTo >= end };
      this.#read = upTo;
    }
  }

  /**
   * Nothing comes for so long, and the server that leads has more: another one is read at, which stands still, and says so to nobody.
   *
   * @param lastSequence that the one has which leads
   */
  isLeftBehind(lastSequence: number, milliseconds: number): boolean {
    if (this.#isFar || this.#options.atLeader || this.#isTaking || lastSequence <= this.#read) return false;
    return performance.now() - this.#waitsSince > milliseconds;
  }

  /** One look at a time. */
  look(): Promise<void> {
    this.#looking ??= this.#options
      .look(this)
      .catch((error: unknown) => this.#found(error))
      .finally(() => {
        this.#looking = undefined;
      });
    return this.#looking;
  }

  /** One comparison at a time. @returns how many records were compared; undefined if it was broken off */
  scrub(): Promise<number | undefined> {
    this.#scrubbing ??= this.#options
      .scrub(this)
      .catch((error: unknown) => this.#found(error))
      .finally(() => {
        this.#scrubbing = undefined;
      });
    return this.#scrubbing;
  }

  #found(error: unknown): undefined {
    if (error instanceof Regression || error instanceof Outdated) this.break(error);
  }

  break(error: CofferError | Regression | Outdated): void {
    this.#tap.break(error);
  }

  close(): void {
    clearInterval(this.#looks);
    clearInterval(this.#scrubs);
    this.#tap.close();
  }
}
