import { setTimeout as wait } from 'node:timers/promises';
import { JetStreamApiError } from '@nats-io/jetstream';
import { errors, type NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import type { Admission } from '../shared.js';
import { Regression, regressionOf } from './admission.js';
import type { Beats } from './beats.js';
import type { Stray } from './beside.js';
import type { Comeback } from './comeback.js';
import { unavailable } from './commit-errors.js';
import { Outdated } from './epoch.js';
import { Hearing } from './hearing.js';
import type { Taken } from './intake.js';
import type { Leases } from './leases.js';
import type { Link } from './link.js';
import { managerOf } from './manager.js';
import type { Meta } from './notes.js';
import { Preparation, type PreparationOptions } from './preparation.js';
import { Reading } from './reading.js';
import type { Scrubber } from './scrubber.js';
import { requireCameTrue } from './stray.js';

/** Between two looks whether the store was healed. */
const LOOK_MS = 1_000;
/** Between two attempts to read on. */
const RETRY_MS = 250;
/** Beats that do not come back for so long: the stream has no leader, or takes no messages. */
const SILENT_MS = 3_000;

export interface FollowingOptions extends Omit<PreparationOptions, 'hearing'> {
  readonly link: Link;
  readonly beats: Beats;
  /** Of this instance, for people. */
  readonly name: string;
  readonly leases: Leases;
  readonly comeback: Comeback;
  readonly scrubber: Scrubber;
  readonly onNotice: (sentence: string) => void;
}

/**
 * Reads the stream again and again, from where it got lost: looks first whether the stream still has all that it had, and takes over
 * what comes. If it has not, it raises the alarm and takes nothing over until the store is healed; then it compares all that is here with
 * the stream.
 *
 * Life: {@link fill} for a new replica, {@link start} … {@link close}.
 */
export class Following {
  readonly #options: FollowingOptions;
  readonly #hearing: Hearing;
  readonly #preparation: Preparation;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #admission: Admission | undefined;
  #wake: AbortController | undefined;
  #problem: CofferError | undefined;
  #beginning: CofferError | undefined;
  #reading: Reading | undefined;
  #outdated: Meta | undefined;
  /** The server that was read at is behind: until all is read that there is, only the one is believed that leads. */
  #isLeftBehind = false;
  /** Where to read on, if not behind what was read. */
  #from: number | undefined;

  constructor(options: FollowingOptions) {
    this.#options = options;
    this.#hearing = new Hearing({ ...options, stop: (why) => this.#reading?.break(why) });
    this.#preparation = new Preparation({ ...options, hearing: this.#hearing });
  }

  /** Why changes must be refused now; undefined when the stream is read and takes messages. */
  get problem(): CofferError | undefined {
    const { alarm, link, beats } = this.#options;
    if (alarm.problem) return alarm.problem;
    if (!link.connection) return unavailable(link.problem);
    if (!this.#running) return unavailable('it is not followed yet');
    // A reading that waits for a root key has applied nothing, which is all that ends the other problem.
    if (this.#admission?.problem) return this.#admission.problem;
    if (this.#problem) return this.#problem;
    return beats.age() > SILENT_MS ? unavailable(NO_MAJORITY) : undefined;
  }

  /** That is all that the {@link problem} is: in a moment the stream is read. */
  get isBeginning(): boolean {
    return this.#beginning !== undefined && this.problem === this.#beginning;
  }

  #begin(why: string): CofferError {
    this.#beginning = unavailable(why);
    return this.#beginning;
  }

  get isReading(): boolean {
    return this.#reading !== undefined;
  }

  /** Why nothing more is read, or may be believed; undefined otherwise. */
  get refusal(): CofferError | undefined {
    const { alarm } = this.#options;
    if (this.#closing.signal.aborted) return closed();
    return alarm.isOwn ? alarm.problem : undefined;
  }

  /** As {@link Feed.fill}. */
  async fill(): Promise<void> {
    const { link, alarm } = this.#options;
    const { connection } = link;
    if (!connection) throw unavailable(link.problem);
    try {
      await this.#read(connection, true).catch((error: unknown) => this.#fillAnew(connection, error));
    } catch (error) {
      const problem = await this.#failed(error);
      throw alarm.current ? this.#notStarted(problem) : problem;
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

  start(admission: Admission): void {
    const { link } = this.#options;
    this.#admission = admission;
    this.#running ??= this.#run(admission);
    link.onChange(() => {
      // Whatever was lost with the connection: a new reading begins with a look at the stream.
      this.#reading?.break(unavailable(link.problem));
      this.#wake?.abort();
    });
  }

  /** As {@link Feed.look}. */
  async look(): Promise<void> {
    return this.#reading?.look();
  }

  /** As {@link Feed.scrub}. */
  async scrub(): Promise<number | undefined> {
    return this.#reading?.scrub();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#wake?.abort();
    this.#reading?.break(closed());
    await this.#running;
    this.#options.progress.close(closed());
  }

  async #run(admission: Admission): Promise<void> {
    const { link, alarm } = this.#options;
    while (!this.#closing.signal.aborted) {
      const { connection } = link;
      this.#problem ??= this.#begin('it has not been read yet');
      try {
        if (connection && this.#outdated) await this.#reconcile(connection, this.#outdated, admission);
        else if (connection && alarm.stopsReading) await this.#standBy(connection);
        else if (connection) {
          await this.#read(connection, false);
          continue;
        }
      } catch (error) {
        if (error instanceof Regression) this.#outdated = undefined;
        if (error instanceof Outdated) this.#isOutdated(error);
        else if (!this.#closing.signal.aborted) await this.#failed(error);
      }
      if (this.#closing.signal.aborted) return;
      await this.#pause(RETRY_MS);
    }
  }

  /** Until something has happened to the connection, at most so long. */
  async #pause(milliseconds: number): Promise<void> {
    this.#wake = new AbortController();
    await wait(milliseconds, undefined, { signal: this.#wake.signal }).catch(() => {});
  }

  /** One reading, until it gets lost; or, to `fill` and where much is to be read, until all is read that was there when it began. */
  async #read(connection: NatsConnection, fill: boolean): Promise<void> {
    const { layout, replica, link, beats, members, leases, progress, messageSeal: seal } = this.#options;
    const manager = await managerOf(connection);
    const { end, isProvenNow } = await this.#preparation.run(manager, connection);
    const from = this.#from ?? progress.position + 1;
    this.#from = undefined;
    const { instance } = replica;
    const reading = await Reading.open({
      connection,
      manager,
      layout,
      seal,
      instance,
      from,
      end,
      fill,
      atLeader: this.#isLeftBehind,
      look: (one) => this.#look(one),
      scrub: (reading) => this.#scrub(reading),
    });
    this.#reading = reading;
    // A beat marks the end of what is to be read, and its way back says how fresh the replica is.
    beats.start((payload) => link.connection?.publish(layout.beat(instance), payload));
    members.own.start();
    leases.start();
    try {
      // Closed while the reading was opened, when there was nothing yet to break.
      if (this.#closing.signal.aborted) throw closed();
      await reading.look();
      if (!fill && !isProvenNow) void reading.scrub();
      for await (const taken of reading.taken()) await this.#apply(taken, reading);
    } finally {
      this.#reading = undefined;
      leases.stop();
      members.own.stop();
      beats.stop();
      reading.close();
    }
  }

  async #apply(taken: Taken, { ending, manager, connection }: Reading): Promise<void> {
    const { progress, members, scrubber, signs, layout, lookout, messageSeal: seal } = this.#options;
    // While a replica is filled nobody can look at what comes.
    const admission = this.#admission;
    const judge = (strays: readonly Stray[]) =>
      requireCameTrue(strays, {
        manager,
        layout,
        seal,
        confirmed: (look) => lookout.confirmed(connection, look),
        requireSame: () => lookout.check(manager, connection),
        isInUse: () => true,
      });
    const writes = await signs.during(() => progress.take(taken, admission, ending, admission && judge));
    const heads = writes.filter(({ isHead }) => isHead);
    const removed = writes.filter(({ bytes }) => bytes === undefined).length;
    if (removed > 0) members.own.tellSoon();
    scrubber.removed(removed);
    if (scrubber.isDue) void this.scrub();
    if (heads.length > 0) progress.tell(heads);
    this.#hearing.take(taken.messages);
    if (taken.settled) {
      this.#hearing.settled();
      this.#isLeftBehind = false;
    }
    progress.wake();
    this.#problem = undefined;
  }

  /** After a filling that was broken off: what was removed meanwhile may be forgotten. */
  async #fillAnew(connection: NatsConnection, error: unknown): Promise<void> {
    const { replica, progress } = this.#options;
    const { origin } = replica;
    if (!(error instanceof Outdated) || !origin) throw error;
    await replica.clear();
    await replica.bind(origin);
    progress.restart(0);
    await this.#read(connection, true);
  }

  #isOutdated({ meta, isPutBack }: Outdated): void {
    this.#outdated = meta;
    if (!isPutBack) return;
    this.#options.onNotice(
      'The replica of this instance is older than what it has told the others that it has: its state folder was put back from a ' +
        'copy, or a reading of the whole store was broken off. It is compared with all of the store now, and answers when that is done.',
    );
  }

  /** What an alarm that stops the reading leaves to do: to see that all hear of it, and to wait for the heal. */
  async #standBy(connection: NatsConnection): Promise<void> {
    const { alarm, members, lookout } = this.#options;
    const manager = await managerOf(connection);
    this.#outdated = await alarm.standBy(manager, connection, () => lookout.isWhole(manager, connection));
    if (this.#outdated) return;
    if (await members.own.standBy(manager, connection)) await this.#hearing.readAll(manager, connection);
    await this.#pause(LOOK_MS);
  }

  async #reconcile(connection: NatsConnection, meta: Meta, admission: Admission): Promise<void> {
    const { comeback, progress, leases, members, alarm } = this.#options;
    // Until it is read to its end again, nothing is settled, of whichever epoch.
    progress.unsettle();
    const { position, heads } = await comeback.run(connection, meta, admission, this.#closing.signal);
    progress.restart(position);
    this.#outdated = undefined;
    leases.begin();
    members.own.begin();
    this.#problem = this.#begin('it was healed, or read anew, and is read on from there');
    await alarm.clear();
    // Who holds more than this store's events tell of begins anew; what was removed only these say.
    if (heads.length > 0) progress.tell(heads);
    progress.tell('reset');
    progress.wake();
  }

  async #look(reading: Reading): Promise<void> {
    const { lookout, beats } = this.#options;
    const { manager, connection } = reading;
    await lookout.look(manager, connection);
    if (this.#admission?.problem) await this.#hearing.lookAhead(manager);
    if (!reading.isLeftBehind(lookout.state?.lastSequence ?? 0, SILENT_MS + beats.interval)) return;
    this.#isLeftBehind = true;
    reading.break(unavailable('the server that was read at is behind the one that leads the stream'));
  }

  async #scrub(reading: Reading): Promise<number | undefined> {
    const { scrubber, alarm } = this.#options;
    const goesOn = () => reading === this.#reading && !alarm.current;
    const { missed, compared } = await scrubber.run(reading.manager, reading.connection, goesOn);
    if (missed !== undefined && reading === this.#reading) {
      reading.break(unavailable('this instance had missed a record'));
      this.#from = missed;
    }
    return compared;
  }

  /** @returns why the stream is not followed now */
  async #failed(error: unknown): Promise<CofferError> {
    const { alarm, progress } = this.#options;
    const found = regressionOf(error);
    if (found) {
      await alarm.raise(found).catch(() => {});
      if (alarm.problem) progress.refuseAll(alarm.problem);
    }
    this.#problem = error instanceof CofferError ? error : unavailable(reasonOf(error));
    return alarm.problem ?? this.#problem;
  }
}

const NO_MAJORITY =
  'JetStream takes no messages, as while more than half of its servers are away, or have no room on their disks or in the NATS account';

/** "JetStream system temporarily unavailable". */
const NO_LEADER = 10_008;

const reasonOf = (error: unknown): string =>
  error instanceof errors.TimeoutError || (error instanceof JetStreamApiError && error.code === NO_LEADER)
    ? NO_MAJORITY
    : (error as Error).message;

const closed = () => new CofferError('stopped', 'the store is closed');
