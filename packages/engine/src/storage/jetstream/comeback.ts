import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Admission } from '../shared.js';
import { Regression, regressionOf } from './admission.js';
import type { AlarmBell } from './alarm.js';
import { lastNote } from './continuity.js';
import { type EpochSeal, UNPROVEN } from './epoch.js';
import type { RecordSense } from './heal-plan.js';
import type { Layout } from './layout.js';
import type { Lookout } from './lookout.js';
import { managerOf } from './manager.js';
import { lastOfMember } from './member-message.js';
import { type Members, readingOf } from './members.js';
import type { MessageSeal } from './message-seal.js';
import { type Meta, parseAlarm, parsedNote } from './notes.js';
import { type Reconciled, Reconciliation } from './reconciliation.js';
import type { ReplicaLike } from './replica-contract.js';
import type { SignsOfLife } from './signs.js';
import { isBlank } from './standing.js';
import { survey } from './survey.js';

/** Between two looks whether a heal was announced. */
const LOOK_MS = 1_000;

export interface ComebackOptions {
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly replica: ReplicaLike;
  readonly alarm: AlarmBell;
  readonly members: Members;
  readonly sense: RecordSense;
  readonly epochs: EpochSeal;
  readonly lookout: Lookout;
  readonly signs: SignsOfLife;
  readonly onNotice: (sentence: string) => void;
}

/**
 * Of an instance whose replica is of an earlier epoch than the stream, or that was forgotten: it looks first what only it has, and
 * takes over what the stream has if that is nothing. It makes way for a heal wherever it is.
 *
 * It reads the stream twice for that: the first record that it takes over may replace what only it has, so that the last one has to be
 * known before; and to keep all of them meanwhile takes the memory of a whole store.
 */
export class Comeback {
  readonly #options: ComebackOptions;
  #isTaking = false;

  constructor(options: ComebackOptions) {
    this.#options = options;
  }

  /** It changes the replica at this moment. */
  get isTaking(): boolean {
    return this.#isTaking;
  }

  /**
   * @param meta the stream's birth
   * @throws Regression for what only this instance has, and for a head that is older in the stream; CofferError `unavailable` where
   *   a heal is at work; what `admission` does, and nats.js
   */
  async run(
    connection: NatsConnection,
    meta: Meta,
    admission: Admission,
    closing: AbortSignal,
  ): Promise<Reconciled> {
    const manager = await managerOf(connection);
    const healing = new AbortController();
    const signal = AbortSignal.any([closing, healing.signal]);
    const look = async () => {
      try {
        await this.#requireNoHeal(manager);
      } catch (error) {
        if (error instanceof CofferError) healing.abort(error);
      }
    };
    const looks = setInterval(() => void look(), LOOK_MS).unref();
    try {
      await this.#requireNoHeal(manager);
      const surveyed = await this.#survey(connection, manager);
      signal.throwIfAborted();
      this.#isTaking = true;
      // Who heals asks after it has announced it: either this sees that, or is seen at work and waited for.
      await this.#requireNoHeal(manager);
      // Its note of the earlier epoch holds back what is removed meanwhile, and stays until all is taken over: broken off, and with
      // one of this epoch, what it has would count for nothing.
      const { layout, members } = this.#options;
      if (surveyed) await members.own.stand(manager, connection);
      else await members.join(readingOf(await manager.streams.info(layout.stream), meta));
      return await this.#take(connection, manager, meta, admission, signal, surveyed);
    } catch (error) {
      const found = regressionOf(error);
      throw found ? new Regression(found.kind, found.message, meta.epoch) : error;
    } finally {
      this.#isTaking = false;
      clearInterval(looks);
    }
  }

  /** @returns false for an instance that begins anew: what it has counts for nothing */
  async #survey(connection: NatsConnection, manager: JetStreamManager): Promise<boolean> {
    const { layout, seal, replica, sense, signs, onNotice } = this.#options;
    const { stream } = layout;
    const { instance, position, life, origin } = replica;
    const { epoch = UNPROVEN } = origin ?? {};
    // What it was filled with nobody has looked at, and it has nothing else.
    if (epoch === UNPROVEN) return false;
    const { said } = (await lastOfMember(manager, layout, seal, instance)) ?? {};
    if (isBlank(said, { epoch, position, life })) {
      if (said && !said.note) {
        onNotice(
          'This instance was forgotten (coffer storage forget) and is there again: it takes over what the others have, and what only it had is gone.',
        );
      }
      return false;
    }
    const { created } = await manager.streams.info(stream);
    await survey({ connection, manager, layout, seal, replica, sense, signs, said, created });
    return true;
  }

  async #take(
    connection: NatsConnection,
    manager: JetStreamManager,
    meta: Meta,
    admission: Admission,
    signal: AbortSignal,
    surveyed: boolean,
  ): Promise<Reconciled> {
    const parts = { ...this.#options, connection, manager, admission, surveyed };
    return await new Reconciliation(parts).run(meta, signal);
  }

  /** @throws CofferError `unavailable` while a heal is at work */
  async #requireNoHeal(manager: JetStreamManager): Promise<void> {
    const { layout, alarm } = this.#options;
    const found = await lastNote(manager, layout.stream, layout.alarm);
    const said = parsedNote(found?.data, parseAlarm);
    if (said?.healer === undefined) return;
    await alarm.heard(said);
    throw new CofferError('unavailable', 'the store is being healed: ask again when it is done');
  }
}
