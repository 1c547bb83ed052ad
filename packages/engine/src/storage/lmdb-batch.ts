import { asBuffer } from '../bytes.js';
import { type DriverState, decode } from './lmdb-state.js';
import type { StoredRecord, Summariser } from './storage.js';

const PAGE_BYTES = 4_096;
/** A leaf, the branches above it, and what splitting them takes. */
const PAGES_PER_RECORD = 8;
/** What a page says of each of its rows, and more. */
const ROW_BYTES = 32;
/** From so many rows on it is worth the look how many pages there are. */
const MANY = 256;
/** Meta pages and the list of free pages. */
const FIXED_PAGES = 32;

/** What one transaction is to change, and what the store is then. */
export class Batch {
  /** By key in latin1; what is undefined is removed. */
  readonly #rows = new Map<string, { readonly key: Buffer; readonly stored: Buffer | undefined }>();
  readonly #read: (key: Buffer) => Buffer | undefined;
  readonly #summariser: Summariser | undefined;
  incarnation: Uint8Array;
  sequence: number;
  usedBytes: number;
  digest: Uint8Array;
  /** Of the room that is kept free, the part that it may not use. */
  floorShare = 1;
  /** All that is there goes first, and the summary with it. */
  cleared = false;

  /** @param read what is stored under a key */
  constructor(
    { incarnation, sequence, usedBytes }: DriverState,
    digest: Uint8Array,
    summariser: Summariser | undefined,
    read: (key: Buffer) => Buffer | undefined,
  ) {
    this.incarnation = incarnation;
    this.sequence = sequence;
    this.usedBytes = usedBytes;
    this.digest = digest;
    this.#summariser = summariser;
    this.#read = read;
  }

  /** What will be stored under the key, the changes so far included. */
  stored(key: Uint8Array): Buffer | undefined {
    const buffer = asBuffer(key);
    const text = buffer.toString('latin1');
    const row = this.#rows.get(text);
    if (row) return row.stored;
    return this.cleared ? undefined : this.#read(buffer);
  }

  /**
   * A record, whose bytes count.
   *
   * @param before what was {@link stored} there
   * @returns the same
   */
  setRecord(key: Uint8Array, stored: Buffer | undefined, before = this.stored(key)): Buffer | undefined {
    this.usedBytes += (stored?.length ?? 0) - (before?.length ?? 0);
    this.setRow(key, stored);
    return before;
  }

  /** A row of the driver's own. */
  setRow(key: Uint8Array, stored: Buffer | undefined): void {
    const buffer = asBuffer(key);
    this.#rows.set(buffer.toString('latin1'), { key: Buffer.from(buffer), stored });
  }

  /** Takes a head's change into the summary. */
  fold(key: Uint8Array, before: Buffer | undefined, after: Uint8Array | undefined): void {
    if (!this.#summariser) return;
    const record: StoredRecord | undefined = before && decode(before);
    this.digest = this.#summariser.fold(this.digest, key, record?.bytes, after);
  }

  /** Whether its heads were folded with this one. */
  isFoldedBy(summariser: Summariser | undefined): boolean {
    return this.#summariser === summariser;
  }

  clear(): void {
    this.#rows.clear();
    this.cleared = true;
    this.usedBytes = 0;
  }

  /**
   * What the transaction may take on the disk at the most: the values, and the pages on the way to each.
   *
   * @param treeBytes tells of how many bytes all pages are that hold keys: many changes share them
   */
  diskBytes(treeBytes: () => number): number {
    let values = 0;
    let rows = 0;
    for (const { key, stored } of this.#rows.values()) {
      const bytes = stored?.length ?? 0;
      values += bytes;
      rows += key.length + ROW_BYTES + Math.min(bytes, PAGE_BYTES);
    }
    const onTheWay = this.#rows.size * PAGES_PER_RECORD * PAGE_BYTES;
    // Of a page that is split, both parts may stay half empty.
    const pages = this.#rows.size < MANY ? onTheWay : Math.min(onTheWay, treeBytes() + 2 * rows);
    return FIXED_PAGES * PAGE_BYTES + values + pages;
  }

  /** What is undefined is to be removed. */
  writes(): Iterable<{ readonly key: Buffer; readonly stored: Buffer | undefined }> {
    return this.#rows.values();
  }
}
