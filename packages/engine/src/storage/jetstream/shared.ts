import { setTimeout as wait } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';

import { CofferError } from '../../errors.js';
import type {
  Admission,
  Freshness,
  HealReport,
  HealRequest,
  Lease,
  MemberName,
  MemberStatus,
  ReplicaCount,
  SetAside,
  SharedHealth,
  SharedStatus,
  SharedStorage,
  StorageAlarm,
} from '../shared.js';
import type { Beats } from './beats.js';
import { type BucketFacts, bucketStatus, changeReplicas, openBucket } from './bucket.js';
import type { Committer } from './committer.js';
import { lastNote } from './continuity.js';
import type { Feed } from './feed.js';
import { expectedSync } from './fitness.js';
import { Heal, type HealOptions } from './heal.js';
import { requireAway } from './heal-absent.js';
import type { RecordSense } from './heal-plan.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import { noAnswer } from './no-answer.js';
import type { JetStreamOptions } from './options.js';
import { type Owed, owedOf, positionOf } from './position.js';
import type { ReplicaLike, ReplicaOrigin } from './replica-contract.js';
import { setAside } from './set-aside.js';

/** How long JetStream has for an answer. */
const ANSWER_MS = 2_000;
/** How long somebody waits for what another instance has shown. */
const REACH_MS = 1_000;
/** How far behind the stream's end, as it was a second ago at the most, somebody may have seen something. */
const REACH_AHEAD = 1_000_000;
/** So many may wait at a time; the others are told at once to ask again. */
const REACH_WAITERS = 1_000;
/** How long a heal waits until this instance follows again. */
const HEALED_MS = 30_000;
const HEALED_LOOK_MS = 50;

export interface SharedParts {
  readonly options: JetStreamOptions;
  readonly layout: Layout;
  readonly replica: ReplicaLike;
  readonly link: Link;
  readonly feed: Feed;
  readonly beats: Beats;
  readonly committer: Committer;
  readonly facts: () => BucketFacts | undefined;
  readonly problem: () => CofferError | undefined;
  readonly sense: RecordSense;
  readonly isNewReplica: boolean;
  readonly onFollow: () => void;
}

/** A position as it was written last. */
interface KnownPosition {
  readonly origin: ReplicaOrigin | undefined;
  readonly sequence: number;
  readonly text: string;
}

/** What the instances of a store in JetStream know of each other, in the words of the engine. */
export class JetStreamShared implements SharedStorage {
  readonly #parts: SharedParts;
  #admission: Admission | undefined;
  #isFollowing = false;
  #position: KnownPosition | undefined;
  /** How many wait in {@link reached}. */
  #reaching = 0;

  constructor(parts: SharedParts) {
    this.#parts = parts;
  }

  get instance(): string {
    return this.#parts.replica.instance;
  }

  get bucket(): string {
    return this.#parts.options.bucket;
  }

  get isNewReplica(): boolean {
    return this.#parts.isNewReplica;
  }

  /** Whether {@link follow} was called. */
  get isFollowing(): boolean {
    return this.#isFollowing;
  }

  follow(admission: Admission): void {
    this.#isFollowing = true;
    this.#admission = admission;
    this.#parts.feed.start(admission);
    this.#parts.onFollow();
  }

  get freshness(): Freshness {
    return this.#parts.beats;
  }

  get position(): string {
    const { origin } = this.#parts.replica;
    const sequence = this.#parts.feed.position;
    // Every answer carries it, and only commits and beats move it.
    const known = this.#position;
    if (known?.sequence === sequence && known.origin === origin) return known.text;
    const text = positionOf(origin, sequence);
    this.#position = { origin, sequence, text };
    return text;
  }

