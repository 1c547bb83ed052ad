import { rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { NatsConnection } from '@nats-io/nats-core';

import { asBuffer } from '../../bytes.js';
import { CofferError } from '../../errors.js';
import { EventLog } from '../event-log.js';
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
import { type BucketFacts, openBucket } from './bucket.js';
import { type CommittedFeed, Committer } from './committer.js';
import { UNPROVEN } from './epoch.js';
import { Feed } from './feed.js';
import type { RecordSense } from './heal-plan.js';
import { Layout } from './layout.js';
import { Link } from './link.js';
import type { JetStreamOptions } from './options.js';
import type { AppliedHead } from './reconciliation.js';
import { Replica } from './replica.js';
import type { ReplicaOrigin } from './replica-contract.js';
import { requireRights } from './rights.js';
import { JetStreamShared } from './shared.js';

/** Between two looks whether the bucket and its servers are still fit. */
const FITNESS_MS = 60_000;
/** Beats that do not come back for so long: the server may be cut off from the others, and another one is tried. */
const MOVE_MS = 5_000;
const WATCH_MS = 1_000;
const RIGHTS_MS = 2_000;
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
  readonly #options: JetStreamDriverOptions;
  readonly #layout: Layout;
  readonly #replica: Replica;
  readonly #link: Link;
  readonly #feed: Feed;
  readonly #committer: Committer;
  readonly #events: EventLog;
  readonly #beats: Beats;
  readonly #fitness: NodeJS.Timeout;
  readonly #watch: NodeJS.Timeout;
  #connectedAt = performance.now();
  #facts: BucketFacts | undefined;
  /** Why the bucket, or a server, is not fit any more. */
  #unfit: CofferError | undefined;
  /** The NATS user may not write any more. */
  #denied: CofferError | undefined;
  #looking: Promise<void> | undefined;
  #wasReady = false;
  #ready: Promise<void> | undefined;
  #closing = false;
  /** The newest head that was told of. */
  #latest: number;

  private constructor(parts: Parts) {
    const { options, layout, replica, origin, link, feed, beats, facts, isNewReplica } = parts;
    this.#options = options;
    this.#layout = layout;
    this.#replica = replica;
    this.#link = link;
    this.#feed = feed;
    this.#beats = beats;
    this.#facts = facts;
    this.incarnation = origin.incarnation;
    this.#latest = replica.position;
    this.#events = new EventLog(() => this.#eventId(this.#latest));
    feed.onHeads((heads) => this.#publish(heads));
    const committed: CommittedFeed = {
      passed: (sequence) => feed.passed(sequence),
      look: () => void feed.look(),
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
    const problem = () => this.#problem();
    this.#committer = new Committer({
      layout,
      seal: feed.messageSeal,
      sense: options.sense ?? ALONE,
      replica,
      link,
      feed: committed,
      fence: options.fence,
      maxBytes: () => this.#facts?.maxBytes ?? -1,
    });
    this.shared = new JetStreamShared({
      options: options.jetstream,
      layout,
      replica,
      link,
      feed,
      beats,
      committer: this.#committer,
      facts: () => this.#facts,
      problem,
      sense: options.sense ?? ALONE,
      isNewReplica,
      // One that has begun waits no more, whatever it loses before its first change.
      onFollow: () => {
        this.#ready ??= this.#untilReady();
      },
    });
    link.onChange(() => {
      this.#connectedAt = performance.now();
      if (link.connection) this.#look();
    });
    this.#watch = setInterval(() => this.#moveOn(), WATCH_MS).unref();
    this.#fitness = setInterval(() => this.#look(), FITNESS_MS).unref();
    if (!facts) this.#look();
  }

  /**
   * Opens the instance's replica in `folder` and looks at the bucket, which is made if there is none. A replica that is there opens
   * without a connection too; a new one is filled from the stream first.
   *
   * @throws CofferError `unfit_store`, `unavailable`, `store_locked`, `newer_format`, `tampered`, `io`
   */
  static async open(folder: string, options: JetStreamDriverOptions): Promise<JetStreamStorage> {
    const { jetstream } = options;
    const layout = new Layout(jetstream.bucket);
    const replica = await Replica.open(folder, options);
    const link = new Link(() => jetstream.connect());
    try {
      await replica.belongTo(jetstream.bucket);
      const failure = await link.open().then(
        () => undefined,
        (error: unknown) => error,
      );
      const facts = await factsAtOpen(link, failure, options, layout, replica.origin);
      if (facts) tellDifference(facts, jetstream);
      // One that was not filled to its end is new as well.
      const isNewReplica = replica.summary === undefined;
      const beats = new Beats(jetstream);
      const name = jetstream.instanceName ?? hostname();
      const { version, sense = ALONE, onNotice } = options;
      const feed = new Feed({
        layout,
        fence: options.fence,
        replica,
        link,
        beats,
        name,
        version,
        sense,
        onNotice,
      });
      await feed.alarm.begin();
      if (facts && isNewReplica) {
        if (!replica.origin) await replica.bind({ ...facts.origin, epoch: UNPROVEN });
        await feed.fill();
      }
      const { origin } = replica;
      if (!origin || (isNewReplica && !facts)) throw notThere(failure);
      return new JetStreamStorage({
        options,
        layout,
        replica,
        origin,
        link,
        feed,
        beats,
        facts,
        isNewReplica,
      });
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
    const facts = await this.#replica.facts();
    const { problem } = this.shared.health;
    return {
      ...facts,
      writable: facts.writable && problem === undefined,
      commits: this.#committer.commits.snapshot(),
    };
  }

  async close(): Promise<void> {
    clearInterval(this.#fitness);
    clearInterval(this.#watch);
    this.#closing = true;
    await this.#ready;
    await this.#committer.close();
    await this.shared.close();
    await this.#feed.close();
    await this.#looking;
    this.#events.close();
    await this.#link.close();
    await this.#replica.close();
  }

  #publish(heads: readonly AppliedHead[] | 'reset'): void {
    if (heads === 'reset') {
      this.#latest = this.#replica.position;
      this.#events.publish({ id: this.#eventId(this.#latest), reset: true });
      return;
    }
    for (const { key, revision } of heads) {
      this.#latest = revision;
      this.#events.publish({ id: this.#eventId(revision), key: Buffer.from(asBuffer(key)) });
    }
  }

  /** The same at every instance, so that a watcher that comes back may come back to another. */
  #eventId(revision: number): string {
    return `${Buffer.from(this.incarnation).toString('hex')}-${revision}`;
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
    return this.#unfit ?? (isSilent ? (this.#denied ?? problem) : problem);
  }

  #moveOn(): void {
    // While an alarm stops the reading no beat is sent, and none can be missed.
    if (this.#replica.alarm) this.#connectedAt = performance.now();
    const quiet = Math.min(this.#beats.age(), performance.now() - this.#connectedAt);
    if (quiet < MOVE_MS || !this.shared.isFollowing) return;
    this.#connectedAt = performance.now();
    this.#link.move();
  }

  /** Whether the bucket is still fit; one look at a time. */
  #look(): void {
    const connection = this.#link.connection;
    if (!connection || this.#looking) return;
    this.#looking = this.#lookBy(connection).finally(() => {
      this.#looking = undefined;
    });
  }

  async #lookBy(connection: NatsConnection): Promise<void> {
    const unfit = (error: unknown) =>
      error instanceof CofferError && error.code === 'unfit_store' ? error : undefined;
    try {
      await requireRights(connection, this.#layout, RIGHTS_MS);
      this.#denied = undefined;
    } catch (error) {
      this.#denied = unfit(error);
    }
    try {
      const { jetstream } = this.#options;
      this.#facts = await openBucket(connection, jetstream, this.#layout, this.#replica.origin);
      this.#unfit = undefined;
    } catch (error) {
      this.#unfit = unfit(error) ?? this.#unfit;
    }
  }
}

