import type { JetStreamManager, StreamInfo } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { Regression } from './admission.js';
import type { SeenRoom } from './bucket-room.js';
import type { Continuity } from './continuity.js';
import type { Meta } from './notes.js';
import type { Progress } from './progress.js';

export interface StreamState extends SeenRoom {
  readonly lastSequence: number;
}

/** Looks whether the stream is still the one that it was, and knows what its leader said last. */
export class Lookout {
  readonly #continuity: Continuity;
  readonly #progress: Progress;
  #state: StreamState | undefined;

  constructor(continuity: Continuity, progress: Progress) {
    this.#continuity = continuity;
    this.#progress = progress;
  }

  /** What the stream's leader said last. */
  get state(): StreamState | undefined {
    return this.#state;
  }

  /** As {@link Continuity.check}. */
  async check(
    manager: JetStreamManager,
    connection: NatsConnection,
  ): Promise<{ readonly info: StreamInfo; readonly meta: Meta }> {
    const askedAt = performance.now();
    const checked = await this.#continuity.check(manager, connection, () => this.#progress.position);
    this.#heard(checked.info, askedAt);
    return checked;
  }

  /** As {@link Continuity.look}. */
  async look(manager: JetStreamManager, connection: NatsConnection): Promise<void> {
    const askedAt = performance.now();
    this.#heard(await this.#continuity.look(manager, connection, () => this.#progress.position), askedAt);
  }

  /**
   * As {@link Continuity.confirmed}.
   *
   * @param position up to where the stream is read, if it is another than that which is followed
   */
  confirmed<T>(
    connection: NatsConnection,
    look: () => Promise<T>,
    position = () => this.#progress.position,
  ): Promise<T> {
    return this.#continuity.confirmed(connection, position, look);
  }

  /** Whether the stream is ours, and has what this instance had. Errors as of nats.js */
  async isWhole(manager: JetStreamManager, connection: NatsConnection): Promise<boolean> {
    try {
      await this.check(manager, connection);
      return true;
    } catch (error) {
      if (error instanceof Regression) return false;
      throw error;
    }
  }

  #heard({ state, config }: StreamInfo, askedAt: number): void {
    const { bytes, last_seq: lastSequence } = state;
    this.#state = { bytes, maxBytes: config.max_bytes, askedAt, lastSequence };
  }
}
