import { setTimeout as wait } from 'node:timers/promises';

import { CofferError } from '../../errors.js';
import { DISK_BOUNDS, Timings } from '../../timings.js';
import type { StorageChange } from '../storage.js';
import { alarmed } from './alarm.js';
import { type Answer, publishBatch, untilLost } from './batch-publisher.js';
import { BucketRoom, type SeenRoom } from './bucket-room.js';
import { doubtful, overtaken, timed, unavailable } from './commit-errors.js';
import {
  changeEncoding,
  type Group,
  type Member,
  sameBytes,
  takeGroup,
  type Waiting,
} from './commit-group.js';
import { type Fate, fateOf, isShown } from './fate.js';
import type { RecordSense } from './heal-plan.js';
import { divide, SideWriter, type Stand } from './large-change.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import { type MessageSeal, noKeys } from './message-seal.js';
import { type ChangeEncoding, fingerprint, partBytesOf } from './messages.js';
import type { PlacedMark } from './progress.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

/** How long a batch's answer is waited for before it is sent again. */
const ANSWER_MS = 2_000;
/** How long it is tried to find out whether a commit came true. */
const DOUBT_MS = 8_000;
/** Batches of which only the end is there, for so long: it is not that another server leads since, but that none can be begun. */
const INCOMPLETE_MS = 1_000;
/** How long a commit that is stored may take to arrive in the replica. */
const ARRIVAL_MS = 10_000;
/** Between attempts when the stream is busy with another batch that looks at the same record; up to as much again by chance. */
const BUSY_MS = 1;
const DOUBTFUL_MS = 50;

/** What the committer asks of the feed. */
export interface CommittedFeed {
  /** Resolves when all up to this sequence is in the replica; rejects when the feed ended. */
  passed(sequence: number): Promise<void>;
  /** The same, and nothing lacks of what came before it. */
  untilSettled(sequence: number): Promise<void>;
  /** The newest own mark in the replica. */
  readonly mark: PlacedMark | undefined;
  /** Why nothing may be committed now. */
  readonly problem: CofferError | undefined;
  /** The stream answered what cannot be: look whether it is still the one that it was. */
  look(): void;
  /** What is written on what the replica has at this moment is under way. @returns a function that ends it */
  hold(): () => void;
  /** Whether it is a removal that the stream may have forgotten. */
  isForgettable(entry: ReplicaEntry | undefined): boolean;
  /** Of the stream, as last seen. */
  readonly state: SeenRoom | undefined;
}

export interface CommitterOptions {
  readonly layout: Layout;
  readonly seal: MessageSeal;
  readonly sense: RecordSense;
  readonly replica: ReplicaLike;
  readonly link: Link;
  readonly feed: CommittedFeed;
  /** The record of the key ring: see {@link Layout}. */
  readonly fence: Uint8Array;
}

/**
 * Brings changes into the stream, each with the other instances' knowledge or not at all.
 *
 * One batch of this instance is under way at a time, with all changes that waited: in a cluster the server refuses a batch that
 * looks at the same record as another one in process (error 10164), and each of ours looks at the ring's. Whether a batch without an
 * answer came true the heads tell afterwards, with its first message, the instance's mark, by which they are told from what others made
 * alike: no later batch of ours has a mark there, so it is found behind whatever refuses the second attempt. See `fate.ts`.
 *
 * What an acknowledgement means: a majority of the servers has the batch in its log, synced if they sync always; with one replica,
 * that server has stored and synced it. What it does not mean is that this instance can read it, for which the feed is waited for.
 */