/** Records of which nothing is known. */
const ALONE: RecordSense = {
  groupOf: (key) => asBuffer(key).toString('hex'),
  generationOf: () => 0,
};

interface Parts {
  readonly options: JetStreamDriverOptions;
  readonly layout: Layout;
  readonly replica: Replica;
  readonly origin: ReplicaOrigin;
  readonly link: Link;
  readonly feed: Feed;
  readonly beats: Beats;
  readonly facts: BucketFacts | undefined;
  readonly isNewReplica: boolean;
}

/** Undefined if the bucket cannot be looked at now, and a replica is there that can be read meanwhile. */
async function factsAtOpen(
  link: Link,
  failure: unknown,
  { jetstream, incarnation }: JetStreamDriverOptions,
  layout: Layout,
  known: ReplicaOrigin | undefined,
): Promise<BucketFacts | undefined> {
  const { connection } = link;
  if (!connection) {
    if (known) return undefined;
    throw notThere(failure);
  }
  try {
    return await openBucket(connection, jetstream, layout, known, incarnation);
  } catch (error) {
    if (known && error instanceof CofferError && error.code === 'unavailable') return undefined;
    throw error;
  }
}

/** Of a bucket that somebody made, or changed, otherwise than the options say. */
function tellDifference(
  facts: BucketFacts,
  { bucket, replicas, maxBytes, onDifference }: JetStreamOptions,
): void {
  const wrong = [
    facts.replicas !== replicas && `replicas ${facts.replicas}, not ${replicas} (coffer storage replicas)`,
    facts.maxBytes > 0 &&
      facts.maxBytes !== maxBytes &&
      `maxBytes ${facts.maxBytes}, not ${maxBytes} (nats stream edit KV_${bucket} --max-bytes ${maxBytes})`,
  ].filter((one) => one !== false);
  if (wrong.length === 0) return;
  onDifference?.(
    `the bucket ${bucket} is there with other settings than the configuration's, and keeps them: ${wrong.join('; ')}`,
  );
}

const notThere = (cause: unknown): CofferError =>
  new CofferError(
    'unavailable',
    'this instance has no replica of the store yet, and NATS cannot be reached' +
      `${cause instanceof Error ? `: ${cause.message}` : ''}; start it again when NATS is there`,
    { cause },
  );
