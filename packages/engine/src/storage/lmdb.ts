import { asBuffer } from '../bytes.js';
import { CofferError } from '../errors.js';
import { privateFolder, syncFolder } from '../files.js';
import { DISK_BOUNDS, Timings } from '../timings.js';
import { Batch } from './lmdb-batch.js';
import { type LmdbDatabase, openDatabase } from './lmdb-database.js';
import { LmdbSnapshot, scanRange } from './lmdb-snapshot.js';
import { type DriverState, decode, encodeState, newState, readState, STATE_KEY } from './lmdb-state.js';
import { FolderLock } from './lock.js';
import { Space, type SpaceLimits } from './space.js';
import type {
  Storage,
  StorageChange,
  StorageEvent,
  StorageFacts,
  StorageSnapshot,
  StoredRecord,
  Summariser,
} from './storage.js';

/** How many events a watcher may have missed and still resume. */
const EVENTS_KEPT = 4_096;

export interface LmdbOptions extends SpaceLimits {
  /** Called once when a write could not be made durable: nothing can be acknowledged any more. */
  onFatal(error: CofferError): void;
}

/**
 * The embedded store: one LMDB file, one process.
 *
 * Commits that wait at the same moment share one transaction and so one `fdatasync`. `overlappingSync: false` and
 * `eventTurnBatching: false` make LMDB publish a transaction only after its pages and meta page are on the disk
 * (lmdb-js 3.5 shows it earlier by default) and make a failed commit a rejection that can be caught.
 */
export class LmdbStorage implements Storage {
  readonly incarnation: Uint8Array;
  readonly #db: LmdbDatabase;
  readonly #lock: FolderLock;
  readonly #space: Space;
  readonly #onFatal: (error: CofferError) => void;
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #events: StorageEvent[] = [];
  readonly #snapshots = new Set<LmdbSnapshot>();
  readonly #commits = new Timings(DISK_BOUNDS);
  #sequence: number;
  #usedBytes: number;
  #summary: Uint8Array | undefined;
  #summariser: Summariser | undefined;
  #digest: Uint8Array = Buffer.alloc(0);
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #stopped: CofferError | undefined;

  private constructor(
    db: LmdbDatabase,
    lock: FolderLock,
    space: Space,
    state: DriverState,
    onFatal: (error: CofferError) => void,
  ) {
    this.#db = db;
    this.#lock = lock;
    this.#space = space;
    this.#onFatal = onFatal;
    this.incarnation = state.incarnation;
    this.#sequence = state.sequence;
    this.#usedBytes = state.usedBytes;
    this.#summary = state.summary;
  }

