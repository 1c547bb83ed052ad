import { CofferError } from '../../errors.js';
import type { Timings } from '../../timings.js';
import type { StorageChange } from '../storage.js';
import { alarmed } from './alarm.js';
import { BucketRoom, type SeenRoom } from './bucket-room.js';
import { unavailable } from './commit-errors.js';
import { changeEncoding, sameBytes, takeGroup, type Waiting } from './commit-group.js';
import { GroupSender, rejectAll } from './group-sender.js';
import type { RecordSense } from './heal-plan.js';
import { divide, SideWriter, type Stand } from './large-change.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import { type MessageSeal, noKeys } from './message-seal.js';
import { type ChangeEncoding, partBytesOf } from './messages.js';
import type { PlacedMark } from './progress.js';
import type { ReplicaEntry, ReplicaLike } from './replica-contract.js';

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
 * looks at the same record as another one in process (error 10164), and each of ours looks at the ring's. What becomes of it is in
 * `group-sender.ts`.
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
  readonly #sender: GroupSender;
  readonly #underWay = new Set<Promise<unknown>>();
  #running: Promise<void> | undefined;
  #stopped: CofferError | undefined;
  /** How many of the next go alone, since a group was refused and nobody knows because of whom. */
  #singles = 0;

  constructor(options: CommitterOptions) {
    this.#options = options;
    this.#room = new BucketRoom(options.layout.bucket, () => options.feed.state);
    this.#sides = new SideWriter({ ...options, room: this.#room });
    this.#sender = new GroupSender({
      ...options,
      room: this.#room,
      problem: () => this.#problem(),
      ring: () => this.fence,
      again: (members, singly = false) => {
        if (singly) this.#singles = members.length;
        this.#queue.unshift(...members.map(({ waiting }) => waiting));
      },
      track: (arrival) => this.#track(arrival),
    });
  }

  /** How long batches took that are stored. */
  get commits(): Timings {
    return this.#sender.commits;
  }

  /** Since this began: commits that another's overtook, and commits of which was not known whether they came true. */
  get conflicts(): number {
    return this.#sender.conflicts;
  }

  get inDoubt(): number {
    return this.#sender.inDoubt;
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
    await this.#sender.send(group).catch((error: unknown) => rejectAll(group.members, error as Error));
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
      else if (one.fence !== this.fence) this.#sender.conflict(one);
      else if (this.#current(one.change) !== one.change.expectedRevision) this.#sender.conflict(one);
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
}
