import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import type { AlarmBell } from './alarm.js';
import { unavailable } from './commit-errors.js';
import { beginOf, type EpochSeal, Outdated, UNPROVEN } from './epoch.js';
import type { Hearing } from './hearing.js';
import type { Layout } from './layout.js';
import type { Lookout } from './lookout.js';
import { type Members, readingOf } from './members.js';
import type { MessageSeal } from './message-seal.js';
import type { Meta } from './notes.js';
import type { Progress } from './progress.js';
import { isProven } from './proof.js';
import type { ReplicaLike } from './replica-contract.js';
import type { SignsOfLife } from './signs.js';

export interface PreparationOptions {
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly seal: EpochSeal;
  readonly messageSeal: MessageSeal;
  readonly lookout: Lookout;
  readonly progress: Progress;
  readonly alarm: AlarmBell;
  readonly members: Members;
  readonly hearing: Hearing;
  readonly signs: SignsOfLife;
}

/** What comes before a reading. */
export class Preparation {
  readonly #options: PreparationOptions;

  constructor(options: PreparationOptions) {
    this.#options = options;
  }

  /**
   * Sees that the stream is the one that it was, that the others know of this instance, and that it has heard of them.
   *
   * @returns the last sequence that the stream has. Errors as {@link Lookout.check}
   */
  async run(
    manager: JetStreamManager,
    connection: NatsConnection,
  ): Promise<{ readonly end: number; readonly isProvenNow: boolean }> {
    const { lookout, alarm, members, progress, hearing, signs } = this.#options;
    const { info, meta } = await lookout.check(manager, connection);
    const isProvenNow = await this.#prove(manager, connection, meta);
    // What it was told while it was filled may be over: if not, it is told again.
    if (isProvenNow) await alarm.clear();
    await members.join(progress.position === 0 ? readingOf(info, meta) : undefined);
    signs.heard();
    await hearing.readAll(manager, connection);
    await members.keep();
    signs.heard();
    if (alarm.current) await alarm.standBy(manager, connection, async () => true);
    if (alarm.stopsReading) throw unavailable('it is being healed');
    return { end: info.state.last_seq, isProvenNow };
  }

  /**
   * What a new replica was told when it was made, and filled with: now there is a key to look at it with.
   *
   * @returns true if that was done now
   * @throws Outdated where it has to be read anew; Regression and CofferError `tampered` as the reading
   */
  async #prove(manager: JetStreamManager, connection: NatsConnection, meta: Meta): Promise<boolean> {
    const { layout, replica, seal: epochSeal, messageSeal: seal } = this.#options;
    const { origin } = replica;
    if (!epochSeal.isBegun || origin?.epoch !== UNPROVEN) return false;
    // Of a store that is being made there is nothing.
    const mayProve = seal.hasKey && replica.position > 0;
    if (mayProve && !(await isProven({ connection, manager, layout, seal, replica })))
      throw new Outdated(meta);
    await replica.bind({ ...origin, epoch: meta.epoch }, undefined, await beginOf(manager, layout, meta));
    return true;
  }
}
