import type { StorageAlarm } from '../shared.js';
import type { StorageChange, StorageFacts, StorageSnapshot, StoredRecord, Summariser } from '../storage.js';

/** Of which stream a replica is. */
export interface ReplicaOrigin {
  readonly incarnation: Uint8Array;
  readonly epoch: number;
  /** When the server made the stream, as it says: another stream has another. */
  readonly created: string;
}

/** One record of those that came before another. */
export interface Ancestor {
  readonly revision: number;
  /** The first 8 bytes of SHA-256 of its bytes, hex; of a removed one of none. */
  readonly fingerprint: string;
}

/** A record as it came from the stream. */
export interface ReplicaWrite {
  readonly key: Uint8Array;
  /** Undefined: it was removed, and is a tombstone until {@link ReplicaLike.forget}. */
  readonly bytes: Uint8Array | undefined;
  /** The stream's sequence of its message. */
  readonly revision: number;
  readonly isHead: boolean;
  readonly lineage: readonly Ancestor[];
  /** How many chunks it has in the stream; left out, those that {@link ReplicaLike.chunks} holds. */
  readonly chunks?: number | undefined;
}

/** Part of a record that is still to come. */
export interface ReplicaChunk {
  readonly key: Uint8Array;
  readonly index: number;
  readonly bytes: Uint8Array;
  readonly revision: number;
}

/** What else is known at a position. */
export interface AppliedAt {
  /** Of this instance's own, if there is one among what is applied. */
  readonly mark?: number | undefined;
  /** Nothing lacks up to there: see {@link ReplicaLike.settled}. */
  readonly settled?: boolean | undefined;
}

/** The head that a record is written with, as the same change leaves it. */
export interface Beside {
  /** Its key. */
  readonly head: Uint8Array;
  readonly fingerprint: string;
}

/** What is known of a record beside its bytes, of a tombstone too. */
export interface ReplicaEntry {
  readonly revision: number;
  readonly removed: boolean;
  readonly isHead: boolean;
  readonly fingerprint: string;
  readonly lineage: readonly Ancestor[];
  /** How many chunks its record has in the stream. */
  readonly chunks: number;
  /** Only of a message: up to where whoever wrote it had read. */
  readonly after?: number | undefined;
  /** Only of a message of a record that is no head: whether its change came true, that head says. */
  readonly beside?: Beside | undefined;
  /** Only of a message that removes a head: of which generation that was. */
  readonly removedGeneration?: number | undefined;
}

/** An instance that had a replica, as it last said. */
export interface KnownMember {
  readonly instance: string;
  /** The one that it spoke in, see {@link ReplicaLike.life}. */
  readonly life: number;
  /** Nobody waits for it: what it said in this life, and may be heard of again, means nothing. */
  readonly isForgotten: boolean;
  readonly name: string;
  readonly version: string;
  /** Of its replica. */
  readonly epoch: number;
  /** By its own clock. */
  readonly at: Date;
}

/**
 * An instance's own copy of the stream, sealed as there, in LMDB. All that is written is durable and visible at once when the
 * promise resolves.
 */
export interface ReplicaLike {
  readonly instance: string;
  /** How often the instance was forgotten, and came back. */
  readonly life: number;
  beginLife(life: number): Promise<void>;
  /** Undefined in a new one. */
  readonly origin: ReplicaOrigin | undefined;
  /** The highest sequence of the stream that is applied; 0 in a new one. */
  readonly position: number;
  /**
   * The highest {@link position} at which nothing lacked that came before it; 0 before the first since it was bound. A stream that
   * keeps the last message of each subject has a gap where one was replaced: beyond it, and before what replaced it was read, a
   * record is as it was before the gap.
   */
  readonly settled: number;
  /** The sequence of the last commit of this instance's own that is applied; 0 before the first since it was bound. */
  readonly mark: number;
  /** What is new to this copy has been written by somebody who had read up to there, see {@link outlive}. */
  readonly outlived: number;
  /**
   * Of the highest records applied since the copy was bound to this stream, newest first, some 32: by them is seen whether the
   * stream still has what it had.
   */
  newest(): readonly { readonly key: Uint8Array; readonly entry: ReplicaEntry }[];

  get(key: Uint8Array): StoredRecord | undefined;
  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[key: Uint8Array, record: StoredRecord]>;
  snapshot(): StorageSnapshot;
  entry(key: Uint8Array): ReplicaEntry | undefined;
  /** All, tombstones too, by key. */
  entries(after?: Uint8Array): Iterable<[key: Uint8Array, entry: ReplicaEntry]>;
  /** Parts that came and whose record has not, in order. */
  chunks(key: Uint8Array): readonly Uint8Array[];

  /** Counts what was applied here; only this copy's own. */
  readonly sequence: number;
  readonly summary: Uint8Array | undefined;
  /** From now on each change of a head is folded in. A copy that has no summary gets one with the next of them. */
  summarise(summariser: Summariser): void;
  refreshSummary(): Promise<void>;
  /** Nothing is written while `task` runs, which must not wait for what is. */
  still<T>(task: () => Promise<T>): Promise<T>;

  /**
   * Before a change of this instance's own goes into the stream: that there is room for it here, and for what others change meanwhile.
   *
   * @throws CofferError `storage_full`
   */
  requireRoom(change: StorageChange): Promise<void>;

  /**
   * Binds a new copy to its stream, or an old one to what its stream has become after a heal.
   *
   * @param position up to where that is applied, if it is another than before
   * @param began where the epoch begins in the stream: who writes in it has read up to there, and may not have what came in its place before
   */
  bind(origin: ReplicaOrigin, position?: number, began?: number): Promise<void>;
  /**
   * In one transaction, with the summary folded over the heads; both lists in the order of the stream. The same once more is
   * harmless. A position alone, of messages that are no records, may be on the disk only some seconds later, or with the next record:
   * what came after it then comes again.
   *
   * @throws CofferError `storage_full`: nothing of it was written, and it can be tried again; `io`, `stopped`
   */
  apply(
    writes: readonly ReplicaWrite[],
    chunks: readonly ReplicaChunk[],
    position: number,
    at?: AppliedAt,
  ): Promise<void>;
  /** Sees that all that is applied is on the disk, the position too. @returns the position */
  flush(): Promise<number>;
  /** Tombstones that every member has; what is no tombstone, or not there, stays as it is. */
  forget(keys: readonly Uint8Array[]): Promise<void>;
  /** Every member has read up to that sequence of an epoch so long ago that nobody has anything on its way that was written before. */
  outlive(sequence: number, epoch: number): Promise<void>;
  /**
   * Empties it, for a new start from the stream: without origin, position 0, and no summary until {@link summarise} is called
   * again. `instance`, `life`, `sequence` and the alarm stay.
   */
  clear(): Promise<void>;

  /** The others that were heard of: the stream may be gone, and what it said of them with it. */
  members(): readonly KnownMember[];
  keepMember(member: KnownMember): Promise<void>;
  readonly alarm: StorageAlarm | undefined;
  setAlarm(alarm: StorageAlarm | undefined): Promise<void>;
  facts(): Promise<StorageFacts>;
  close(): Promise<void>;
}
