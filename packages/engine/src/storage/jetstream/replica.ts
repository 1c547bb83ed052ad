import { randomBytes } from 'node:crypto';

import { CofferError } from '../../errors.js';
import type { Batch } from '../lmdb-batch.js';
import { decode, encode, newState, readRevision } from '../lmdb-state.js';
import { LocalStore, type LocalStoreOptions } from '../local-store.js';
import type { StorageAlarm } from '../shared.js';
import type { StorageChange, StorageFacts, StorageSnapshot, StoredRecord, Summariser } from '../storage.js';
import { ReplicaChanges } from './replica-changes.js';
import type {
  AppliedAt,
  KnownMember,
  ReplicaChunk,
  ReplicaEntry,
  ReplicaLike,
  ReplicaOrigin,
  ReplicaWrite,
} from './replica-contract.js';
import { Newest, Parts } from './replica-memory.js';
import {
  CHUNKS_END,
  CHUNKS_START,
  chunkKey,
  chunkRange,
  decodeEntry,
  decodeMember,
  ENTRIES_END,
  encodeEntry,
  encodeMember,
  entriesAfter,
  entryKey,
  fingerprintOf,
  keyOfEntry,
  MEMBERS_END,
  MEMBERS_START,
  memberKey,
  REPLICA_KEY,
  readChunkKey,
} from './replica-rows.js';
import { decodeReplicaState, newReplicaState, OF_NO_STREAM, type ReplicaState } from './replica-state.js';

/**
 * What comes in was acknowledged elsewhere: it may use half of the room that is kept free, so that an instance refuses changes
 * of its own before it falls behind.
 */
const FLOOR_SHARE = 0.5;

/** An incarnation of no store. */
const UNBOUND = Buffer.alloc(16);

/**
 * An instance's copy of a store in JetStream, in LMDB. Records lie in it as in an embedded store, so that reading them costs the
 * same; what is known beside them is in rows of its own, see `replica-rows.ts`. Every change, with the position up to which the
 * stream is applied and the summary over the heads, is one transaction: killed at any moment, it goes on from there.
 */
export class Replica implements ReplicaLike {
  readonly #store: LocalStore;
  readonly #changes: ReplicaChanges;

  private constructor(store: LocalStore, state: ReplicaState) {
    this.#store = store;
    const newest = new Newest(state.newest.map((key) => ({ key, revision: this.entry(key)?.revision ?? 0 })));
    const parts = new Parts();
    for (const [row, stored] of store.rows(CHUNKS_START, CHUNKS_END)) {
      const part = readChunkKey(row);
      if (part) parts.add({ ...part, revision: readRevision(stored) });
    }
    this.#changes = new ReplicaChanges(store, state, newest, parts);
  }