  reached(position: string): void | Promise<void> {
    const { replica, feed } = this.#parts;
    // What most callers name.
    if (feed.settled === feed.position && position === this.position) return;
    const owed = owedOf(position, replica.origin);
    if (!owed || (owed.epoch === this.#epoch && feed.settled >= owed.sequence)) return;
    return this.#reach(owed);
  }

  async #reach({ epoch, sequence }: Owed): Promise<void> {
    const { feed } = this.#parts;
    // Anybody who may read sends these, and those who wait are looked through with every commit.
    const end = Math.max(feed.position, feed.state?.lastSequence ?? 0);
    if (this.#reaching >= REACH_WAITERS || (epoch === this.#epoch && sequence > end + REACH_AHEAD))
      throw behind();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(behind()), REACH_MS);
    this.#reaching++;
    try {
      await feed.untilSettled(sequence, late.signal);
    } catch (error) {
      if (error instanceof CofferError && error.code === 'stopped') throw error;
      throw behind();
    } finally {
      this.#reaching--;
      clearTimeout(timer);
    }
    if (epoch > this.#epoch) throw behind();
  }

  confirmedByAll(revision: number): boolean {
    return this.#parts.feed.members.confirmedByAll(revision);
  }

  get members(): readonly MemberStatus[] {
    return this.#parts.feed.members.list();
  }

  lease(work: string): Lease {
    return this.#parts.feed.leases.lease(work);
  }

  get alarm(): StorageAlarm | undefined {
    return this.#parts.feed.alarm.current;
  }

  onAlarm(listener: () => void): () => void {
    return this.#parts.feed.alarm.onChange(listener);
  }

  get health(): SharedHealth {
    const { options, link, replica, feed, beats, committer, facts, problem } = this.#parts;
    const { members } = this;
    return {
      instance: replica.instance,
      connected: link.connection !== undefined,
      problem: problem(),
      alarm: feed.alarm.current,
      replicaAge: beats.age(),
      replicaSequence: feed.position,
      isBeginning: feed.isBeginning,
      sync: facts()?.sync ?? expectedSync(options),
      room: committer.room,
      members: members.length,
      membersAlive: members.filter(({ alive }) => alive).length,
      conflicts: committer.conflicts,
      inDoubt: committer.inDoubt,
    };
  }

  async status(): Promise<SharedStatus> {
    const { link, layout, options, facts } = this.#parts;
    const { connection } = link;
    const known = facts();
    const told = connection && (await bucketStatus(connection, layout).catch(() => undefined));
    return {
      health: this.health,
      bucket: options.bucket,
      replicas: told?.replicas ?? known?.replicas ?? options.replicas,
      streamSequence: told?.sequence,
      bytes: told?.bytes,
      maxBytes: told?.maxBytes ?? known?.maxBytes ?? options.maxBytes,
      servers: told?.servers ?? [],
      members: this.members,
    };
  }

  async newest(key: Uint8Array): Promise<Uint8Array | undefined> {
    const { layout } = this.#parts;
    const connection = this.#connection;
    try {
      const manager = await jetstreamManager(connection, { checkAPI: false, timeout: ANSWER_MS });
      return (await lastNote(manager, layout.stream, layout.record(key)))?.data;
    } catch (cause) {
      throw noAnswer(cause);
    }
  }

  still<T>(task: () => Promise<T>): Promise<T> {
    return this.#parts.replica.still(task);
  }

  async setReplicas(replicas: ReplicaCount): Promise<void> {
    await changeReplicas(this.#connection, this.#parts.layout, replicas);
  }

  async withdraw(): Promise<void> {
    const { feed, replica, isNewReplica } = this.#parts;
    // One that follows says every few seconds that it is there; one that was a member before goes on to be waited for.
    if (!isNewReplica || this.#isFollowing) return;
    try {
      await feed.members.own.leave();
    } catch (cause) {
      throw noAnswer(cause);
    }
    await replica.clear();
  }

  forget(member: string): Promise<MemberName> {
    return this.#parts.feed.members.forget(member);
  }

  async heal({ dryRun, giveUpDamaged, without, join }: HealRequest): Promise<HealReport> {
    const { layout, replica, feed, sense, options } = this.#parts;
    const connection = this.#connection;
    const admission = this.#admission;
    if (!admission) throw new CofferError('unavailable', 'this instance does not follow the store yet');
    if (feed.healing) throw new CofferError('conflict', 'a heal is at work: wait until it is done');
    const incarnation = replica.origin?.incarnation;
    feed.healing = true;
    try {
      const heal: HealOptions = {
        connection,
        layout,
        seal: feed.messageSeal,
        replica,
        alarm: feed.alarm,
        sense,
        admission,
        members: () => feed.members.list(),
        makeStream: async () => void (await openBucket(connection, options, layout, undefined, incarnation)),
        dryRun,
        giveUpDamaged,
        without,
        join,
      };
      const nothing = dryRun ? undefined : await this.#nothingToHeal(heal);
      if (nothing) return nothing;
      const report = await new Heal(heal).run();
      if (!dryRun) await this.#healed();
      return report;
    } catch (cause) {
      if (cause instanceof CofferError) throw cause;
      const why = (cause as Error).message;
      throw new CofferError('unavailable', `the heal was broken off: ${why}; begin it again`, { cause });
    } finally {
      feed.healing = false;
    }
  }

  /**
   * Looks first where nothing is known to be wrong, and all members are to be there, since a heal stops all changes; and where a
   * person goes on without members, of whom one may answer.
   *
   * @returns what a heal would say that has nothing to do
   */
  async #nothingToHeal(options: HealOptions): Promise<HealReport | undefined> {
    const { alarm, without = [], members } = options;
    const isCalm = alarm.raised === undefined;
    if (!isCalm && without.length === 0) return undefined;
    const look = await new Heal({ ...options, dryRun: true }).run();
    requireAway({ members: members(), compared: look.compared, without });
    if (!isCalm || without.length > 0) return undefined;
    if (look.refusal) throw look.refusal;
    const found = [look.restored, look.removed, look.foreign, look.setAside];
    const lists = [look.forks, look.taken, look.damaged];
    const isWhole = found.every((count) => count === 0) && lists.every(({ length }) => length === 0);
    return isWhole ? { ...look, dryRun: false } : undefined;
  }

  async setAside(remove: boolean): Promise<SetAside> {
    const connection = this.#connection;
    try {
      return await setAside(connection, this.#parts.layout, remove);
    } catch (cause) {
      const why = (cause as Error).message;
      throw new CofferError('unavailable', `what was set aside cannot be looked at, or removed: ${why}`, {
        cause,
      });
    }
  }

  /** This instance has taken over what the heal made of the stream; the others do so at the same time. */
  async #healed(): Promise<void> {
    const { alarm } = this.#parts.feed;
    for (const end = performance.now() + HEALED_MS; alarm.current && performance.now() < end; ) {
      await wait(HEALED_LOOK_MS);
    }
  }

  async close(): Promise<void> {}

  /** @throws CofferError `unavailable` where there is none */
  get #connection(): NatsConnection {
    const { connection, problem } = this.#parts.link;
    if (connection) return connection;
    throw new CofferError('unavailable', `NATS cannot be reached: ${problem}`);
  }

  get #epoch(): number {
    return this.#parts.replica.origin?.epoch ?? 0;
  }
}

const behind = (): CofferError =>
  new CofferError(
    'stale',
    'this instance has not yet what another one has shown you: ask again, or ask that one',
  );
