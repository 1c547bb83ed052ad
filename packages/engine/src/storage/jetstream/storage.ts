import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';

import { asBuffer } from '../../bytes.js';
import { CofferError } from '../../errors.js';
import type { LocalStoreOptions } from '../local-store.js';
import type {
  Storage,
  StorageChange,
  StorageEvent,
  StorageFacts,
  StorageSnapshot,
  StoredRecord,
  Summariser,
} from '../storage.js';
import { Beats } from './beats.js';
import type { BucketFacts } from './bucket.js';
import { bucketAtOpen, noReplica } from './bucket-at-open.js';
import { BucketWatch } from './bucket-watch.js';
import { type CommittedFeed, Committer } from './committer.js';
import { UNPROVEN } from './epoch.js';
import { Feed } from './feed.js';
import { HeadEvents } from './head-events.js';
import type { RecordSense } from './heal-plan.js';
import { Layout } from './layout.js';
import { Link } from './link.js';
import { MoveOn } from './move-on.js';
import type { JetStreamOptions } from './options.js';
import { Replica } from './replica.js';
import type { ReplicaOrigin } from './replica-contract.js';
import { JetStreamShared } from './shared.js';

/** How long the first commit waits for the feed. */
const READY_MS = 5_000;
const READY_LOOK_MS = 5;

export interface JetStreamDriverOptions extends LocalStoreOptions {
  readonly jetstream: JetStreamOptions;
  /** The record of the key ring, see {@link Layout}: a commit that was sealed under another one is a conflict. */
  readonly fence: Uint8Array;
  /** By which a heal tells which records belong together; without it each stands for itself. */
  readonly sense?: RecordSense | undefined;
  /** Of this program, for lists of members. */
  readonly version: string;
  /** Told, for people, of what the instance did by itself. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
  /** Of a store that is made; of one that moves in its own. */
  readonly incarnation?: Uint8Array | undefined;
}

/**
 * The store in a bucket of NATS JetStream, which several instances share.
 *
 * All reads are of the instance's own replica, which the feed keeps up with the stream. A change goes into the stream as an atomic
 * batch, by compare-and-set, and is done when JetStream has acknowledged it *and* the feed has brought it back: then it is on the
 * servers' stable storage and on this instance's, and readers here see it.
 */
export class JetStreamStorage implements Storage {
  readonly incarnation: Uint8Array;
  readonly shared: JetStreamShared;
  readonly #replica: Replica;
  readonly #link: Link;
  readonly #feed: Feed;
  readonly #committer: Committer;
  readonly #events: HeadEvents;
  readonly #bucket: BucketWatch;
  readonly #moveOn: MoveOn;
  #wasReady = false;
  #ready: Promise<void> | undefined;
  #closing = false;

