/** How often something may happen: `burst` times at once, and then again at that rate. */
export interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

/** So many callers are remembered twice over: about 4 MB at most. */
const REMEMBERED = 10_000;

interface Bucket {
  tokens: number;
  /** When `tokens` was right, in milliseconds. */
  at: number;
}

/**
 * Counts by caller, in memory that does not grow with their number: when there are too many, those that were not heard of
 * for longest are forgotten, and may begin anew.
 */
export class TokenBuckets {
  readonly #rate: Rate;
  readonly #now: () => number;
  #recent = new Map<string, Bucket>();
  #older = new Map<string, Bucket>();

  /** @param now milliseconds on a clock that never goes back */
  constructor(rate: Rate, now: () => number = () => performance.now()) {
    this.#rate = rate;
    this.#now = now;
  }

  /** How many callers are remembered. */
  get size(): number {
    return this.#recent.size + this.#older.size;
  }

  /** Takes one; 0 if there was one to take, else the seconds until there is. */
  take(key: string): number {
    const bucket = this.#bucket(key);
    if (bucket.tokens < 1) return (1 - bucket.tokens) / this.#rate.perSecond;
    bucket.tokens--;
    return 0;
  }

  /** Takes so many more, of which all may be owed: who owes waits until it is paid. */
  charge(key: string, count: number): void {
    this.#bucket(key).tokens -= count;
  }

  #bucket(key: string): Bucket {
    const now = this.#now();
    const { perSecond, burst } = this.#rate;
    const bucket = this.#recent.get(key) ?? this.#older.get(key) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 1000) * perSecond);
    bucket.at = now;
    if (!this.#recent.has(key)) this.#remember(key, bucket);
    return bucket;
  }

  #remember(key: string, bucket: Bucket): void {
    if (this.#recent.size >= REMEMBERED) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#older.delete(key);
    this.#recent.set(key, bucket);
  }
}
