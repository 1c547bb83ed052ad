import { asBuffer } from '../bytes.js';
import { CofferError } from '../errors.js';
import { privateFolder, syncFolder } from '../files.js';
import { DISK_BOUNDS, Timings } from '../timings.js';
import { Batch } from './lmdb-batch.js';
import { type LmdbDatabase, openDatabase } from './lmdb-database.js';
import { LmdbSnapshot, scanRange } from './lmdb-snapshot.js';
import {
  type DriverState,
  decode,
  encodeState,
  type FileKind,
  newState,
  readState,
  STATE_KEY,
} from './lmdb-state.js';
import { FolderLock } from './lock.js';
import { Space, type SpaceLimits } from './space.js';
import type { StorageFacts, StorageSnapshot, StoredRecord, Summariser } from './storage.js';

export interface LocalStoreOptions extends SpaceLimits {
  /** Called once when a write could not be made durable: nothing can be acknowledged any more. */
  onFatal(error: CofferError): void;
}

/**
 * Records in one LMDB file of a folder that one process has open: reads, transactions, the summary over all heads, room and
 * failures. What a transaction means, and in which order they come, is its owner's.
 *
 * `overlappingSync: false` and `eventTurnBatching: false` make LMDB publish a transaction only after its pages and meta page
 * are on the disk (lmdb-js 3.5 shows it earlier by default) and make a failed one a rejection that can be caught.
 */
export class LocalStore {
  readonly #db: LmdbDatabase;
  readonly #kind: FileKind;
  readonly #lock: FolderLock;
  readonly #space: Space;
  readonly #onFatal: (error: CofferError) => void;
  readonly #snapshots = new Set<LmdbSnapshot>();
  readonly #commits = new Timings(DISK_BOUNDS);
  #state: DriverState;
  #summariser: Summariser | undefined;
  #digest: Uint8Array = Buffer.alloc(0);
  #stopped: CofferError | undefined;
  #broken: CofferError | undefined;
  #closing: Promise<void> | undefined;

  private constructor(
    db: LmdbDatabase,
    kind: FileKind,
    lock: FolderLock,
    space: Space,
    state: DriverState,
    onFatal: (error: CofferError) => void,
  ) {
    this.#db = db;
    this.#kind = kind;
    this.#lock = lock;
    this.#space = space;
    this.#state = state;
    this.#onFatal = onFatal;
  }

