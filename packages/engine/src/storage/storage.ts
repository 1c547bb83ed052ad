import type { TimingsSnapshot } from '../timings.js';
import type { SharedStorage } from './shared.js';

/**
 * What the engine asks of a store, and all that a driver knows: keys, opaque bytes and revisions.
 *
 * Two kinds of record exist. A *head* is small, is changed by compare-and-set, and alone decides what is true. *Side
 * records* carry bulk (a version's value) and mean nothing until a head refers to them. A change writes its side
 * records first and then its head, so that a reader sees the whole change or none of it.
 *
 * What every driver owes is in `packages/engine/test/storage-suite.ts`:
 * an acknowledged commit survives a crash; nobody reads what is not yet durable; two writers never lose an update.
 */
export interface Storage {
  /** Random id made when the store was born, 16 bytes. Two stores never share one. */
  readonly incarnation: Uint8Array;

  /** Of a store that other instances change as well; undefined where this process is the only writer. */
  readonly shared?: SharedStorage | undefined;

  /** The record under `key` as last durably committed. */
  get(key: Uint8Array): StoredRecord | undefined;

  /** How many changes were ever committed; the last one's number. */
  readonly sequence: number;

  /**
   * Records whose key starts with `prefix`, in byte order of their keys, as of one moment; with `after`, only those behind
   * that key, so that long work can go on in parts.
   */
  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[key: Uint8Array, record: StoredRecord]>;

  /**
   * The store as it is at this moment: all that was acknowledged is in it. It stays so while it is read, whatever is written
   * meanwhile, and blocks nobody. Close it soon: until then the room of what is deleted or replaced is not used again, and
   * the file grows. It ends with the store.
   *
   * @throws CofferError `stopped`
   */
  snapshot(): StorageSnapshot;

  /**
   * Writes the change, or nothing of it.
   *
   * @returns the head's new revision, once the change is on stable storage and visible to readers.
   * @throws CofferError `conflict` if the head is not at `expectedRevision`; `storage_full` if there is no room (the
   *   store goes on when there is); `invalid_argument` for more records than the driver takes at once; `stopped` after {@link close} or after durability was lost; of a shared store
   *   `unavailable`, `in_doubt` (it may come true, or have) and `store_alarm`.
   */
  commit(change: StorageChange): Promise<number>;

  /**
   * Calls `listener` for every committed head from now on, or from the event after `since`.
   * A `since` that is too old, or of another store, gives one event with `reset: true`: read everything anew.
   *
   * @returns a function that ends the watch.
   */
  watch(listener: (event: StorageEvent) => void, since?: string): () => void;

  /** The sealed summary that came with the last commit, see {@link StorageChange.head} and {@link Summariser}. */
  readonly summary: Uint8Array | undefined;

  /** From now on each commit carries a summary of all heads, in the same transaction. */
  summarise(summariser: Summariser): void;

  /**
   * Writes the summary anew, behind all commits that wait, and changes nothing else.
   *
   * @throws CofferError as {@link commit}
   */
  refreshSummary(): Promise<void>;

  /** How full it is, and how its disk does. */
  facts(): Promise<StorageFacts>;

  /** Waits for commits under way, then closes. */
  close(): Promise<void>;
}

export interface StorageFacts {
  /** Bytes of all records, and how many there may be, where there is such a limit. */
  readonly usedBytes: number;
  readonly quotaBytes: number | undefined;
  /** On its disk, and how much of it is kept free; absent for a store that is not on a disk of this machine. */
  readonly disk: { readonly freeBytes: number; readonly reservedBytes: number } | undefined;
  /** Whether there is room for changes, as far as it can be told. */
  readonly writable: boolean;
  /** How long it took to write transactions to stable storage. */
  readonly commits: TimingsSnapshot;
}

/** One moment of a store. */
export interface StorageSnapshot {
  readonly sequence: number;
  readonly summary: Uint8Array | undefined;
  /**
   * As {@link Storage.scan}, of that moment. Read a part in one go, then go on with `after`.
   *
   * @throws CofferError `stopped` after {@link close}, or after the store's
   */
  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[key: Uint8Array, record: StoredRecord]>;
  /** Twice is harmless. */
  close(): void;
}

export interface StoredRecord {
  readonly bytes: Uint8Array;
  /** Grows with every commit to this key; 1 or more. */
  readonly revision: number;
}

export interface StorageChange {
  /** The record that makes the change true; `undefined` bytes remove it. */
  readonly head: { readonly key: Uint8Array; readonly bytes: Uint8Array | undefined };
  /** The revision that the head must have; 0: it must not exist. */
  readonly expectedRevision: number;
  readonly put?: readonly { readonly key: Uint8Array; readonly bytes: Uint8Array }[];
  readonly remove?: readonly Uint8Array[];
  /**
   * The side records are found through their head alone, as a secret's values are: a driver may write new ones before the change
   * and remove old ones after it, and what a crash leaves of them means nothing. Not so those that are read by a scan, as the
   * manifest's: one without its head would fit to nothing. Without it a change that does not go at once is refused.
   */
  readonly divisible?: boolean;
  /** A revocation: it may use the room that is otherwise kept free. */
  readonly urgent?: boolean;
}

export interface StorageEvent {
  /** `<incarnation>-<sequence>`, to resume from. */
  readonly id: string;
  /** The head that changed; undefined with `reset`. */
  readonly key?: Uint8Array;
  readonly reset?: true;
}

/**
 * Keeps a summary of all heads up to date, by which the engine finds at open that one was put back to an earlier
 * state or taken away. The driver stores what `seal` answers in the transaction of each commit and understands
 * nothing of it.
 */
export interface Summariser {
  readonly initial: Uint8Array;
  /** The digest after `key` changed from `before` to `after` (`undefined`: there is none). */
  fold(
    digest: Uint8Array,
    key: Uint8Array,
    before: Uint8Array | undefined,
    after: Uint8Array | undefined,
  ): Uint8Array;
  /** @param sequence the store's after the commit that carries the summary */
  seal(digest: Uint8Array, sequence: number): Uint8Array;
}
