import { CofferError } from '../errors.js';
import type { Batch } from './lmdb-batch.js';
import { encode, readRevision } from './lmdb-state.js';
import { LocalStore, type LocalStoreOptions } from './local-store.js';
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

/**
 * The embedded store: one LMDB file, one process. Commits that wait at the same moment share one transaction and so one
 * `fdatasync`.
 */
export class LmdbStorage implements Storage {
  readonly incarnation: Uint8Array;
  readonly #store: LocalStore;
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #events: StorageEvent[] = [];
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;

  private constructor(store: LocalStore) {
    this.#store = store;
    this.incarnation = store.state.incarnation;
  }

  /**
   * Opens the store in `folder`, or makes an empty one there (mode 0700).
   *
   * @param kind `moved` for who moves it
   * @throws CofferError `store_locked`, `newer_format`, `io`; `unfit_store` if an instance's replica is there, or the store was moved
   */
  static async open(
    folder: string,
    options: LocalStoreOptions,
    kind: 'embedded' | 'moved' = 'embedded',
  ): Promise<LmdbStorage> {
    return new LmdbStorage(await LocalStore.open(folder, kind, options));
  }

  get summary(): Uint8Array | undefined {
    return this.#store.state.summary;
  }

  get(key: Uint8Array): StoredRecord | undefined {
    return this.#store.get(key);
  }

  get sequence(): number {
    return this.#store.state.sequence;
  }

  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    return this.#store.scan(prefix, after);
  }

  snapshot(): StorageSnapshot {
    return this.#store.snapshot();
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
    this.#store.summarise(summariser);
  }

  facts(): Promise<StorageFacts> {
    return this.#store.facts();
  }

  async close(): Promise<void> {
    this.#store.stop();
    await this.#writing;
    this.#listeners.clear();
    await this.#store.close();
  }

  /** Without a change, the summary alone is written. */
  #enqueue(change: StorageChange | undefined): Promise<number> {
    if (this.#store.stopped) return Promise.reject(this.#store.stopped);
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
    const batch = this.#store.begin();
    const accepted: (Waiting & { revision: number })[] = [];
    for (const one of waiting) {
      const revision = one.change ? add(batch, one.change) : batch.sequence;
      if (revision === undefined) one.reject(conflict());
      else accepted.push({ ...one, revision });
    }
    if (accepted.length === 0) return;
    batch.floorShare = accepted.every(({ change }) => change === undefined || change.urgent) ? 0 : 1;
    const rejectAll = (error: Error) => {
      for (const { reject } of accepted) reject(error);
    };
    try {
      await this.#store.requireRoom(batch);
    } catch (error) {
      if (accepted.length === 1) return rejectAll(error as Error);
      // What does not fit must not take along what does, a deletion least of all.
      for (const one of accepted) await this.#write([one]);
      return;
    }
    try {
      await this.#store.write(batch);
    } catch (error) {
      return rejectAll(error as Error);
    }
    for (const { change, revision, resolve } of accepted) {
      resolve(revision);
      if (change) this.#publish({ id: this.#eventId(revision), key: change.head.key });
    }
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
    if (since === this.#eventId(this.sequence)) return [];
    const at = this.#events.findIndex((event) => event.id === since);
    if (at < 0) return [{ id: this.#eventId(this.sequence), reset: true }];
    return this.#events.slice(at + 1);
  }
}

interface Waiting {
  readonly change: StorageChange | undefined;
  readonly resolve: (revision: number) => void;
  readonly reject: (error: Error) => void;
}

const conflict = () => new CofferError('conflict', 'the record was changed by somebody else in the meantime');

/** @returns the head's new revision, or undefined if it is not at the expected one: nothing is in the batch then. */
function add(
  batch: Batch,
  { head, expectedRevision, put = [], remove = [] }: StorageChange,
): number | undefined {
  const before = batch.stored(head.key);
  if ((before ? readRevision(before) : 0) !== expectedRevision) return undefined;
  const revision = ++batch.sequence;
  for (const side of put) batch.setRecord(side.key, encode(revision, side.bytes));
  for (const removed of remove) batch.setRecord(removed, undefined);
  batch.setRecord(head.key, head.bytes && encode(revision, head.bytes), before);
  batch.fold(head.key, before, head.bytes);
  return revision;
}
