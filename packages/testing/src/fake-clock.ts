/** A clock that goes when it is told to, for the option `now` of a `Store`. */
export class FakeClock {
  #now: number;

  /** @param now milliseconds since 1970; default the time at which it is made */
  constructor(now: number = Date.now()) {
    this.#now = now;
  }

  /** Milliseconds since 1970. Bound, so that it can be handed over as it is. */
  readonly now = (): number => this.#now;

  /** Goes on by so many milliseconds. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
  }
}
