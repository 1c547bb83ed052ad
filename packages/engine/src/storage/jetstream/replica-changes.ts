import type { Batch } from '../lmdb-batch.js';
import type { LocalStore } from '../local-store.js';
import type { Newest, Parts } from './replica-memory.js';
import { REPLICA_KEY } from './replica-rows.js';
import { encodeReplicaState, type ReplicaState } from './replica-state.js';

/** How long a position alone may wait for the disk, in milliseconds. */
const POSITION_MS = 5_000;

/** What a transaction may change beside the rows. */
export interface Changed extends Omit<ReplicaState, 'instance' | 'newest'> {
  readonly newest: Newest;
  readonly parts: Parts;
}

/** What a replica knows beside its records, and its transactions, one after the other: what is known is true with each of them. */
export class ReplicaChanges {
  readonly #store: LocalStore;
  #state: ReplicaState;
  #position: number;
  #settled: number;
  #writtenAt = performance.now();
  #newest: Newest;
  #parts: Parts;
  /** Ends when all that was asked so far is written. */
  #last: Promise<unknown> = Promise.resolve();

  /** @param newest of the state's keys @param parts that are in the store */
  constructor(store: LocalStore, state: ReplicaState, newest: Newest, parts: Parts) {
    this.#store = store;
    this.#state = state;
    this.#position = state.position;
    this.#settled = state.settled;
    this.#newest = newest;
    this.#parts = parts;
  }

  /** As it is on the disk. */
  get state(): ReplicaState {
    return this.#state;
  }

  /** What is applied; the disk's may be behind, by messages that are no records. */
  get position(): number {
    return this.#position;
  }

  get settled(): number {
    return this.#settled;
  }

  get newest(): Newest {
    return this.#newest;
  }

  get parts(): Parts {
    return this.#parts;
  }

  /** One transaction, behind those that were asked before: what `fill` puts into it, and the state with what it answers. */
  make(fill: (batch: Batch) => Partial<Changed> | undefined): Promise<void> {
    return this.alone(async () => {
      const batch = this.#store.begin();
      // What belongs to the copy itself is little, and must not be refused for want of room.
      batch.floorShare = 0;
      const place = { position: this.#position, settled: this.#settled };
      const before = { ...this.#state, ...place, newest: this.#newest, parts: this.#parts };
      const { newest, parts, ...state } = { ...before, ...fill(batch) };
      const after: ReplicaState = { ...state, newest: newest.keys() };
      batch.setRow(REPLICA_KEY, encodeReplicaState(after));
      await this.#store.requireRoom(batch);
      await this.#store.write(batch);
      this.#state = after;
      this.#position = after.position;
      this.#settled = after.settled;
      this.#writtenAt = performance.now();
      this.#newest = newest;
      this.#parts = parts;
    });
  }

  /** A beat every 200 ms is no reason to wait for the disk. */
  async moveTo(place: { readonly position: number; readonly settled?: number }): Promise<void> {
    if (performance.now() - this.#writtenAt >= POSITION_MS) return this.make(() => place);
    await this.alone(async () => {
      this.#position = place.position;
      this.#settled = place.settled ?? this.#settled;
    });
  }

  /** Sees that the position is on the disk, too. */
  async flush(): Promise<void> {
    if (this.#position !== this.#state.position) await this.make(() => undefined);
  }

  /** When all that was asked before is done, and before what is asked later. @throws CofferError `io`, `stopped` */
  alone(task: () => Promise<void>): Promise<void> {
    if (this.#store.stopped) return Promise.reject(this.#store.stopped);
    const done = this.#last.then(task);
    this.#last = done.catch(() => undefined);
    return done;
  }

  /** Ends with what was asked before. */
  async close(): Promise<void> {
    // Not worth a word if it fails: what came since comes again.
    if (!this.#store.stopped) await this.flush().catch(() => undefined);
    this.#store.stop();
    await this.#last;
  }
}
