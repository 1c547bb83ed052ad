import { randomBytes } from 'node:crypto';

import type { Storage, StorageChange, StorageEvent, StorageSnapshot, StoredRecord } from '../src/index.js';
import { CofferError } from '../src/index.js';
import { HEADER_KEY } from '../src/keys.js';
import type { Admission, Freshness, IncomingHead, SharedStorage } from '../src/storage/shared.js';
import type { Summariser } from '../src/storage/storage.js';

/** A message of the stream, as the driver's layout has it: one record, the newest of its key. */
interface Message {
  readonly key: string;
  /** Undefined: it was removed. */
  readonly bytes: Buffer | undefined;
  readonly isHead: boolean;
}

/** What was committed at once. */
interface Committed {
  readonly messages: readonly (Message & { readonly revision: number })[];
  readonly by: string;
}

const BOUND_MS = 1_000;

/**
 * A store in memory that several instances share, as one in JetStream: one order of commits, one replica an instance, and of each
 * record only the newest that the stream keeps. What an instance gets is delivered at once, or, while it is held, when the test
 * says so.
 */
export class SharedStore {
  readonly incarnation = randomBytes(16);
  readonly #log: Committed[] = [];
  /** Of each record's newest message, by key. */
  readonly #newest = new Map<string, { revision: number; removed: boolean }>();
  readonly #replicas = new Map<string, Replica>();
  readonly #instances = new Map<string, SharedInstance>();
  readonly #leases = new Map<string, string>();
  readonly #forgotten = new Set<string>();
  #sequence = 0;
  /** Every commit is refused with it. */
  outage: CofferError | undefined;
  /** Called before a commit is looked at; what it throws is the commit's answer. */
  onCommit: (by: string, change: StorageChange) => void | Promise<void> = () => undefined;
  /** Called when a commit was made, before anybody is told; what it throws is the commit's answer. */
  onCommitted: (by: string, change: StorageChange) => void | Promise<void> = () => undefined;

  /** The instance `name`; with the replica that it had, if it was here before. */
  open(name: string): SharedInstance {
    const known = this.#replicas.get(name);
    const replica = known ?? this.#newReplica(name);
    const instance = new SharedInstance(this, name, replica, known === undefined);
    this.#instances.set(name, instance);
    return instance;
  }

  /** It has never been here. */
  forget(name: string): void {
    this.#replicas.delete(name);
    this.#forgotten.delete(name);
  }

  /** Nobody waits for it to have anything, but its replica stays. */
  forgetConfirmation(name: string): void {
    this.#forgotten.add(name);
  }

  get log(): readonly Committed[] {
    return this.#log;
  }

  get length(): number {
    return this.#log.length;
  }

  /** The revision that a record would have to be expected at; 0 where it is not there. */
  revisionOf(key: string): number {
    const newest = this.#newest.get(key);
    return newest === undefined || newest.removed ? 0 : newest.revision;
  }

  newest(key: Uint8Array): Buffer | undefined {
    const messages = this.#log.flatMap((committed) => committed.messages);
    return messages.findLast((message) => message.key === text(key))?.bytes;
  }

  /** Whether the stream still has this message: a newer one takes its place. */
  has(key: string, revision: number): boolean {
    return this.#newest.get(key)?.revision === revision;
  }

