/** How often something took how long. Plain data, a copy. */
export interface TimingsSnapshot {
  /** Upper bounds in seconds, ascending; a last one of all is understood. */
  readonly bounds: readonly number[];
  /** How many took no longer than each bound, and longer than the one before; then how many took longer than all. */
  readonly counts: readonly number[];
  /** In seconds. */
  readonly sum: number;
}

/** Counts durations in a few ranges: it is on the way of every request, and takes no memory for each. */
export class Timings {
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  /** @param bounds in seconds, ascending */
  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array<number>(bounds.length + 1).fill(0);
  }

  add(seconds: number): void {
    let at = 0;
    while (seconds > (this.#bounds[at] ?? Number.POSITIVE_INFINITY)) at++;
    this.#counts[at] = (this.#counts[at] as number) + 1;
    this.#sum += seconds;
  }

  /** Adds the time since `start`, as `performance.now()` gave it. */
  since(start: number): void {
    this.add((performance.now() - start) / 1000);
  }

  snapshot(): TimingsSnapshot {
    return { bounds: this.#bounds, counts: [...this.#counts], sum: this.#sum };
  }
}

/** For writes to a disk: from a cache with a battery to one that is in trouble. */
export const DISK_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];
