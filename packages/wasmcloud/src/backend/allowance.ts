/** Lets something happen so often a second, and after a rest so often at once. */
export class Allowance {
  readonly #perSecond: number;
  readonly #most: number;
  #left: number;
  #at = performance.now();

  constructor({ perSecond, most }: { readonly perSecond: number; readonly most: number }) {
    this.#perSecond = perSecond;
    this.#most = most;
    this.#left = most;
  }

  /** Whether there is something left; what costs more than that is owed. */
  take(cost: number): boolean {
    const now = performance.now();
    this.#left = Math.min(this.#most, this.#left + ((now - this.#at) / 1000) * this.#perSecond);
    this.#at = now;
    if (this.#left <= 0) return false;
    this.#left -= cost;
    return true;
  }
}