  /** @returns the head's revision; undefined for a conflict */
  add(by: string, fence: number, change: StorageChange): number | undefined {
    const { head, expectedRevision, put = [], remove = [] } = change;
    if (this.revisionOf(text(HEADER_KEY)) !== fence) return undefined;
    if (this.revisionOf(text(head.key)) !== expectedRevision) return undefined;
    const messages: Message[] = [
      ...put.map(({ key, bytes }) => ({ key: text(key), bytes: Buffer.from(bytes), isHead: false })),
      { key: text(head.key), bytes: head.bytes && Buffer.from(head.bytes), isHead: true },
      ...remove.map((key) => ({ key: text(key), bytes: undefined, isHead: false })),
    ];
    const numbered = messages.map((message) => ({ ...message, revision: ++this.#sequence }));
    for (const { key, bytes, revision } of numbered) {
      this.#newest.set(key, { revision, removed: bytes === undefined });
    }
    this.#log.push({ messages: numbered, by });
    return numbered.find(({ isHead }) => isHead)?.revision;
  }

  tellAll(): void {
    for (const instance of this.#instances.values()) instance.arrived();
  }

  /** Who holds a lease; the first to ask gets it. */
  leaseOf(work: string, asking: string): string {
    const holder = this.#leases.get(work) ?? asking;
    this.#leases.set(work, holder);
    return holder;
  }

  release(work: string, by: string): void {
    if (this.#leases.get(work) !== by) return;
    this.#leases.delete(work);
    for (const instance of this.#instances.values()) instance.leaseFree(work);
  }

  confirmedByAll(revision: number): boolean {
    return [...this.#replicas].every(
      ([name, { confirmed }]) => this.#forgotten.has(name) || confirmed >= revision,
    );
  }

  closed(name: string): void {
    this.#instances.delete(name);
    for (const [work, holder] of this.#leases) if (holder === name) this.release(work, name);
  }

  /** What is in the stream now. */
  #newReplica(name: string): Replica {
    const replica: Replica = {
      records: new Map(),
      applied: this.#log.length,
      confirmed: this.#sequence,
      sequence: 0,
      summary: undefined,
    };
    for (const { messages } of this.#log) {
      for (const { key, bytes, revision } of messages) {
        if (bytes && this.has(key, revision)) replica.records.set(key, { bytes, revision });
      }
    }
    this.#replicas.set(name, replica);
    return replica;
  }
}

/** What an instance keeps over its end. */
interface Replica {
  readonly records: Map<string, StoredRecord>;
  /** How many commits. */
  applied: number;
  confirmed: number;
  sequence: number;
  summary: Uint8Array | undefined;
}

/** One instance's view of a {@link SharedStore}. */
export class SharedInstance implements Storage {
  readonly name: string;
  readonly shared: SharedStorage;
  readonly #store: SharedStore;
  readonly #replica: Replica;
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #leaseListeners = new Map<string, Set<() => void>>();
  readonly #waiting: { readonly until: number; readonly passed: () => void }[] = [];
  #admission: Admission | undefined;
  #summariser: Summariser | undefined;
  #digest: Uint8Array = Buffer.alloc(0);
  #held = false;
  #running: Promise<void> | undefined;
  /** Where the test holds the freshness. */
  #staleSince: number | undefined;
  /** Milliseconds by which what was read is older when it is to leave. */
  #aging = 0;
  #closed = false;
  #onEnd: () => void = () => undefined;
  readonly #end = new Promise<void>((resolve) => {
    this.#onEnd = resolve;
  });
  /** What its admission refused. */
  refused: unknown;

  constructor(store: SharedStore, name: string, replica: Replica, isNewReplica: boolean) {
    this.name = name;
    this.#store = store;
    this.#replica = replica;
    this.shared = this.#asShared(isNewReplica);
  }

  get incarnation(): Uint8Array {
    return this.#store.incarnation;
  }

  get sequence(): number {
    return this.#replica.sequence;
  }

  get summary(): Uint8Array | undefined {
    return this.#replica.summary;
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#replica.records.get(text(key));
  }

  *scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    const [start, behind] = [text(prefix), after && text(after)];
    const keys = [...this.#replica.records.keys()].filter((key) => key.startsWith(start)).sort();
    for (const key of keys) {
      const record = this.#replica.records.get(key);
      if (record && (behind === undefined || key > behind)) yield [Buffer.from(key, 'latin1'), record];
    }
  }

  snapshot(): StorageSnapshot {
    const frozen = { ...this.#replica, records: new Map(this.#replica.records) };
    const view = new SharedInstance(this.#store, this.name, frozen, false);
    return {
      sequence: frozen.sequence,
      summary: frozen.summary,
      scan: view.scan.bind(view),
      close: () => undefined,
    };
  }

  async commit(change: StorageChange): Promise<number> {
    // In the turn of the call: what is sealed now is under the ring of this header.
    const fence = this.get(HEADER_KEY)?.revision ?? 0;
    this.#require();
    if (!this.#admission) throw new CofferError('unavailable', 'nothing is followed yet');
    await Promise.race([this.#store.onCommit(this.name, change), this.#end]);
    this.#require();
    const revision = this.#store.add(this.name, fence, change);
    const until = this.#store.length;
    if (revision !== undefined) await Promise.race([this.#store.onCommitted(this.name, change), this.#end]);
    this.#store.tellAll();
    await this.passed(until);
    if (revision === undefined) throw new CofferError('conflict', 'another instance was faster');
    return revision;
  }

  watch(listener: (event: StorageEvent) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  summarise(summariser: Summariser): void {
    this.#summariser = summariser;
    this.#digest = summariser.initial;
  }

  async refreshSummary(): Promise<void> {
    this.#replica.summary = this.#summariser?.seal(this.#digest, this.#replica.sequence);
  }

  async facts() {
    const none = { count: 0, sum: 0, buckets: [] };
    return { usedBytes: 0, quotaBytes: undefined, disk: undefined, writable: true, commits: none as never };
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#onEnd();
    this.#store.closed(this.name);
    for (const { passed } of this.#waiting.splice(0)) passed();
    await this.#running;
  }

  /** From now on nothing arrives until {@link deliver} or {@link release}. */
  hold(): void {
    this.#held = true;
  }

  /** All that waits arrives, and what comes from now on. */
  async release(): Promise<void> {
    this.#held = false;
    this.arrived();
    await this.#running;
  }

  /** So many commits arrive, of those that wait; those whose messages were all replaced are passed over. */
  async deliver(commits: number): Promise<void> {
    await this.#running;
    await this.#apply(Math.min(this.#replica.applied + commits, this.#store.length));
  }

  /** No beat comes back from now on. */
  goStale(): void {
    this.#staleSince = performance.now() - BOUND_MS - 1;
  }

  /** It is fresh when a request begins, and no more when its line is in the log. */
  goStaleMeanwhile(): void {
    this.#aging = BOUND_MS + 1;
  }

  freshen(): void {
    this.#staleSince = undefined;
    this.#aging = 0;
  }

  /** The commits so far have arrived. */
  async passed(until = this.#store.length): Promise<void> {
    if (this.#replica.applied >= until) return;
    if (this.#closed) throw new CofferError('stopped', 'the store is closed');
    await new Promise<void>((passed) => {
      this.#waiting.push({ until, passed });
    });
    if (this.#closed) throw new CofferError('stopped', 'the store is closed');
  }

  arrived(): void {
    if (this.#held || !this.#admission) return;
    this.#running ??= this.#applyAll().finally(() => {
      this.#running = undefined;
      if (
        !this.#closed &&
        !this.#held &&
        this.refused === undefined &&
        this.#replica.applied < this.#store.length
      ) {
        this.arrived();
      }
    });
  }

  leaseFree(work: string): void {
    if (this.#leaseListeners.has(work)) this.#store.leaseOf(work, this.name);
    for (const listener of this.#leaseListeners.get(work) ?? []) listener();
  }

  async #applyAll(): Promise<void> {
    while (
      !this.#held &&
      !this.#closed &&
      this.refused === undefined &&
      this.#replica.applied < this.#store.length
    ) {
      await this.#apply(this.#store.length);
    }
  }

  /** What is there at this moment, in one transaction. */
  async #apply(until: number): Promise<void> {
    const replica = this.#replica;
    const messages = this.#store.log
      .slice(replica.applied, until)
      .flatMap((committed) => committed.messages)
      .filter(({ key, revision }) => this.#store.has(key, revision));
    const heads = messages.filter(({ isHead }) => isHead);
    const incoming = heads.map(({ key, bytes, revision }): IncomingHead => {
      return { key: Buffer.from(key, 'latin1'), before: replica.records.get(key), after: bytes, revision };
    });
    try {
      await this.#admission?.admit(incoming);
    } catch (error) {
      this.refused = error;
      return;
    }
    if (this.#closed) return;
    for (const { key, before, after } of incoming) {
      if (this.#summariser) this.#digest = this.#summariser.fold(this.#digest, key, before?.bytes, after);
    }
    for (const { key, bytes, revision } of messages) {
      if (bytes) replica.records.set(key, { bytes, revision });
      else replica.records.delete(key);
      replica.confirmed = revision;
    }
    replica.sequence++;
    replica.applied = until;
    if (this.#summariser) replica.summary = this.#summariser.seal(this.#digest, replica.sequence);
    for (const { key, revision } of incoming) {
      for (const listener of this.#listeners) listener({ id: `${revision}`, key });
    }
    for (const one of [...this.#waiting]) {
      if (one.until > replica.applied) continue;
      this.#waiting.splice(this.#waiting.indexOf(one), 1);
      one.passed();
    }
  }

  #require(): void {
    if (this.#closed) throw new CofferError('stopped', 'the store is closed');
    if (this.#store.outage) throw this.#store.outage;
  }

  #asShared(isNewReplica: boolean): SharedStorage {
    const stub = async (): Promise<never> => {
      throw new CofferError('unavailable', 'no servers are here');
    };
    const health = () => ({
      instance: this.shared.instance,
      connected: this.#store.outage === undefined,
      problem: this.#store.outage,
      isBeginning: false,
      room: undefined,
      alarm: undefined,
      replicaAge: this.shared.freshness.age(),
      replicaSequence: this.#replica.confirmed,
      sync: 'always' as const,
      members: 1,
      membersAlive: 1,
      conflicts: 0,
      inDoubt: 0,
    });
    const replica = this.#replica;
    return {
      bucket: 'test',
      instance: Buffer.from(this.name).toString('hex').padEnd(16, '0').slice(0, 16),
      isNewReplica,
      follow: (admission) => {
        this.#admission = admission;
        this.arrived();
      },
      freshness: this.#freshness(),
      get position() {
        return `0-${replica.confirmed}`;
      },
      reached: () => this.passed(),
      confirmedByAll: (revision) => this.#store.confirmedByAll(revision),
      members: [],
      lease: (work) => this.#lease(work),
      alarm: undefined,
      onAlarm: () => () => undefined,
      get health() {
        return health();
      },
      status: stub,
      setReplicas: stub,
      newest: async (key) => this.#store.newest(key),
      still: (task) => task(),
      withdraw: async () => undefined,
      forget: stub,
      setAside: stub,
      heal: stub,
    };
  }

  #freshness(): Freshness {
    const mark = () => this.#staleSince ?? performance.now();
    const check = (at: number, aging = 0) => {
      if (performance.now() - at + aging <= BOUND_MS) return;
      throw new CofferError('stale', 'what is here is too old');
    };
    const require = (at: number) => check(at, this.#aging);
    return { mark, require, ready: () => check(mark()), age: () => performance.now() - mark() };
  }

  #lease(work: string) {
    const listeners = new Set<() => void>();
    this.#leaseListeners.set(work, listeners);
    this.#store.leaseOf(work, this.name);
    const held = () => this.#store.leaseOf(work, this.name) === this.name;
    return {
      get held() {
        return held();
      },
      onChange: (listener: () => void) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      close: () => {
        this.#leaseListeners.delete(work);
        this.#store.release(work, this.name);
      },
    };
  }
}

const text = (key: Uint8Array): string => Buffer.from(key).toString('latin1');
