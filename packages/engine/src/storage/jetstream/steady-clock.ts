/** A step of the wall clock that is more than jitter and the slewing of NTP. */
const STEP_MS = 50;

/**
 * A clock that never goes back and does not stand still while the machine sleeps.
 *
 * Linux's monotonic clock stops while a laptop's lid is closed or a virtual machine is held: what is read after it would look as
 * fresh as before. The wall clock has gone on, so where it is suddenly ahead, the difference counts as time that has passed.
 * A wall clock that was merely set forward makes things look older than they are, for as long as it takes to hear of the stream
 * again; one that was set back changes nothing.
 */
export class SteadyClock {
  readonly #monotonic: () => number;
  readonly #wall: () => number;
  #offset: number;
  #slept = 0;

  constructor(monotonic: () => number = () => performance.now(), wall: () => number = () => Date.now()) {
    this.#monotonic = monotonic;
    this.#wall = wall;
    this.#offset = wall() - monotonic();
  }

  /** Milliseconds since some moment. */
  now(): number {
    const monotonic = this.#monotonic();
    const offset = this.#wall() - monotonic;
    const step = offset - this.#offset;
    this.#offset = offset;
    if (step > STEP_MS) this.#slept += step;
    return monotonic + this.#slept;
  }
}