  /**
   * Opens what is in `folder`, or makes it there (mode 0700), with `fresh` for its state.
   *
   * @throws CofferError `store_locked`, `newer_format`, `tampered`, `io`; `unfit_store` if it is of another kind
   */
  static async open(
    folder: string,
    kind: FileKind,
    options: LocalStoreOptions,
    fresh: () => DriverState = newState,
  ): Promise<LocalStore> {
    await privateFolder(folder);
    const lock = await FolderLock.acquire(folder);
    try {
      const db = await openDatabase(folder);
      try {
        const space = new Space(folder, options);
        let state = readState(db.getBinary(STATE_KEY), kind);
        if (!state) {
          state = fresh();
          await db.put(STATE_KEY, encodeState(state, kind));
          await syncFolder(folder);
        }
        return new LocalStore(db, kind, lock, space, state, options.onFatal);
      } catch (error) {
        await db.close();
        throw error;
      }
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  /** As of the last transaction that is durable. */
  get state(): DriverState {
    return this.#state;
  }

  /** Why nothing new is taken; undefined while it is. */
  get stopped(): CofferError | undefined {
    return this.#stopped;
  }

  get(key: Uint8Array): StoredRecord | undefined {
    const stored = this.#db.getBinary(asBuffer(key));
    return stored && decode(stored);
  }

  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    return scanRange(this.#db, prefix, after);
  }

  /** What is stored under a key, a row of the driver's own as well. */
  row(key: Uint8Array): Buffer | undefined {
    return this.#db.getBinary(asBuffer(key));
  }

  /** All rows from `start` on and before `end`, as of one moment. */
  *rows(start: Buffer, end: Buffer): Iterable<[key: Buffer, stored: Buffer]> {
    for (const { key, value } of this.#db.getRange({ start, end, snapshot: true })) yield [key, value];
  }

  snapshot(): StorageSnapshot {
    if (this.#stopped) throw this.#stopped;
    const { sequence } = this.#state;
    const snapshot = new LmdbSnapshot(this.#db, this.#kind, sequence, () => this.#snapshots.delete(snapshot));
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  get summarised(): boolean {
    return this.#summariser !== undefined;
  }

  summarise(summariser: Summariser): void {
    this.#summariser = summariser;
    this.#digest = summariser.initial;
  }

  /** A transaction to be filled and {@link write written} before the next one is begun. */
  begin(): Batch {
    return new Batch(this.#state, this.#digest, this.#summariser, (key) => this.#db.getBinary(key));
  }

  /** @throws CofferError `storage_full` if there is no room for it */
  async requireRoom(batch: Batch): Promise<void> {
    const treeBytes = () => {
      const { treeBranchPageCount, treeLeafPageCount, pageSize } = this.#db.getStats() as TreeStats;
      return (treeBranchPageCount + treeLeafPageCount) * pageSize;
    };
    const { usedBytes, floorShare } = batch;
    await this.#space.require(this.#state.usedBytes, {
      usedBytes,
      floorShare,
      diskBytes: batch.diskBytes(treeBytes),
    });
  }

  /**
   * Makes it durable and visible, with the summary, or changes nothing.
   *
   * @throws CofferError `storage_full`; `io` if the disk cannot be trusted any more: then nothing is written again
   */
  async write(batch: Batch): Promise<void> {
    if (this.#broken) throw this.#broken;
    const summariser = batch.cleared ? undefined : this.#summariser;
    // One that was given since the batch was begun begins where the heads stand.
    const digest = batch.cleared || batch.isFoldedBy(summariser) ? batch.digest : this.#digest;
    const state: DriverState = {
      incarnation: batch.incarnation,
      sequence: batch.sequence,
      usedBytes: batch.usedBytes,
      summary: batch.cleared ? undefined : (summariser?.seal(digest, batch.sequence) ?? this.#state.summary),
    };
    const begun = performance.now();
    try {
      await this.#db.batch(() => {
        if (batch.cleared) this.#db.clearAsync();
        for (const { key, stored } of batch.writes()) {
          if (stored === undefined) this.#db.remove(key);
          else this.#db.put(key, stored);
        }
        this.#db.put(STATE_KEY, encodeState(state, this.#kind));
      });
    } catch (error) {
      throw await this.#failed(error);
    }
    this.#commits.since(begun);
    this.#state = state;
    const isNew = !batch.cleared && this.#summariser !== summariser;
    if (isNew) return;
    this.#summariser = summariser;
    this.#digest = digest;
  }

  async facts(): Promise<StorageFacts> {
    const { usedBytes } = this.#state;
    return { usedBytes, ...(await this.#space.look(usedBytes)), commits: this.#commits.snapshot() };
  }

  /** From now on nothing new is to be taken. */
  stop(): void {
    this.#stopped ??= new CofferError('stopped', 'the store is closed');
  }

  /** When nothing is being written. Twice is harmless. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.stop();
    for (const snapshot of this.#snapshots) snapshot.close();
    await this.#db.close();
    await this.#lock.release();
  }

  /** No room is a state that passes; anything else means that the disk can no longer be trusted. */
  async #failed(error: unknown): Promise<CofferError> {
    const cause = await lmdbCause(error);
    if (noRoom(cause)) return this.#space.full(cause);
    this.#broken = new CofferError(
      'io',
      `the store could not be written durably (${cause.message}): the server stops, since nothing that it ` +
        'acknowledged from here on would be safe; check the disk, then start it again',
      { cause },
    );
    this.#stopped = this.#broken;
    this.#onFatal(this.#broken);
    return this.#broken;
  }
}

interface TreeStats {
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly pageSize: number;
}

const ENOSPC = 28;
const EDQUOT = 122;
const MDB_MAP_FULL = -30792;

/**
 * A page that found no room was never written, and its transaction is forgotten: the store goes on. The same code from
 * `fdatasync` means that written pages may be lost. A page that was written in part is LMDB's EIO, which cannot be told
 * from a broken disk and stops the server; `Space` looks before each transaction, so that it takes another program to
 * fill the disk at that very moment.
 */
const noRoom = ({ code, message }: Error & { code?: number }): boolean =>
  code === MDB_MAP_FULL || ((code === ENOSPC || code === EDQUOT) && message.includes('write page'));

/** lmdb-js rejects with an error whose `commitError` is a promise that rejects with the cause. */
async function lmdbCause(error: unknown): Promise<Error & { code?: number }> {
  const { commitError } = error as { commitError?: Promise<never> };
  if (!commitError) return error as Error;
  return commitError.catch((cause: Error) => cause);
}