  /**
   * Opens the store in `folder`, or makes an empty one there (mode 0700).
   *
   * @throws CofferError `store_locked`, `newer_format`, `io`
   */
  static async open(folder: string, options: LmdbOptions): Promise<LmdbStorage> {
    await privateFolder(folder);
    const lock = await FolderLock.acquire(folder);
    try {
      const db = await openDatabase(folder);
      try {
        const space = new Space(folder, options);
        let state = readState(db.getBinary(STATE_KEY));
        if (!state) {
          state = newState();
          await db.put(STATE_KEY, encodeState(state));
          await syncFolder(folder);
        }
        return new LmdbStorage(db, lock, space, state, options.onFatal);
      } catch (error) {
        await db.close();
        throw error;
      }
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  get summary(): Uint8Array | undefined {
    return this.#summary;
  }

  get(key: Uint8Array): StoredRecord | undefined {
    const stored = this.#db.getBinary(asBuffer(key));
    return stored && decode(stored);
  }

  get sequence(): number {
    return this.#sequence;
  }

  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    return scanRange(this.#db, prefix, after);
  }

  snapshot(): StorageSnapshot {
    if (this.#stopped) throw this.#stopped;
    const snapshot = new LmdbSnapshot(this.#db, this.#sequence, () => this.#snapshots.delete(snapshot));
    this.#snapshots.add(snapshot);
    return snapshot;
  }

  async commit(change: StorageChange): Promise<number> {
    return this.#enqueue(change);
  }

  async refreshSummary(): Promise<void> {
    await this.#enqueue(undefined);
  }

  watch(listener: (event: StorageEvent) => void, since?: string): () => void {
    if (since !== undefined) for (const event of this.#eventsAfter(since)) listener(event);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  summarise(summariser: Summariser): void {
    this.#summariser = summariser;
    this.#digest = summariser.initial;
  }

  async facts(): Promise<StorageFacts> {
    const usedBytes = this.#usedBytes;
    return { usedBytes, ...(await this.#space.look(usedBytes)), commits: this.#commits.snapshot() };
  }

  async close(): Promise<void> {
    this.#stopped ??= new CofferError('stopped', 'the store is closed');
    await this.#writing;
    this.#listeners.clear();
    for (const snapshot of this.#snapshots) snapshot.close();
    await this.#db.close();
    await this.#lock.release();
  }

  /** Without a change, the summary alone is written. */
  #enqueue(change: StorageChange | undefined): Promise<number> {
    if (this.#stopped) return Promise.reject(this.#stopped);
    return new Promise<number>((resolve, reject) => {
      this.#waiting.push({ change, resolve, reject });
      this.#writing ??= this.#writeAll();
    });
  }

  /** Writes what waits, transaction after transaction, until nothing does. */
  async #writeAll(): Promise<void> {
    // A turn of the event loop gathers what else was asked at this moment.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting;
      this.#waiting = [];
      await this.#write(waiting).catch((error: unknown) => {
        for (const { reject } of waiting) reject(error as Error);
      });
    }
    this.#writing = undefined;
  }

  async #write(waiting: Waiting[]): Promise<void> {
    const batch = new Batch(this.#sequence, this.#usedBytes, this.#digest, this.#summariser, (key) =>
      this.#db.getBinary(key),
    );
    const accepted: (Waiting & { revision: number })[] = [];
    for (const one of waiting) {
      const revision = one.change ? batch.add(one.change) : batch.sequence;
      if (revision === undefined) one.reject(conflict());
      else accepted.push({ ...one, revision });
    }
    if (accepted.length === 0) return;
    const rejectAll = (error: Error) => {
      for (const { reject } of accepted) reject(error);
    };
    try {
      await this.#space.require(this.#usedBytes, batch);
    } catch (error) {
      if (accepted.length === 1) return rejectAll(error as Error);
      // What does not fit must not take along what does, a deletion least of all.
      for (const one of accepted) await this.#write([one]);
      return;
    }
    const summary = this.#summariser?.seal(batch.digest, batch.sequence) ?? this.#summary;
    const state = encodeState({
      incarnation: this.incarnation,
      sequence: batch.sequence,
      usedBytes: batch.usedBytes,
      summary,
    });
    const begun = performance.now();
    try {
      await this.#db.batch(() => {
        for (const [key, value] of batch.writes()) {
          if (value === undefined) this.#db.remove(key);
          else this.#db.put(key, value);
        }
        this.#db.put(STATE_KEY, state);
      });
    } catch (error) {
      return rejectAll(await this.#failed(error));
    }
    this.#commits.since(begun);
    this.#sequence = batch.sequence;
    this.#usedBytes = batch.usedBytes;
    this.#digest = batch.digest;
    this.#summary = summary;
    for (const { change, revision, resolve } of accepted) {
      resolve(revision);
      if (change) this.#publish({ id: this.#eventId(revision), key: change.head.key });
    }
  }

  /** No room is a state that passes; anything else means that the disk can no longer be trusted. */
  async #failed(error: unknown): Promise<CofferError> {
    const cause = await lmdbCause(error);
    if (noRoom(cause)) return this.#space.full(cause);
    this.#stopped = new CofferError(
      'io',
      `the store could not be written durably (${cause.message}): the server stops, since nothing that it ` +
        'acknowledged from here on would be safe; check the disk, then start it again',
      { cause },
    );
    this.#onFatal(this.#stopped);
    return this.#stopped;
  }

  #publish(event: StorageEvent): void {
    this.#events.push(event);
    if (this.#events.length > 2 * EVENTS_KEPT) this.#events.splice(0, EVENTS_KEPT);
    for (const listener of this.#listeners) listener(event);
  }

  #eventId(sequence: number): string {
    return `${Buffer.from(this.incarnation).toString('hex')}-${sequence}`;
  }

  #eventsAfter(since: string): StorageEvent[] {
    if (since === this.#eventId(this.#sequence)) return [];
    const at = this.#events.findIndex((event) => event.id === since);
    if (at < 0) return [{ id: this.#eventId(this.#sequence), reset: true }];
    return this.#events.slice(at + 1);
  }
}

interface Waiting {
  readonly change: StorageChange | undefined;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: Error) => void;
}

const conflict = () => new CofferError('conflict', 'the record was changed by somebody else in the meantime');

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
