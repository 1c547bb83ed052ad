import { asBuffer } from '../bytes.js';
import { decode, encode, readRevision } from './lmdb-state.js';
import type { StorageChange, Summariser } from './storage.js';

const PAGE_BYTES = 4_096;
/** A leaf, the branches above it, and what splitting them takes. */
const PAGES_PER_RECORD = 8;
/** Meta pages and the list of free pages. */
const FIXED_PAGES = 32;

/** The changes of one transaction, each checked against those before it. */
export class Batch {
  readonly #values = new Map<string, Buffer | undefined>();
  readonly #read: (key: Buffer) => Buffer | undefined;
  readonly #summariser: Summariser | undefined;
  sequence: number;
  usedBytes: number;
  digest: Uint8Array;
  /** All of its changes are. */
  urgent = true;

  constructor(
    sequence: number,
    usedBytes: number,
    digest: Uint8Array,
    summariser: Summariser | undefined,
    read: (key: Buffer) => Buffer | undefined,
  ) {
    this.sequence = sequence;
    this.usedBytes = usedBytes;
    this.digest = digest;
    this.#summariser = summariser;
    this.#read = read;
  }

  /** @returns the head's new revision, or undefined if it is not at the expected one. */
  add(change: StorageChange): number | undefined {
    const { key, bytes } = change.head;
    const before = this.#current(key);
    if ((before ? readRevision(before) : 0) !== change.expectedRevision) return undefined;
    this.sequence++;
    this.urgent &&= change.urgent ?? false;
    for (const side of change.put ?? []) this.#set(side.key, encode(this.sequence, side.bytes));
    for (const removed of change.remove ?? []) this.#set(removed, undefined);
    this.#set(key, bytes && encode(this.sequence, bytes));
    if (this.#summariser) {
      this.digest = this.#summariser.fold(this.digest, key, before && decode(before).bytes, bytes);
    }
    return this.sequence;
  }

  /** What the transaction may take on the disk at the most: the values, and the pages on the way to each. */
  get diskBytes(): number {
    let bytes = FIXED_PAGES * PAGE_BYTES;
    for (const value of this.#values.values()) bytes += (value?.length ?? 0) + PAGES_PER_RECORD * PAGE_BYTES;
    return bytes;
  }

  *writes(): Iterable<[Buffer, Buffer | undefined]> {
    for (const [key, value] of this.#values) yield [Buffer.from(key, 'latin1'), value];
  }

  #current(key: Uint8Array): Buffer | undefined {
    const buffer = asBuffer(key);
    const text = buffer.toString('latin1');
    return this.#values.has(text) ? this.#values.get(text) : this.#read(buffer);
  }

  #set(key: Uint8Array, value: Buffer | undefined): void {
    this.usedBytes += (value?.length ?? 0) - (this.#current(key)?.length ?? 0);
    this.#values.set(asBuffer(key).toString('latin1'), value);
  }
}
