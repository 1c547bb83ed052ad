import { randomInt } from 'node:crypto';
import { asBuffer } from './bytes.js';
import type { KeyRing } from './crypto/key-ring.js';
import { RandomPool } from './crypto/random-pool.js';
import {
  generationOf,
  plaintextLength,
  type RecordBinding,
  type RecordSealer,
  tampered,
} from './crypto/records.js';
import { CofferError } from './errors.js';
import { decodeHead, encodeHead, type Head } from './head.js';
import { type Entry, Heads } from './heads.js';
import { requireStore } from './instances/moved-away.js';
import type { FoundHead } from './integrity.js';
import { HEAD_PREFIX, headKey, valueKey } from './keys.js';
import { STARTS_PER_SECOND, startOf } from './lives.js';
import { type Resealed, Resealing, type Room } from './rotation/reseal.js';
import type { IncomingHead } from './storage/shared.js';
import type { Storage } from './storage/storage.js';

/** A head's next state, with the value that it brings in and the values that it lets go. */
export interface HeadChange {
  readonly head: Head;
  readonly newValue?: { readonly version: number; readonly recordId: Uint8Array; readonly value: Uint8Array };
  readonly dropped?: readonly Uint8Array[];
}

/** A value as the store has it: its size is known before there is any plaintext. */
export interface SealedValue {
  /** Of the value, in bytes. */
  readonly size: number;
  readonly key: Buffer;
  readonly record: Buffer;
  readonly binding: RecordBinding;
  readonly binary: boolean;
}

/** Bytes of a value record's own id. */
const RECORD_ID_BYTES = 16;
/** Milliseconds by which the clock of an instance may be behind another's. */
const CLOCKS_DIFFER = 60 * 60 * 1_000;

/**
 * The heads of all secrets in memory, and the values in the store. Holds what is durable, nothing else: an entry
 * is replaced when its commit has been acknowledged, and in a shared store when somebody's has become visible.
 */
export class Catalog {
  readonly heads = new Heads();
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly #random = new RandomPool();
  /** Heads of a shared store under a data key that is still to come, by key. Their secrets are as they were before. */
  readonly #unproven = new Map<string, Buffer>();
  /** Names of secrets whose heads are about to be forgotten, by key. */
  readonly #leaving = new Map<string, string>();

  constructor(storage: Storage, ring: KeyRing, sealer: RecordSealer) {
    this.#storage = storage;
    this.#ring = ring;
    this.#sealer = sealer;
  }

  /** Reads every head; answers what was found, for the check of integrity. */
  load(): FoundHead[] {
    const found: FoundHead[] = [];
    for (const [key, { bytes, revision }] of this.#storage.scan(HEAD_PREFIX)) {
      const headKey = Buffer.from(key);
      if (this.#storage.shared && !this.#sealer.knows(bytes)) {
        this.#unproven.set(headKey.toString('latin1'), headKey);
        found.push({ key: headKey, generation: generationOf(asBuffer(bytes)) });
        continue;
      }
      const entry = this.#open(headKey, Buffer.from(bytes), revision);
      this.heads.put(entry);
      found.push(entry);
    }
    return found;
  }

  /**
   * @throws CofferError `tampered` if the record is gone or is not the one that the head means; `conflict` if the store has
   *   a newer head, which the index then has too: a durable change takes a value away a moment before the index hears of it
   */
  readValue(entry: Entry, version: number): Buffer {
    return this.openValue(this.sealedValue(entry, version));
  }