  private constructor(parts: Parts) {
    const { options, layout, replica, origin, link, feed, beats, isNewReplica } = parts;
    const { jetstream, fence, sense } = options;
    this.incarnation = origin.incarnation;
    this.#replica = replica;
    this.#link = link;
    this.#feed = feed;
    this.#events = new HeadEvents(origin.incarnation, () => replica.position);
    feed.onHeads((heads) => this.#events.publish(heads));
    const bucket = new BucketWatch({
      link,
      layout,
      jetstream,
      origin: () => replica.origin,
      facts: parts.facts,
    });
    this.#bucket = bucket;
    const problem = () => this.#problem();
    const committed: CommittedFeed = {
      passed: (sequence) => feed.passed(sequence),
      untilSettled: (sequence) => feed.untilSettled(sequence),
      look: () => void feed.look(),
      hold: () => feed.members.own.hold(),
      isForgettable: (entry) => entry?.removed === true && entry.revision <= feed.members.level,
      get mark() {
        return feed.mark;
      },
      get state() {
        return feed.state;
      },
      get problem() {
        return problem();
      },
    };
    this.#committer = new Committer({
      layout,
      seal: feed.messageSeal,
      sense,
      replica,
      link,
      feed: committed,
      fence,
    });
    this.shared = new JetStreamShared({
      options: jetstream,
      layout,
      replica,
      link,
      feed,
      beats,
      committer: this.#committer,
      facts: () => bucket.facts,
      problem,
      sense,
      isNewReplica,
      // One that has begun waits no more, whatever it loses before its first change.
      onFollow: () => {
        this.#ready ??= this.#untilReady();
      },
    });
    this.#moveOn = new MoveOn({
      link,
      quiet: () => feed.quiet,
      isFollowing: () => this.shared.isFollowing,
      isStopped: () => replica.alarm !== undefined,
    });
  }

  /**
   * Opens the instance's replica in `folder` and looks at the bucket, which is made if there is none. A replica that is there opens
   * without a connection too; a new one is filled from the stream first.
   *
   * @throws CofferError `unfit_store`, `unavailable`, `store_locked`, `newer_format`, `tampered`, `io`
   */
  static async open(folder: string, asked: JetStreamDriverOptions): Promise<JetStreamStorage> {
    const options = { ...asked, sense: asked.sense ?? ALONE };
    const { jetstream, fence, version, sense, onNotice } = options;
    const layout = new Layout(jetstream.bucket);
    const replica = await Replica.open(folder, options);
    const link = new Link(() => jetstream.connect());
    try {
      await replica.belongTo(jetstream.bucket);
      const { facts, failure } = await bucketAtOpen(link, options, layout, replica.origin);
      // One that was not filled to its end is new as well.
      const isNewReplica = replica.summary === undefined;
      const beats = new Beats(jetstream);
      const name = jetstream.instanceName ?? hostname();
      const feed = new Feed({ layout, fence, replica, link, beats, name, version, sense, onNotice });
      await feed.alarm.begin();
      if (facts && isNewReplica) {
        if (!replica.origin) await replica.bind({ ...facts.origin, epoch: UNPROVEN });
        await feed.fill();
      }
      const { origin } = replica;
      if (!origin || (isNewReplica && !facts)) throw noReplica(failure);
      const parts = { options, layout, replica, origin, link, feed, beats, facts, isNewReplica };
      return new JetStreamStorage(parts);
    } catch (error) {
      await link.close();
      // What is of no store must not look like one; while it is open, nobody else makes one here.
      if (!replica.origin) await rm(join(folder, 'data.mdb'), { force: true });
      await replica.close();
      throw error;
    }
  }

  get summary(): Uint8Array | undefined {
    return this.#replica.summary;
  }

  get sequence(): number {
    return this.#replica.sequence;
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#replica.get(key);
  }

  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    return this.#replica.scan(prefix, after);
  }

  snapshot(): StorageSnapshot {
    return this.#replica.snapshot();
  }

  async commit(change: StorageChange): Promise<number> {
    if (this.#closing) throw new CofferError('stopped', 'the store is closed');
    const { fence } = this.#committer;
    // The feed takes a moment to begin, which is no reason to refuse what comes first.
    if (!this.#wasReady) {
      this.#ready ??= this.#untilReady();
      await this.#ready;
    }
    return await this.#committer.commit(change, fence);
  }

  refreshSummary(): Promise<void> {
    return this.#replica.refreshSummary();
  }

  watch(listener: (event: StorageEvent) => void, since?: string): () => void {
    return this.#events.watch(listener, since);
  }

  summarise(summariser: Summariser): void {
    this.#replica.summarise(summariser);
  }

  async facts(): Promise<StorageFacts> {
    // Whether there is room here: why else changes are refused is for `shared` to say, of one moment.
    return { ...(await this.#replica.facts()), commits: this.#committer.commits.snapshot() };
  }

  async close(): Promise<void> {
    this.#moveOn.close();
    this.#closing = true;
    await this.#ready;
    await this.#committer.close();
    await this.#feed.members.own.farewell();
    await this.shared.close();
    await this.#feed.close();
    await this.#bucket.close();
    this.#events.close();
    await this.#link.close();
    await this.#replica.close();
  }

  async #untilReady(): Promise<void> {
    const end = performance.now() + READY_MS;
    while (this.#problem() && performance.now() < end) await wait(READY_LOOK_MS);
    this.#wasReady = true;
  }

  #problem(): CofferError | undefined {
    const { problem } = this.#feed;
    const isSilent = problem?.code === 'unavailable' && this.#link.connection !== undefined;
    // Who may not write hears nothing of its own either: that says why.
    const { unfit, denied } = this.#bucket;
    return unfit ?? (isSilent ? (denied ?? problem) : problem);
  }
}

/** Records of which nothing is known. */
const ALONE: RecordSense = {
  groupOf: (key) => asBuffer(key).toString('hex'),
  generationOf: () => 0,
};

interface Parts {
  readonly options: JetStreamDriverOptions & { readonly sense: RecordSense };
  readonly layout: Layout;
  readonly replica: Replica;
  readonly origin: ReplicaOrigin;
  readonly link: Link;
  readonly feed: Feed;
  readonly beats: Beats;
  readonly facts: BucketFacts | undefined;
  readonly isNewReplica: boolean;
}
