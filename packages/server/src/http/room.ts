/** Memory that is handed out up to a limit, in bytes. */
export class Room {
  readonly #limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get empty(): boolean {
    return this.#taken === 0;
  }

  /** False, and nothing is taken, where that would be too much. Alone, even what is larger than the limit finds room. */
  take(bytes: number): boolean {
    if (this.#taken > 0 && this.#taken + bytes > this.#limit) return false;
    this.#taken += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}

/** Room for all together, of which each holder may have a share: nobody fills it for the others. */
export class SharedRoom {
  readonly #all: Room;
  readonly #shareBytes: number;
  readonly #shares = new Map<string, Room>();

  constructor(limitBytes: number, shareBytes: number) {
    this.#all = new Room(limitBytes);
    this.#shareBytes = shareBytes;
  }

  /** False, and nothing is taken, where that is more than the holder may have, or than there is. */
  take(holder: string, bytes: number): boolean {
    const share = this.#shares.get(holder) ?? new Room(this.#shareBytes);
    if (!share.take(bytes)) return false;
    if (this.#all.take(bytes)) {
      this.#shares.set(holder, share);
      return true;
    }
    share.give(bytes);
    return false;
  }

  give(holder: string, bytes: number): void {
    this.#all.give(bytes);
    const share = this.#shares.get(holder);
    share?.give(bytes);
    if (share?.empty) this.#shares.delete(holder);
  }
}
