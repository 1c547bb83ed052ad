/** More addresses than this are counted together, so that no crowd fills the memory. */
const ADDRESSES = 4_096;
/** How many addresses an entry names. */
const NAMED = 5;

/** Refusals of unknown callers, until they are written down. */
export interface RefusedStrangers {
  readonly count: number;
  /** Of the first one, RFC 3339. */
  readonly since: string;
  /** How many different addresses; at least so many if there were more than can be told apart. */
  readonly addresses: number;
  /** The busiest ones. */
  readonly busiest: readonly { readonly ip: string; readonly count: number }[];
}

/** Counts refusals of callers whom nobody knows: an entry for each would let strangers fill the disk. */
export class Strangers {
  readonly #now: () => Date;
  #since: Date | undefined;
  #count = 0;
  #byAddress = new Map<string, number>();

  constructor(now: () => Date) {
    this.#now = now;
  }

  add(address: string): void {
    this.#since ??= this.#now();
    this.#count++;
    const before = this.#byAddress.get(address);
    if (before !== undefined || this.#byAddress.size < ADDRESSES)
      this.#byAddress.set(address, (before ?? 0) + 1);
  }

  /**
   * Writes down what was counted, if there was anything. What cannot be written now is counted on.
   *
   * @param write makes the entry durable
   */
  async settle(write: (refused: RefusedStrangers) => Promise<void>): Promise<void> {
    const since = this.#since;
    if (!since) return;
    const [count, byAddress] = [this.#count, this.#byAddress];
    this.#since = undefined;
    this.#count = 0;
    this.#byAddress = new Map();
    const busiest = [...byAddress]
      .map(([ip, count]) => ({ ip, count }))
      .sort((a, b) => b.count - a.count)
      .slice(0, NAMED);
    try {
      await write({ count, since: since.toISOString(), addresses: byAddress.size, busiest });
    } catch {
      this.#count += count;
      this.#since = since;
      for (const [address, more] of this.#byAddress)
        byAddress.set(address, (byAddress.get(address) ?? 0) + more);
      this.#byAddress = byAddress;
    }
  }
}