  /**
   * Opens the copy in `folder`, or makes an empty one there (mode 0700) that is of no stream yet.
   *
   * @throws CofferError `store_locked`, `newer_format`, `tampered`, `io`; `unfit_store` if an embedded store is there
   */
  static async open(folder: string, options: LocalStoreOptions): Promise<Replica> {
    const store = await LocalStore.open(folder, 'replica', options, () => newState(UNBOUND));
    try {
      const row = store.row(REPLICA_KEY);
      // A crash came between the first two transactions, if this is not the first start.
      if (row === undefined && store.state.sequence === 0) {
        const replica = new Replica(store, newReplicaState(randomBytes(8).toString('hex')));
        await replica.#change(() => undefined);
        return replica;
      }
      return new Replica(store, decodeReplicaState(row));
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  get instance(): string {
    return this.#state.instance;
  }

  get life(): number {
    return this.#state.life;
  }

  beginLife(life: number): Promise<void> {
    return this.#change(() => ({ life }));
  }

  get origin(): ReplicaOrigin | undefined {
    return this.#state.origin;
  }

  get position(): number {
    return this.#changes.position;
  }

  get settled(): number {
    return this.#changes.settled;
  }

  get outlived(): number {
    return this.#state.outlived;
  }

  get mark(): number {
    return this.#state.mark;
  }

  newest(): readonly { readonly key: Uint8Array; readonly entry: ReplicaEntry }[] {
    return this.#state.newest.flatMap((key) => {
      const entry = this.entry(key);
      return entry ? [{ key, entry }] : [];
    });
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#store.get(key);
  }

  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    return this.#store.scan(prefix, after);
  }

  snapshot(): StorageSnapshot {
    return this.#store.snapshot();
  }

  entry(key: Uint8Array): ReplicaEntry | undefined {
    const row = this.#store.row(entryKey(key));
    return row && decodeEntry(row);
  }

  *entries(after?: Uint8Array): Iterable<[key: Uint8Array, entry: ReplicaEntry]> {
    for (const [row, stored] of this.#store.rows(entriesAfter(after), ENTRIES_END)) {
      yield [keyOfEntry(row), decodeEntry(stored)];
    }
  }

  chunks(key: Uint8Array): readonly Uint8Array[] {
    const { start, end } = chunkRange(key);
    return [...this.#store.rows(start, end)].map(([, stored]) => decode(stored).bytes);
  }

  get sequence(): number {
    return this.#store.state.sequence;
  }

  get summary(): Uint8Array | undefined {
    return this.#store.state.summary;
  }

  summarise(summariser: Summariser): void {
    this.#store.summarise(summariser);
  }

  async still<T>(task: () => Promise<T>): Promise<T> {
    let result: Promise<T> | undefined;
    await this.#changes.alone(async () => {
      result = task();
      await result.catch(() => undefined);
    });
    return result as Promise<T>;
  }

  refreshSummary(): Promise<void> {
    return this.#change(() => undefined);
  }

  /** Counts on from `sequence`, if it is not there yet: of a store that was moved here. */
  advance(sequence: number): Promise<void> {
    return this.#change((batch) => {
      batch.sequence = Math.max(batch.sequence, sequence);
      return undefined;
    });
  }

  /**
   * Says of which bucket this is a copy, once; of an empty copy again and again.
   *
   * @throws CofferError `unfit_store` if it is a copy of another one: what is known of that must not be held against this one
   */
  async belongTo(bucket: string): Promise<void> {
    const { bucket: known, origin } = this.#state;
    if (known === bucket) return;
    if (known !== undefined && origin) {
      throw new CofferError(
        'unfit_store',
        `this state folder holds a replica of the bucket ${known}, and the configuration names the bucket ${bucket}: correct ` +
          'storage.bucket; an instance of another store needs a state folder of its own',
      );
    }
    await this.#change(() => ({ bucket }));
  }

  bind(origin: ReplicaOrigin, position?: number, began = 0): Promise<void> {
    return this.#change((batch) => {
      batch.incarnation = origin.incarnation;
      const isSame = this.#state.origin === undefined || this.#state.origin.created === origin.created;
      const isSameEpoch = isSame && this.#state.origin?.epoch === origin.epoch;
      return {
        origin,
        ...(position !== undefined && { position }),
        ...(!isSame && { newest: new Newest() }),
        ...(!isSameEpoch && { mark: 0, settled: 0, outlived: Math.min(this.outlived, began) }),
      };
    });
  }

  async apply(
    writes: readonly ReplicaWrite[],
    chunks: readonly ReplicaChunk[],
    position: number,
    { mark, settled }: AppliedAt = {},
  ): Promise<void> {
    const place = { position, ...(settled && { settled: position }) };
    if (writes.length === 0 && chunks.length === 0) return this.#changes.moveTo(place);
    await this.#change((batch) => {
      const newest = this.#changes.newest.copy();
      const parts = this.#changes.parts.copy();
      batch.floorShare = FLOOR_SHARE;
      const waiting = [...chunks];
      const addChunks = (before: number) => {
        for (let [chunk] = waiting; chunk && chunk.revision < before; [chunk] = waiting) {
          batch.setRow(chunkKey(chunk.key, chunk.index), encode(chunk.revision, chunk.bytes));
          parts.add(chunk);
          waiting.shift();
        }
      };
      for (const write of writes) {
        addChunks(write.revision);
        const came = parts.take(write.key, write.revision);
        for (const index of came) batch.setRow(chunkKey(write.key, index), undefined);
        this.#add(batch, write, came.length);
        newest.add(write.key, write.revision);
      }
      addChunks(Number.POSITIVE_INFINITY);
      return { ...place, newest, parts, ...(mark !== undefined && { mark }) };
    });
  }

  async flush(): Promise<number> {
    await this.#changes.flush();
    return this.#state.position;
  }

  forget(keys: readonly Uint8Array[]): Promise<void> {
    return this.#change((batch) => {
      const newest = this.#changes.newest.copy();
      for (const key of keys) {
        if (!this.entry(key)?.removed) continue;
        batch.setRow(entryKey(key), undefined);
        newest.remove(key);
      }
      return { newest };
    });
  }

  async outlive(sequence: number, epoch: number): Promise<void> {
    const isNews = () => sequence > this.outlived && this.origin?.epoch === epoch;
    // What was asked before may bind it to another epoch.
    if (isNews()) await this.#change(() => (isNews() ? { outlived: sequence } : undefined));
  }

  clear(): Promise<void> {
    return this.#change((batch) => {
      batch.clear();
      batch.incarnation = UNBOUND;
      return { ...OF_NO_STREAM, newest: new Newest(), parts: new Parts() };
    });
  }

  async requireRoom({ head, put = [], remove = [], urgent }: StorageChange): Promise<void> {
    const batch = this.#store.begin();
    // What must not be refused has the room that what comes in has, and no more: it is to come back here.
    if (urgent) batch.floorShare = FLOOR_SHARE;
    for (const { key, bytes } of [...put, head]) batch.setRecord(key, bytes && encode(0, bytes));
    for (const key of remove) batch.setRecord(key, undefined);
    await this.#store.requireRoom(batch);
  }

  members(): readonly KnownMember[] {
    return [...this.#store.rows(MEMBERS_START, MEMBERS_END)].flatMap(
      ([row, stored]) => decodeMember(row, stored) ?? [],
    );
  }

  keepMember(member: KnownMember): Promise<void> {
    return this.#change((batch) => {
      batch.setRow(memberKey(member.instance), encodeMember(member));
      return undefined;
    });
  }

  get alarm(): StorageAlarm | undefined {
    return this.#state.alarm;
  }

  setAlarm(alarm: StorageAlarm | undefined): Promise<void> {
    return this.#change(() => ({ alarm }));
  }

  facts(): Promise<StorageFacts> {
    return this.#store.facts();
  }

  async close(): Promise<void> {
    await this.#changes.close();
    await this.#store.close();
  }

  #add(batch: Batch, write: ReplicaWrite, chunksThatCame: number): void {
    const { key, bytes, revision, isHead, lineage, chunks = chunksThatCame } = write;
    const before = batch.setRecord(key, bytes && encode(revision, bytes));
    const entry = {
      revision,
      removed: bytes === undefined,
      isHead,
      fingerprint: fingerprintOf(bytes),
      lineage,
      chunks,
    };
    batch.setRow(entryKey(key), encodeEntry(entry));
    if (!isHead) return;
    if (this.summary && !this.#store.summarised) {
      throw new Error('a replica with a summary takes no heads before summarise() was called');
    }
    batch.sequence++;
    batch.fold(key, before, bytes);
  }

  get #state(): ReplicaState {
    return this.#changes.state;
  }

  #change(fill: Parameters<ReplicaChanges['make']>[0]): Promise<void> {
    return this.#changes.make(fill);
  }
}