export class Committer {
  readonly #options: CommitterOptions;
  readonly #queue: Waiting[] = [];
  /** What is to be written beside a commit, one after the other, before the next commit. */
  readonly #chores: (() => Promise<void>)[] = [];
  readonly #sides: SideWriter;
  readonly #room: BucketRoom;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly commits = new Timings(DISK_BOUNDS);
  #running: Promise<void> | undefined;
  #stopped: CofferError | undefined;
  /** How many of the next go alone, since a group was refused and nobody knows because of whom. */
  #singles = 0;
  /** Since when the stream has taken the ends of batches for all that there is of them. */
  #incompleteSince: number | undefined;
  conflicts = 0;
  inDoubt = 0;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#room = new BucketRoom(options.layout.bucket, () => options.feed.state);
    this.#sides = new SideWriter({ ...options, room: this.#room });
  }

  /** How much room the stream has; undefined before it was heard of. */
  get room(): BucketRoom['facts'] {
    return this.#room.facts;
  }

  /** Of the ring's record in the replica: whoever seals a change takes it in the same turn. */
  get fence(): number {
    return this.#options.replica.entry(this.#options.fence)?.revision ?? 0;
  }

  /**
   * @param fence {@link fence} when the change was sealed
   * @returns the head's revision
   * @throws as {@link Storage.commit}
   */
  commit(change: StorageChange, fence: number): Promise<number> {
    const refusal = this.#stopped ?? this.#problem();
    if (refusal) return Promise.reject(refusal);
    const promise = this.#enqueue(change, fence);
    this.#track(promise);
    return promise;
  }

  async #enqueue(change: StorageChange, fence: number): Promise<number> {
    // What could not come back here would leave its caller in doubt.
    await this.#options.replica.requireRoom(change);
    return new Promise<number>((resolve, reject) => {
      this.#queue.push({ change, fence, resolve, reject });
      this.#running ??= this.#run();
    });
  }

  /** Waits for what is under way; nothing more is taken. */
  async close(): Promise<void> {
    this.#stopped ??= new CofferError('stopped', 'the store is closed');
    await this.#running;
    await Promise.allSettled(this.#underWay);
  }

  #track(promise: Promise<unknown>): void {
    this.#underWay.add(promise);
    const done = () => this.#underWay.delete(promise);
    promise.then(done, done);
  }

  async #run(): Promise<void> {
    // A turn of the event loop gathers what else was asked at this moment.
    await new Promise(setImmediate);
    while (this.#queue.length > 0 || this.#chores.length > 0) {
      const ended = this.#options.feed.hold();
      await this.#step().finally(ended);
    }
    this.#running = undefined;
  }

  async #step(): Promise<void> {
    const chore = this.#chores.shift();
    if (chore) return chore();
    this.#rejectKnown();
    const [next] = this.#queue;
    if (!next || (await this.#isDivided(next))) return;
    const { replica, fence } = this.#options;
    const group = takeGroup(this.#queue, {
      ...this.#encoding,
      instance: replica.instance,
      fence,
      fenceRevision: this.fence,
      single: this.#singles > 0,
    });
    if (this.#singles > 0) this.#singles--;
    await this.#send(group).catch((error: unknown) => rejectAll(group.members, error as Error));
  }

  /** A change that is longer than a batch goes in parts, and only the part with its head is left in the queue. */
  async #isDivided(waiting: Waiting): Promise<boolean> {
    const { fence } = this.#options;
    const written: Stand[] = [];
    const undo = (error: Error) =>
      this.#chore(async () => {
        await this.#sides.remove(written);
        waiting.reject(error);
      });
    try {
      const encoding = this.#encoding;
      const division = divide(waiting.change, encoding);
      if (!division) return false;
      this.#queue.shift();
      for (const part of division.before) {
        written.push(
          ...(await this.#sides.write(part, { key: fence, revision: waiting.fence }, encoding.partBytes)),
        );
      }
      this.#queue.unshift({
        change: division.change,
        fence: waiting.fence,
        resolve: (revision) =>
          this.#chore(async () => {
            await this.#sides.remove(division.after);
            waiting.resolve(revision);
          }),
        reject: (error) => {
          if ((error as CofferError).code === 'in_doubt') waiting.reject(error);
          else undo(error);
        },
      });
    } catch (error) {
      if (this.#queue[0] === waiting) this.#queue.shift();
      undo(error as Error);
    }
    return true;
  }

  #chore(chore: () => Promise<void>): void {
    this.#chores.push(chore);
    this.#running ??= this.#run();
  }

  /** What need not go to the stream: there is none to go to, no room, or the replica knows of another revision or ring. */
  #rejectKnown(): void {
    const { seal, fence } = this.#options;
    const problem = this.#problem();
    const waiting = this.#queue.splice(0);
    for (const one of waiting) {
      const full = this.#room.refusalOf(one.change);
      if (problem) one.reject(problem);
      // A store that is made has its ring's record before it has a key.
      else if (!seal.hasKey && !sameBytes(one.change.head.key, fence)) one.reject(noKeys());
      else if (one.fence !== this.fence) this.#conflict(one);
      else if (this.#current(one.change) !== one.change.expectedRevision) this.#conflict(one);
      else if (full) one.reject(full);
      else this.#queue.push(one);
    }
  }

  #problem(): CofferError | undefined {
    const { link, feed, replica } = this.#options;
    if (feed.problem) return feed.problem;
    if (replica.alarm) return alarmed(replica.alarm);
    return link.connection ? undefined : unavailable(link.problem);
  }

  /** The head's revision as its readers see it: a tombstone is none. */
  #current({ head }: StorageChange): number {
    const entry = this.#options.replica.entry(head.key);
    return entry && !entry.removed ? entry.revision : 0;
  }

  get #encoding(): ChangeEncoding {
    return changeEncoding(this.#options, partBytesOf(this.#options.link.connection));
  }

  async #send(group: Group): Promise<void> {
    const { link, layout } = this.#options;
    const begun = performance.now();
    const deadline = begun + DOUBT_MS;
    let inDoubt = false;
    for (let attempt = 0; ; attempt++) {
      const connection = link.connection;
      // Another id each time: the server has kept the first messages of a batch whose last one did not come.
      const answer: Answer = connection
        ? await untilLost(
            link,
            publishBatch(connection, layout.stream, `${group.commit}.${attempt}`, group.messages, ANSWER_MS),
          )
        : { is: 'refused', reason: link.problem };
      if (answer.is === 'stored') {
        this.commits.since(begun);
        this.#room.took(group.bytes);
        return this.#arrived(group, answer.sequence);
      }
      inDoubt ||= answer.is === 'silence';
      if (answer.is !== 'incomplete') this.#incompleteSince = undefined;
      else if (this.#isStubborn() && !inDoubt)
        return this.#refused(group, { is: 'refused', reason: KEEPS_NONE });
      if (answer.is === 'conflict') {
        const settled = await this.#afterConflict(group, answer.sequence, inDoubt);
        if (settled) return;
      } else if (!inDoubt && (answer.is === 'refused' || answer.is === 'full')) {
        return this.#refused(group, answer);
      }
      const problem = inDoubt ? undefined : this.#problem();
      if (problem) return rejectAll(group.members, problem);
      const left = deadline - performance.now();
      if (left <= 0) return this.#giveUp(group, inDoubt);
      const pause = answer.is === 'busy' ? BUSY_MS * (1 + attempt + Math.random()) : DOUBTFUL_MS;
      await wait(Math.min(pause, DOUBTFUL_MS, left));
    }
  }

  /** It is in the stream. The next batch need not wait until the replica has it. */
  #arrived(group: Group, last: number): void {
    const { feed, replica } = this.#options;
    const first = last - group.messages.length + 1;
    const arrival = timed(feed.passed(last), ARRIVAL_MS).then(
      () => {
        for (const { waiting, head } of group.members) {
          const { key, bytes } = waiting.change.head;
          const place = first + head;
          const isThere = isShown(replica.entry(key), {
            fingerprint: fingerprint(bytes ?? new Uint8Array()),
            place,
            isMarked: this.#markOf(group) === first,
            isSealed: !sameBytes(key, this.#options.fence),
          });
          if (isThere) waiting.resolve(place);
          else waiting.reject(this.#doubt('the stream has acknowledged it, and does not show it'));
        }
      },
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        const doubt = this.#doubt(`it is stored, but has not arrived here yet (${reason})`);
        rejectAll(group.members, doubt);
      },
    );
    this.#track(arrival);
  }

  /**
   * Some record is not as the group said. When the replica has what the server named, those are told whom it concerns, and the others
   * wait for their next turn.
   *
   * @param inDoubt an earlier attempt had no answer
   * @returns false to try again
   */
  async #afterConflict(group: Group, sequence: number, inDoubt: boolean): Promise<boolean> {
    const { replica } = this.#options;
    const heads = () =>
      group.members.map(({ waiting }) => replica.entry(waiting.change.head.key)?.revision ?? 0);
    let upTo: number;
    do {
      // A head is seen a moment before the mark that came with it.
      upTo = Math.max(sequence, ...heads());
      if (!(await this.#isRead(upTo, inDoubt))) return false;
    } while (Math.max(...heads()) > upTo);
    const ringChanged = this.fence !== group.fence;
    const others: Member[] = [];
    for (const member of group.members) {
      const fate = this.#fate(group, member, inDoubt);
      if (fate.is !== 'unchanged') this.#tell(member, fate);
      else if (ringChanged) this.#conflict(member.waiting);
      else others.push(member);
    }
    if (others.length < group.members.length) {
      this.#queue.unshift(...others.map(({ waiting }) => waiting));
      return true;
    }
    return this.#afterRegression(group, sequence, inDoubt);
  }

  /**
   * Whether the replica has what the server named. Where an earlier attempt may be stored nothing must lack before it either: a head that
   * was replaced since looks as it did before.
   *
   * @throws CofferError `unavailable` if it has not, and nothing is stored
   */
  async #isRead(sequence: number, inDoubt: boolean): Promise<boolean> {
    const { feed, replica } = this.#options;
    const here = inDoubt ? feed.untilSettled(Math.max(sequence, replica.position)) : feed.passed(sequence);
    try {
      await timed(here, ARRIVAL_MS);
      return true;
    } catch (error) {
      if (inDoubt) return false;
      throw unavailable(error instanceof Error ? error.message : String(error));
    }
  }

  /**
   * What became of a change, by what the replica has. Without a doubt nothing of its batch is stored, by the word of who answered; what
   * is there may say that it is all the same.
   */
  #fate(group: Group, { waiting, expected, head }: Member, inDoubt: boolean): Fate {
    const { replica, fence } = this.#options;
    const { key, bytes } = waiting.change.head;
    const entry = replica.entry(key);
    const mark = this.#markOf(group);
    const fate = fateOf(entry, {
      expected,
      fingerprint: fingerprint(bytes ?? new Uint8Array()),
      place: mark === undefined ? undefined : mark + head,
      isSealed: !sameBytes(key, fence),
    });
    // Others may have made the same, as all removals are; of a batch that is stored the mark is there, too.
    return inDoubt || fate.is !== 'unknown' || mark !== undefined ? fate : { is: 'overtaken' };
  }

  /** Where its mark is, if it is the newest of this instance that is applied. */
  #markOf({ commit }: Group): number | undefined {
    const { mark } = this.#options.feed;
    return mark?.commit === commit ? mark.revision : undefined;
  }

  #tell({ waiting }: Member, fate: Fate): void {
    if (fate.is === 'stored') waiting.resolve(fate.revision);
    else if (fate.is === 'overtaken') this.#conflict(waiting);
    else waiting.reject(this.#doubt('NATS has not answered, and what is there does not tell'));
  }

  /** The server has less than the replica: a tombstone was swept, a server that leads no more has answered, or records are lost. */
  async #afterRegression(group: Group, sequence: number, inDoubt: boolean): Promise<boolean> {
    const { feed, replica } = this.#options;
    const tombstones = group.members
      .map(({ waiting }) => waiting.change.head.key)
      .filter((key) => feed.isForgettable(replica.entry(key)));
    if (sequence === 0 && tombstones.length > 0 && !inDoubt) {
      if (group.members.length === 1) await replica.forget(tombstones);
      else this.#singles = group.members.length;
      this.#queue.unshift(...group.members.map(({ waiting }) => waiting));
      return true;
    }
    feed.look();
    return false;
  }

  /** Of this answer the commits that come next need not wait for it again. */
  #isStubborn(): boolean {
    this.#incompleteSince ??= performance.now();
    return performance.now() - this.#incompleteSince > INCOMPLETE_MS;
  }

  #refused(group: Group, answer: Answer & { is: 'refused' | 'full' }): void {
    if (answer.is === 'refused') {
      this.#options.feed.look();
      rejectAll(group.members, unavailable(answer.reason));
    } else if (group.members.length === 1) {
      rejectAll(group.members, this.#room.refusedBy(answer.of));
    } else {
      // What does not fit must not take along what does, a deletion least of all.
      this.#singles = group.members.length;
      this.#queue.unshift(...group.members.map(({ waiting }) => waiting));
    }
  }

  #giveUp(group: Group, inDoubt: boolean): void {
    const isHere = inDoubt || this.#markOf(group) !== undefined;
    if (isHere) for (const member of group.members) this.#tell(member, this.#fate(group, member, isHere));
    else rejectAll(group.members, unavailable('others write without a pause, or the stream lacks records'));
  }

  #conflict({ reject }: Waiting): void {
    this.conflicts++;
    reject(overtaken());
  }

  #doubt(reason: string): CofferError {
    this.inDoubt++;
    return doubtful(reason);
  }
}

/** nats-server (2.15 too) answers the same to a batch that it cannot begin as to one whose beginning was lost. */
const KEEPS_NONE =
  'the server that leads the stream begins no batches, as when its disk is full: make room there, and start it again';

const rejectAll = (members: readonly Member[], error: Error): void => {
  for (const { waiting } of members) waiting.reject(error);
};
