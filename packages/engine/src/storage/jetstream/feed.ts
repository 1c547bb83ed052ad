import { setTimeout as wait } from 'node:timers/promises';
import {
  JetStreamApiError,
  type JetStreamManager,
  jetstreamManager,
  type StreamInfo,
} from '@nats-io/jetstream';
import { errors, type NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Admission } from '../shared.js';
import { admitted, Regression, regressionOf } from './admission.js';
import { AlarmBell } from './alarm.js';
import type { Beats } from './beats.js';
import { Comeback } from './comeback.js';
import { unavailable } from './commit-errors.js';
import { Continuity, lastNote } from './continuity.js';
import { beginOf, EpochSeal, Outdated, requireEpoch, UNPROVEN } from './epoch.js';
import { HealAsk } from './heal-ask.js';
import { HealPeer } from './heal-peer.js';
import type { RecordSense } from './heal-plan.js';
import { PeerSeal } from './heal-talk.js';
import { Intake, type Whole } from './intake.js';
import { readLast } from './last.js';
import { isLiteral, type Layout } from './layout.js';
import { Leases } from './leases.js';
import type { Link } from './link.js';
import { sealedMark } from './mark.js';
import { Members, readingOf } from './members.js';
import { MessageSeal } from './message-seal.js';
import { decodeMessage } from './messages.js';
import { type Mark, type Meta, parseAlarm, unlessStrange } from './notes.js';
import { isProven } from './proof.js';
import type { AppliedHead } from './reconciliation.js';
import type { ReplicaLike } from './replica-contract.js';
import { Scrubber } from './scrubber.js';
import { Tap } from './tap.js';
import { type Awaited, Waiters } from './waiters.js';

/** An instance that is so many messages behind reads all of the stream up to its end first, see {@link Layout.whole}. */
const FAR = 5_000;
/** Between two looks whether the stream is still what it was. */
const LOOK_MS = 1_000;
/** Between two attempts to read on. */
const RETRY_MS = 250;
/** Between two comparisons of all records; some more by chance, so that not all instances read at once. */
const SCRUB_MS = 5 * 60_000;
/** How long JetStream has for an answer. */
const ANSWER_MS = 3_000;
/** Beats that do not come back for so long: the stream has no leader, or takes no messages. */
const SILENT_MS = 3_000;

export interface FeedOptions {
  readonly layout: Layout;
  /** The record of the key ring, which is there before there is a key to seal with. */
  readonly fence?: Uint8Array | undefined;
  readonly replica: ReplicaLike;
  readonly link: Link;
  readonly beats: Beats;
  /** Of this instance, for people. */
  readonly name: string;
  /** Of coffer. */
  readonly version: string;
  readonly sense: RecordSense;
  /** Between two notes of how far it is, in milliseconds. */
  readonly noteMs?: number | undefined;
  /** How long a head that was removed is remembered, in milliseconds: see {@link Sweeper}. */
  readonly rememberedMs?: number | undefined;
  /** Told, for people, of what this instance did by itself. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
}

/**
 * Takes the stream over into the replica: reads it from where the replica is, lets the engine look at each head, writes what came
 * in one transaction, and tells in the same turn who waits for it. It begins again whenever it got lost, and looks first, and each
 * second, whether the stream still has all that it had. If not, it raises the alarm and takes nothing over until the store is healed.
 *
 * Life: {@link fill} for a new replica, {@link start} … {@link close}.
 */
export class Feed {
  readonly alarm: AlarmBell;
  readonly members: Members;
  /** This instance heals the store. */
  healing = false;
  readonly leases: Leases;
  readonly #peer: HealPeer;
  readonly #seal: EpochSeal;
  /** Of what lies in the bucket. */
  readonly messageSeal: MessageSeal;
  readonly #comeback: Comeback;
  readonly #options: FeedOptions;
  readonly #continuity: Continuity;
  readonly #scrubber: Scrubber;
  readonly #closing = new AbortController();
  readonly #listeners = new Set<(heads: readonly AppliedHead[] | 'reset') => void>();
  readonly #waiters = new Waiters();
  #running: Promise<void> | undefined;
  #admission: Admission | undefined;
  #wake: AbortController | undefined;
  #position: number;
  #settled: number;
  #mark: PlacedMark | undefined;
  #problem: CofferError | undefined;
  #state: { readonly bytes: number; readonly lastSequence: number } | undefined;
  #session: Session | undefined;
  #outdated: Meta | undefined;
  /** An own beat that came back, and counts as soon as nothing lacks of what lay before it. */
  #beat: string | undefined;
  /** Where to read on, if not behind what was read. */
  #from: number | undefined;

