/** How many things are told apart. */
const MOST = 1_000;

/** Keeps a log from being filled by what somebody can bring about as often as they like: each thing may be told once in a while. */
export class Seldom {
  readonly #everyMs: number;
  readonly #now: () => number;
  readonly #told = new Map<string, number>();

  /**
   * @param everyMs default: a minute
   * @param now in milliseconds
   */
  constructor(everyMs = 60_000, now: () => number = () => performance.now()) {
    this.#everyMs = everyMs;
    this.#now = now;
  }

  /** Whether it may be told now; then not again for a while. */
  may(what: string): boolean {
    const now = this.#now();
    const before = this.#told.get(what);
    if (before !== undefined && now - before < this.#everyMs) return false;
    this.#told.delete(what);
    this.#told.set(what, now);
    const [oldest] = this.#told.keys();
    if (this.#told.size > MOST && oldest !== undefined) this.#told.delete(oldest);
    return true;
  }

  forget(): void {
    this.#told.clear();
  }
}
