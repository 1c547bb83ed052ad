import { membersIn } from '@coffer/wasmcloud/vault';

/** So many bytes stay at hand for what is asked for next, besides those that are in use. */
const MOST_BYTES = 64 * 2 ** 20;

type Members = ReadonlyMap<string, Uint8Array>;

interface Whole {
  readonly members: Promise<Members>;
  /** Where the members lie, once it is read. */
  bytes?: Uint8Array;
  users: number;
}

/**
 * The JSON objects that entries are taken from, each read once for all of its entries: read anew for each, an import took time with the
 * square of how many there are. What is not in use is wiped when others need the room, and all of it at the end.
 */
export class Wholes implements Disposable {
  /** Who was asked for longest ago comes first. */
  readonly #kept = new Map<string, Whole>();
  #mostBytes: number;
  #bytes = 0;

  constructor(mostBytes = MOST_BYTES) {
    this.#mostBytes = mostBytes;
  }

  /**
   * @param read the bytes of the object, which are this one's from then on; asked once for all who ask meanwhile
   * @param take makes a copy of what is wanted: the members are parts of the whole
   * @throws what `read` does; who asks then has it read again
   */
  async use<T>(id: string, read: () => Promise<Uint8Array>, take: (members: Members) => T): Promise<T> {
    const whole = this.#kept.get(id) ?? this.#begin(read);
    this.#kept.delete(id);
    this.#kept.set(id, whole);
    whole.users++;
    try {
      return take(await whole.members);
    } finally {
      whole.users--;
      if (whole.bytes === undefined && this.#kept.get(id) === whole) this.#kept.delete(id);
      this.#trim();
    }
  }

  [Symbol.dispose](): void {
    this.#mostBytes = 0;
    this.#trim();
  }

  #begin(read: () => Promise<Uint8Array>): Whole {
    const members = read().then((bytes) => {
      whole.bytes = bytes;
      this.#bytes += bytes.length;
      return membersIn(bytes) ?? new Map();
    });
    const whole: Whole = { members, users: 0 };
    return whole;
  }

  #trim(): void {
    for (const [id, { bytes, users }] of this.#kept) {
      if (this.#bytes <= this.#mostBytes) return;
      if (users > 0 || bytes === undefined) continue;
      this.#kept.delete(id);
      this.#bytes -= bytes.length;
      bytes.fill(0);
    }
  }
}
