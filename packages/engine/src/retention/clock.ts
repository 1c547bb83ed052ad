const DAY_MS = 24 * 60 * 60 * 1_000;

export interface ClockOptions {
  readonly now: () => Date;
  /** Milliseconds on a clock that only goes forward, with the time that really passes. */
  readonly uptime: () => number;
  /** The newest time that was known before: that of the audit log's last line. */
  readonly known: Date | undefined;
  /** Told once, when the clock was found to be ahead. */
  onAhead(now: Date, expected: Date): void;
}

/**
 * The time, as long as it can be relied on to say how old something is. A clock that jumped ahead, by a mistake of a person
 * or of a time server, would make everything old at once, and what is dropped for its age does not come back.
 *
 * More than a day ahead of what was known and of the time that has passed since, it is not believed until it has gone on so
 * for a day, or was set right. So a server that was off for days begins a day late.
 */
export class AgeClock {
  readonly #options: ClockOptions;
  #known: number;
  #knownAt: number;
  /** Since when, by `uptime`, the clock is ahead. */
  #aheadSince: number | undefined;

  constructor(options: ClockOptions) {
    this.#options = options;
    this.#known = (options.known ?? options.now()).getTime();
    this.#knownAt = options.uptime();
  }

  /** Undefined while the clock is not believed. */
  now(): Date | undefined {
    const { now, uptime, onAhead } = this.#options;
    const time = now();
    const passed = uptime();
    const expected = this.#known + (passed - this.#knownAt);
    if (time.getTime() - expected > DAY_MS) {
      if (this.#aheadSince === undefined) {
        this.#aheadSince = passed;
        onAhead(time, new Date(expected));
      }
      if (passed - this.#aheadSince < DAY_MS) return undefined;
    }
    this.#aheadSince = undefined;
    this.#known = time.getTime();
    this.#knownAt = passed;
    return time;
  }
}