  constructor(options: FeedOptions) {
    const { layout, fence, replica, link, beats, sense, onNotice = () => {} } = options;
    const { instance } = replica;
    this.#options = options;
    this.#position = replica.position;
    this.#settled = replica.settled;
    this.#seal = new EpochSeal(layout.stream);
    const { stream } = layout;
    this.messageSeal = new MessageSeal({ stream, exempt: fence && layout.record(fence) });
    this.#continuity = new Continuity({
      layout,
      replica,
      seal: this.#seal,
      messageSeal: this.messageSeal,
      hasLapsed: () => this.members.own.hasLapsed,
    });
    this.alarm = new AlarmBell(layout, replica, this.#seal);
    this.members = new Members({
      ...options,
      seal: this.messageSeal,
      position: () => this.#position,
      answering: (instances) => this.#answering(instances),
    });
    this.#comeback = new Comeback({
      ...options,
      seal: this.messageSeal,
      alarm: this.alarm,
      members: this.members,
      onNotice,
    });
    const paused = () => this.alarm.stopsReading && !this.#session && !this.#comeback.isTaking;
    this.#peer = new HealPeer({ layout, link, replica, sense, paused, healing: () => this.healing });
    this.leases = new Leases({ layout, link, instance, age: () => beats.age() });
    this.#scrubber = new Scrubber({
      ...options,
      continuity: this.#continuity,
      members: this.members,
      leases: this.leases,
      position: () => this.#position,
      settled: (sequence, signal) => this.untilSettled(sequence, signal),
    });
  }

  /** Up to where the stream is applied: durable and visible. */
  get position(): number {
    return this.#position;
  }

  /** Up to where nothing lacks, see {@link ReplicaLike.settled}, and is visible. */
  get settled(): number {
    return Math.min(this.#settled, this.#options.replica.settled);
  }

  /** The newest of this instance that is applied. */
  get mark(): PlacedMark | undefined {
    return this.#mark;
  }

  /** Why changes must be refused now; undefined when the stream is read and takes messages. */
  get problem(): CofferError | undefined {
    const { link, beats } = this.#options;
    if (this.alarm.problem) return this.alarm.problem;
    if (!link.connection) return unavailable(link.problem);
    if (!this.#running) return unavailable('it is not followed yet');
    if (this.#problem) return this.#problem;
    if (this.#admission?.problem) return this.#admission.problem;
    return beats.age() > SILENT_MS ? unavailable(NO_MAJORITY) : undefined;
  }

  /** What the stream's leader said last. */
  get state(): { readonly bytes: number; readonly lastSequence: number } | undefined {
    return this.#state;
  }

  /**
   * Resolves when what the stream has up to that sequence is applied. What was replaced further on may lack.
   *
   * @param signal ends the wait
   * @throws CofferError `stopped` when it was closed, `store_alarm` when the stream cannot be believed any more; the signal's reason
   */
  passed(sequence: number, signal?: AbortSignal): Promise<void> {
    return this.#until({ sequence, is: () => this.#position }, signal);
  }

  /** As {@link passed}, and nothing lacks. */
  untilSettled(sequence: number, signal?: AbortSignal): Promise<void> {
    return this.#until({ sequence, is: () => this.settled }, signal);
  }

  async #until(awaited: Awaited, signal: AbortSignal | undefined): Promise<void> {
    if (awaited.is() >= awaited.sequence) return;
    if (this.#closing.signal.aborted) throw closed();
    if (this.alarm.isOwn && this.alarm.problem) throw this.alarm.problem;
    await this.#waiters.wait(awaited, signal);
  }

  /** How many wait in {@link passed} and {@link untilSettled}. */
  get waiting(): number {
    return this.#waiters.count;
  }

  /** Told of heads in the turn in which they become visible, or that all may have changed. @returns a function that ends it */
  onHeads(listener: (heads: readonly AppliedHead[] | 'reset') => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Reads all that is in the stream at this moment into a new replica, before anybody can say whether it is good.
   *
   * @throws CofferError `unavailable`, `store_alarm`, `tampered`, `storage_full`; of an alarm it says what to do, and where
   */
  async fill(): Promise<void> {
    const connection = this.#options.link.connection;
    if (!connection) throw unavailable(this.#options.link.problem);
    try {
      await this.#read(connection, undefined, true).catch((error: unknown) =>
        this.#fillAnew(connection, error),
      );
    } catch (error) {
      const problem = await this.#failed(error);
      throw this.alarm.current ? this.#notStarted(problem) : problem;
    }
  }

  /** Of a new instance, at which nobody can heal: it has no socket yet. */
  #notStarted({ message }: CofferError): CofferError {
    const { name, replica } = this.#options;
    return new CofferError(
      'store_alarm',
      `there is an alarm in the store, so that this new instance (${name}, ${replica.instance}) was not started, and changed nothing: ` +
        `look at an instance that runs (“coffer storage status”), heal there, and start this one again. The alarm: ${message}`,
    );
  }

  /** Follows from now on. Once. */
  start(admission: Admission): void {
    for (const seal of [this.#seal, this.messageSeal]) {
      seal.begin((message) => admission.authenticate(message));
    }
    this.#admission = admission;
    this.#running ??= this.#run(admission);
    this.#peer.start((message) => admission.authenticate(message));
    this.#options.link.onChange(() => {
      // Whatever was lost with the connection: a new reading begins with a look at the stream.
      this.#session?.tap.break(unavailable(this.#options.link.problem));
      this.#wake?.abort();
    });
  }

  /** Looks at the stream now. What it finds is in {@link problem}. */
  async look(): Promise<void> {
    const session = this.#session;
    if (!session || session.looking) return session?.looking;
    session.looking = this.#look(session)
      .catch((error: unknown) => {
        if (error instanceof Regression || error instanceof Outdated) session.tap.break(error);
      })
      .finally(() => {
        session.looking = undefined;
      });
    return session.looking;
  }

  /**
   * Compares all records with the stream's, and sweeps. What it finds is in {@link alarm}; what this instance had missed it reads again.
   *
   * @returns how many were compared; undefined if the stream is not followed now, or the comparison was broken off
   */
  async scrub(): Promise<number | undefined> {
    const session = this.#session;
    if (!session || session.scrubbing) return session?.scrubbing;
    session.scrubbing = this.#scrub(session).finally(() => {
      session.scrubbing = undefined;
    });
    return session.scrubbing;
  }

  async #scrub(session: Session): Promise<number | undefined> {
    const { manager, connection, tap } = session;
    try {
      const goesOn = () => session === this.#session && !this.alarm.current;
      const { missed, compared } = await this.#scrubber.run(manager, connection, goesOn);
      if (missed !== undefined && session === this.#session) {
        tap.break(unavailable('this instance had missed a record'));
        this.#from = missed;
      }
      return compared;
    } catch (error) {
      if (error instanceof Regression) tap.break(error);
      return undefined;
    }
  }

  async close(): Promise<void> {
    await this.leases.close();
    this.#peer.close();
    this.#closing.abort();
    this.#wake?.abort();
    this.#session?.tap.break(closed());
    await this.#running;
    this.#waiters.rejectAll(closed());
    this.#listeners.clear();
  }

  async #run(admission: Admission): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const connection = this.#options.link.connection;
      this.#problem ??= unavailable('it has not been read yet');
      try {
        if (connection && this.#outdated) await this.#reconcile(connection, this.#outdated, admission);
        else if (connection && this.alarm.stopsReading) await this.#standBy(connection);
        else if (connection) {
          await this.#read(connection, admission, false);
          continue;
        }
      } catch (error) {
        if (error instanceof Regression) this.#outdated = undefined;
        if (error instanceof Outdated) this.#isOutdated(error);
        else if (!this.#closing.signal.aborted) await this.#failed(error);
      }
      if (this.#closing.signal.aborted) return;
      this.#wake = new AbortController();
      await wait(RETRY_MS, undefined, { signal: this.#wake.signal }).catch(() => {});
    }
  }

  /**
   * One reading, until it gets lost; or, to `fill` and where much is to be read, until all is read that was there when it began.
   */
  async #read(connection: NatsConnection, admission: Admission | undefined, fill: boolean): Promise<void> {
    const { layout, replica, link, beats } = this.#options;
    const manager = await managerOf(connection);
    const position = () => this.#position;
    const { info, meta } = await this.#continuity.check(manager, connection, position);
    const { state } = this.#heard(info);
    const isProvenNow = await this.#prove(manager, connection, meta);
    // What it was told while it was filled may be over: if not, it is told again.
    if (isProvenNow) await this.alarm.clear();
    await this.members.join(this.#position === 0 ? readingOf(info, meta) : undefined);
    await this.#readNotes(manager, connection);
    await this.members.keep();
    if (this.alarm.current) await this.alarm.standBy(manager, connection, async () => true);
    if (this.alarm.stopsReading) throw unavailable('it is being healed');
    const from = this.#from ?? this.#position + 1;
    this.#from = undefined;
    const isFar = fill || state.last_seq - from > FAR;
    const what = isFar ? layout.whole(replica.instance) : { filters: layout.followed(replica.instance) };
    const { stream } = layout;
    const tap = await Tap.open({ connection, manager, stream, ...what, from, atLeader: isFar });
    const session: Session = { manager, connection, tap };
    this.#session = session;
    const looks = setInterval(() => void this.look(), LOOK_MS).unref();
    const scrubs = setInterval(() => void this.scrub(), SCRUB_MS * (1 + Math.random() / 10)).unref();
    const intake = new Intake(layout, this.messageSeal);
    // A beat marks the end of what is to be read, and its way back says how fresh the replica is.
    beats.start((payload) => link.connection?.publish(layout.beat(replica.instance), payload));
    this.members.own.start();
    this.leases.start();
    try {
      // Closed while the tap was opened, when there was nothing yet to break.
      if (this.#closing.signal.aborted) throw closed();
      await this.look();
      if (!fill && !isProvenNow) void this.scrub();
      for (let read = from - 1; !isFar || read < state.last_seq; ) {
        intake.add(await tap.next());
        const { messages, upTo, settled } = intake.take();
        if (upTo === undefined) continue;
        // A server that is behind itself has gaps, too, up to where the stream ended when it began to catch up.
        await this.#apply(messages, upTo, settled && upTo >= state.last_seq, admission, tap.ending);
        read = upTo;
      }
    } finally {
      clearInterval(looks);
      clearInterval(scrubs);
      this.#session = undefined;
      this.leases.stop();
      this.members.own.stop();
      beats.stop();
      tap.close();
    }
  }

  /** After a filling that was broken off: what was removed meanwhile may be forgotten. */
  async #fillAnew(connection: NatsConnection, error: unknown): Promise<void> {
    const { replica } = this.#options;
    const { origin } = replica;
    if (!(error instanceof Outdated) || !origin) throw error;
    await replica.clear();
    await replica.bind(origin);
    this.#position = 0;
    await this.#read(connection, undefined, true);
  }

  #isOutdated({ meta, isPutBack }: Outdated): void {
    this.#outdated = meta;
    if (!isPutBack) return;
    this.#options.onNotice?.(
      'The replica of this instance is older than what it has told the others that it has: its state folder was put back from a ' +
        'copy, or a reading of the whole store was broken off. It is compared with all of the store now, and answers when that is done.',
    );
  }

  /** What an alarm that stops the reading leaves to do: to see that all hear of it, and to wait for the heal. */
  async #standBy(connection: NatsConnection): Promise<void> {
    const manager = await managerOf(connection);
    this.#outdated = await this.alarm.standBy(manager, connection, () => this.#isWhole(manager, connection));
    if (this.#outdated) return;
    if (await this.members.own.standBy(manager, connection)) await this.#readNotes(manager, connection);
    this.#wake = new AbortController();
    await wait(LOOK_MS, undefined, { signal: this.#wake.signal }).catch(() => {});
  }

  /** Who of these instances answers. @throws CofferError `unavailable` */
  async #answering(instances: readonly string[]): Promise<string[]> {
    const { layout, link } = this.#options;
    if (!link.connection) throw unavailable(link.problem);
    const seal = new PeerSeal(layout.stream, (message) => this.#admission?.authenticate(message));
    const peers = await new HealAsk(link.connection, layout, seal).peers(instances);
    return peers.map(({ instance }) => instance);
  }

  /** Whether the stream is ours, and has what this instance had. */
  async #isWhole(manager: JetStreamManager, connection: NatsConnection): Promise<boolean> {
    try {
      const { info } = await this.#continuity.check(manager, connection, () => this.#position);
      this.#heard(info);
      return true;
    } catch (error) {
      if (error instanceof Regression) return false;
      throw error;
    }
  }

  async #reconcile(connection: NatsConnection, meta: Meta, admission: Admission): Promise<void> {
    // Until it is read to its end again, nothing is settled, of whichever epoch.
    this.#settled = 0;
    const { position, heads } = await this.#comeback.run(connection, meta, admission, this.#closing.signal);
    this.#position = position;
    this.#outdated = undefined;
    this.leases.begin();
    this.members.own.begin();
    await this.alarm.clear();
    for (const listener of this.#listeners) {
      // Who holds more than this store's events tell of begins anew; what was removed only these say.
      if (heads.length > 0) listener(heads);
      listener('reset');
    }
    this.#waiters.look();
  }

  /** What others said before: only what came since is read with the rest. */
  async #readNotes(manager: JetStreamManager, connection: NatsConnection): Promise<void> {
    const { layout } = this.#options;
    for await (const drops of readLast({
      connection,
      manager,
      stream: layout.stream,
      filters: layout.notes,
    })) {
      for (const drop of drops) {
        if (!isLiteral(drop.subject)) continue;
        const message = decodeMessage(layout, drop);
        if (message.kind !== 'record' && message.kind !== 'chunk') this.#note(message);
      }
    }
  }

  /**
   * What a new replica was told when it was made, and filled with: now there is a key to look at it with.
   *
   * @returns true if that was done now
   * @throws Outdated where it has to be read anew; Regression and CofferError `tampered` as the reading
   */
  async #prove(manager: JetStreamManager, connection: NatsConnection, meta: Meta): Promise<boolean> {
    const { layout, replica } = this.#options;
    const { origin } = replica;
    if (!this.#seal.isBegun || origin?.epoch !== UNPROVEN) return false;
    const seal = this.messageSeal;
    // Of a store that is being made there is nothing.
    const mayProve = seal.hasKey && replica.position > 0;
    if (mayProve && !(await isProven({ connection, manager, layout, seal, replica })))
      throw new Outdated(meta);
    await replica.bind({ ...origin, epoch: meta.epoch }, undefined, await beginOf(manager, layout, meta));
    return true;
  }

  async #look({ manager, connection }: Session): Promise<void> {
    this.#heard(await this.#continuity.look(manager, connection, () => this.#position));
    if (this.#admission?.problem) await this.#lookPast(manager);
  }

  /** While one head waits for its keys, what comes behind it is not read; but all stop for an alarm, and follow after a heal. */
  async #lookPast(manager: JetStreamManager): Promise<void> {
    const { layout, replica } = this.#options;
    const alarm = await lastNote(manager, layout.stream, layout.alarm);
    const meta = await lastNote(manager, layout.stream, layout.meta);
    if (alarm?.data) await this.#heardAlarm(alarm.data);
    else requireEpoch(meta?.data, replica.origin, this.#seal);
  }

  #heard(info: StreamInfo): StreamInfo {
    this.#state = { bytes: info.state.bytes, lastSequence: info.state.last_seq };
    return info;
  }

  async #apply(
    messages: readonly Whole[],
    upTo: number,
    settled: boolean,
    admission: Admission | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const { replica, beats } = this.#options;
    const writes = await admitted(messages, replica, admission, true, signal);
    const mark = this.#markOf(messages);
    const position = Math.max(upTo, this.#position);
    await replica.apply(writes, [], position, { mark: mark?.revision, settled });
    this.#mark = mark ?? this.#mark;
    this.#position = position;
    this.#settled = replica.settled;
    const heads = writes.filter(({ isHead }) => isHead);
    const removed = writes.filter(({ bytes }) => bytes === undefined).length;
    if (removed > 0) this.members.own.tellSoon();
    this.#scrubber.removed(removed);
    if (this.#scrubber.isDue) void this.scrub();
    if (heads.length > 0) for (const listener of this.#listeners) listener(heads);
    for (const message of messages) this.#note(message);
    if (settled && this.#beat !== undefined) {
      beats.came(this.#beat);
      this.#beat = undefined;
    }
    this.#waiters.look();
    this.#problem = undefined;
  }

  /** The newest of this instance among them. What it has not sealed somebody else wrote, and says nothing. */
  #markOf(messages: readonly Whole[]): PlacedMark | undefined {
    const { instance } = this.#options.replica;
    for (const one of messages.toReversed()) {
      if (one.kind !== 'mark' || one.instance !== instance) continue;
      const mark = sealedMark(this.messageSeal, one.message);
      if (mark) return { ...mark, revision: one.sequence };
    }
    return undefined;
  }

  #note(message: Whole): void {
    const { replica, beats } = this.#options;
    switch (message.kind) {
      case 'beat':
        if (message.instance === replica.instance && message.bytes) {
          this.#beat = Buffer.from(message.bytes).toString();
        }
        return;
      case 'member':
        this.members.heard(message.instance, message.message);
        beats.members = this.members.alive;
        if (this.members.isForgotten) this.#session?.tap.break(unavailable('this instance was forgotten'));
        return;
      case 'lease':
        unlessStrange(() => this.leases.heard(message.work, message.bytes, message.sequence));
        return;
      case 'alarm':
        if (message.bytes) void this.#heardAlarm(message.bytes);
        return;
      case 'meta':
        requireEpoch(message.bytes, replica.origin, this.#seal);
    }
  }

  async #heardAlarm(bytes: Uint8Array): Promise<void> {
    const said = unlessStrange(() => parseAlarm(bytes));
    if (!said) return;
    await this.alarm.heard(said).catch(() => {});
    if (this.alarm.stopsReading) this.#session?.tap.break(unavailable('the store is being healed'));
  }

  /** @returns why the stream is not followed now */
  async #failed(error: unknown): Promise<CofferError> {
    const found = regressionOf(error);
    if (found) {
      await this.alarm.raise(found).catch(() => {});
      if (this.alarm.problem) this.#waiters.rejectAll(this.alarm.problem);
    }
    this.#problem = error instanceof CofferError ? error : unavailable(reasonOf(error));
    return this.alarm.problem ?? this.#problem;
  }
}

/** A mark as the stream has it. */
export interface PlacedMark extends Mark {
  readonly revision: number;
}

const managerOf = (connection: NatsConnection): Promise<JetStreamManager> =>
  jetstreamManager(connection, { timeout: ANSWER_MS, checkAPI: false });

interface Session {
  readonly manager: JetStreamManager;
  readonly connection: NatsConnection;
  readonly tap: Tap;
  looking?: Promise<void> | undefined;
  scrubbing?: Promise<number | undefined> | undefined;
}

const NO_MAJORITY =
  'JetStream takes no messages, as while more than half of its servers are away or have no room on their disks';

/** "JetStream system temporarily unavailable". */
const NO_LEADER = 10_008;

const reasonOf = (error: unknown): string =>
  error instanceof errors.TimeoutError || (error instanceof JetStreamApiError && error.code === NO_LEADER)
    ? NO_MAJORITY
    : (error as Error).message;

const closed = () => new CofferError('stopped', 'the store is closed');
