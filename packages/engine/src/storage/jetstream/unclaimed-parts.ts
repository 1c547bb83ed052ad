import { token } from './layout.js';

/** A heal writes 32 records at once, and one is of little more than 1 MiB. */
const KEPT_BYTES = 64 * 1024 * 1024;
/** Counted for each part beside its bytes, so that the number of the shortest is bounded, too. */
const PART_ROOM = 1024;

interface Part {
  readonly sequence: number;
  readonly bytes: Uint8Array;
}

/**
 * Parts of records that are still to come. They are not sealed, and who may write to the bucket can put some there that no record will
 * ever claim: beyond a limit those whose key has got none for the longest time go. It is no alarm: only a record that lacks its parts is one.
 */
export class UnclaimedParts {
  readonly #limit: number;
  /** The key that got one last is the last. */
  readonly #parts = new Map<string, Map<number, Part>>();
  #size = 0;

  constructor(limit = KEPT_BYTES) {
    this.#limit = limit;
  }

  /** What they take, as far as it is counted. */
  get size(): number {
    return this.#size;
  }

  /**
   * One that came in place of what was there; the same once more is harmless.
   *
   * @param bytes none: the record has no use for the part any more
   */
  set(key: Buffer, index: number, sequence: number, bytes: Uint8Array | undefined): void {
    const id = token(key);
    const parts = this.#parts.get(id) ?? new Map<number, Part>();
    const known = parts.get(index);
    if (known?.sequence === sequence) return;
    if (known) this.#size -= sizeOf(known);
    parts.delete(index);
    this.#parts.delete(id);
    if (bytes && bytes.length > 0) {
      // What came may be a piece of a larger buffer.
      const part = { sequence, bytes: new Uint8Array(bytes) };
      parts.set(index, part);
      this.#size += sizeOf(part);
    }
    if (parts.size > 0) this.#parts.set(id, parts);
  }

  /** The first so many of a record; undefined if one is not there. */
  of(key: Buffer, count: number): Uint8Array[] | undefined {
    const parts = this.#parts.get(token(key));
    const found: Uint8Array[] = [];
    for (let index = 0; index < count; index++) {
      const part = parts?.get(index);
      if (!part) return undefined;
      found.push(part.bytes);
    }
    return found;
  }

  /** All of a key: its record has come. */
  drop(key: Buffer): void {
    this.#remove(token(key));
  }

  /** Drops what is too much. */
  limit(): void {
    for (const id of this.#parts.keys()) {
      if (this.#size <= this.#limit) return;
      this.#remove(id);
    }
  }

  #remove(id: string): void {
    for (const part of this.#parts.get(id)?.values() ?? []) this.#size -= sizeOf(part);
    this.#parts.delete(id);
  }
}

const sizeOf = ({ bytes }: Part): number => bytes.length + PART_ROOM;