  /** @throws CofferError as {@link readValue}, but for what only opening tells */
  sealedValue({ key, revision, head }: Entry, version: number): SealedValue {
    const known = head.versions.get(version);
    if (!known) throw new RangeError(`the head has no version ${version}`);
    const storageKey = valueKey(key, known.recordId);
    const record = this.#storage.get(storageKey);
    if (!record) {
      if (this.#storage.get(key)?.revision === revision) throw tampered(storageKey);
      this.#reload(head.name, key);
      throw new CofferError('conflict', 'the secret was changed in the meantime');
    }
    return {
      size: plaintextLength(record.bytes),
      key: storageKey,
      record: record.bytes as Buffer,
      binding: { version, generation: known.generation },
      binary: known.binary,
    };
  }

  /** @throws CofferError `tampered`; `stale` if its data key is still to come */
  openValue({ key, record, binding }: SealedValue): Buffer {
    try {
      return this.#sealer.open(key, record, binding);
    } catch (error) {
      if (this.#storage.shared && !this.#sealer.knows(record)) throw keyToCome();
      throw error;
    }
  }

  newRecordId(): Uint8Array {
    const recordId = Buffer.allocUnsafe(RECORD_ID_BYTES);
    this.#random.fill(recordId);
    return recordId;
  }

  /**
   * The generation that the next state of a secret will have. A life starts at a number of its own that is above all of the lives
   * before: of who remembers one of those, in a shared store, it takes the place.
   */
  nextGeneration(name: string, now: Date): number {
    const entry = this.heads.get(name);
    if (entry) return entry.generation + 1;
    const start = Math.max(startOf(now), this.heads.forgotten);
    return start + 1 + randomInt(STARTS_PER_SECOND);
  }

  /** Whether all lives that begin from now on, wherever, are above that one: clocks of instances differ. */
  isPast({ generation }: Entry, now: Date): boolean {
    return generation < startOf(new Date(now.getTime() - CLOCKS_DIFFER));
  }

  /**
   * Makes the change durable, then visible.
   *
   * @param before the entry that the change was made from
   * @throws CofferError as {@link Storage.commit}; after a `conflict` the entry is the other writer's
   */
  async commit(
    before: Entry | undefined,
    generation: number,
    { head, newValue, dropped = [] }: HeadChange,
  ): Promise<Entry> {
    const key = before?.key ?? headKey(this.#ring, head.name);
    const bytes = this.#sealer.seal(key, { version: 0, generation }, encodeHead(head));
    const put = [];
    if (newValue) {
      const { version, recordId, value } = newValue;
      const storageKey = valueKey(key, recordId);
      put.push({ key: storageKey, bytes: this.#sealer.seal(storageKey, { version, generation }, value) });
    }
    const revision = await this.#commit(head.name, key, {
      head: { key, bytes },
      expectedRevision: before?.revision ?? 0,
      put,
      remove: dropped.map((recordId) => valueKey(key, recordId)),
      divisible: true,
    });
    const entry = { key, generation, revision, head };
    this.heads.made(entry);
    return entry;
  }

  /**
   * Seals the records of a secret that are under an older data key under the newest, as they are: nothing of it changes.
   * Nobody else may be changing the secret. Of a damaged value the others are sealed anew.
   *
   * @param after goes on behind this version
   * @throws CofferError as {@link Storage.commit}
   */
  async reseal(name: string, room: Room, after = 0): Promise<Resealed<number>> {
    const entry = this.heads.get(name);
    if (!entry) return { records: 0, damaged: [], goOnAfter: undefined };
    const { key, generation, revision, head } = entry;
    const resealing = new Resealing(this.#sealer, room);
    let goOnAfter: number | undefined;
    for (const [version, { recordId, generation }] of head.versions) {
      if (version <= after) continue;
      const storageKey = valueKey(key, recordId);
      resealing.side(storageKey, this.#storage.get(storageKey), { version, generation });
      if (resealing.isFull) {
        goOnAfter = version;
        break;
      }
    }
    const stored = this.#storage.get(key);
    const sealed = resealing.head(key, stored, { version: 0, generation });
    const { put, damaged } = resealing;
    const records = put.length + (sealed ? 1 : 0);
    const bytes = sealed ?? stored?.bytes;
    if (records > 0 && bytes) {
      const change = { head: { key, bytes }, expectedRevision: revision, put, divisible: true };
      this.heads.made({ ...entry, revision: await this.#commit(name, key, change) });
    }
    return { records, damaged, goOnAfter };
  }

  /** Forgets a tombstone. */
  async purge({ key, revision, head }: Entry): Promise<void> {
    await this.#commit(head.name, key, { head: { key, bytes: undefined }, expectedRevision: revision });
    this.heads.forget(head.name, revision);
  }

  /**
   * Looks at what somebody committed to a shared store, before it is visible. What is under a data key that is not here is let
   * through: with its key it proves itself in {@link takeOver}, or something newer stands in its place by then.
   *
   * @throws CofferError `tampered` if it does not open, or no writer of ours can have put it in the place of the one before
   */
  admit({ key, before, after }: IncomingHead): void {
    const headKey = asBuffer(key);
    if (after && !this.#sealer.knows(after)) return;
    const next = after && this.#open(headKey, asBuffer(after), 0);
    const was = before && this.#sealer.knows(before.bytes) && this.#open(headKey, asBuffer(before.bytes), 0);
    if (!was) return;
    if (!canFollow(was, next)) throw tampered(headKey);
    if (!next) this.#leaving.set(headKey.toString('latin1'), was.head.name);
  }

  /** Takes over a head of a shared store as it is now, whoever wrote it. Twice is harmless. */
  takeOver(key: Uint8Array): void {
    const headKey = asBuffer(key);
    const place = headKey.toString('latin1');
    const leaving = this.#leaving.get(place);
    this.#leaving.delete(place);
    const record = this.#storage.get(headKey);
    if (record && !this.#sealer.knows(record.bytes)) {
      this.#unproven.set(place, Buffer.from(headKey));
      return;
    }
    this.#unproven.delete(place);
    if (record) {
      const entry = this.#open(Buffer.from(headKey), Buffer.from(record.bytes), record.revision);
      this.heads.set(entry);
    } else if (leaving !== undefined) this.heads.forget(leaving);
  }

  /** Takes over all heads of a shared store as they are now, whatever is known here: it was healed, and counts anew. */
  takeOverAll(): void {
    const gone = new Map([...this.heads.entries()].map((entry) => [entry.key.toString('latin1'), entry]));
    this.#unproven.clear();
    for (const [key, { revision }] of this.#storage.scan(HEAD_PREFIX)) {
      const place = asBuffer(key).toString('latin1');
      const known = gone.get(place);
      gone.delete(place);
      if (known?.revision === revision) continue;
      if (known) this.heads.put({ ...known, revision: 0 });
      this.takeOver(key);
    }
    for (const { head } of gone.values()) {
      this.heads.forget(head.name);
      if (!head.deletedAt) this.heads.onChange(head.name);
    }
  }

  /** Looks again at those whose data key may have come. */
  prove(): void {
    for (const key of this.#unproven.values()) this.takeOver(key);
  }

  /** False while there are heads in the store that cannot be opened yet. */
  get isWhole(): boolean {
    return this.#unproven.size === 0;
  }

  async #commit(name: string, key: Buffer, change: Parameters<Storage['commit']>[0]): Promise<number> {
    requireStore(this.#storage);
    try {
      return await this.#storage.commit(change);
    } catch (error) {
      if ((error as { code?: string }).code === 'conflict') this.#reload(name, key);
      throw error;
    }
  }

  /**
   * Takes over the head that somebody else wrote.
   *
   * @throws CofferError `tampered` if it is older than the one known, or gone without having been a tombstone: no writer of
   *   ours leaves that behind; `stale` if its data key is still to come
   */
  #reload(name: string, key: Buffer): void {
    const record = this.#storage.get(key);
    const known = this.heads.get(name);
    if (record && record.revision === known?.revision) return;
    if (record && this.#storage.shared && !this.#sealer.knows(record.bytes)) throw keyToCome();
    const entry = record && this.#open(key, Buffer.from(record.bytes), record.revision);
    if (known && !canFollow(known, entry)) throw tampered(key);
    if (entry) this.heads.set(entry);
    else this.heads.forget(name);
  }

  #open(key: Buffer, record: Buffer, revision: number): Entry {
    const plaintext = this.#sealer.open(key, record);
    return { key, generation: generationOf(record), revision, head: decodeHead(plaintext) };
  }
}

/**
 * True if a writer of ours can have put one in the place of the other: a secret's generation only grows. It is deleted before it
 * is forgotten, and its next life is above all that was.
 */
function canFollow(before: Entry, after: Entry | undefined): boolean {
  const wasDeleted = before.head.deletedAt !== undefined;
  if (!after) return wasDeleted;
  // Who kept a copy of the life before could put that back, since nothing stands between the two that says when it ended.
  const isRevived = wasDeleted && after.head.deletedAt === undefined;
  return isRevived ? after.generation > before.generation : after.generation >= before.generation;
}

const keyToCome = () =>
  new CofferError('stale', 'the data key of this record is not here yet: try again in a moment');
