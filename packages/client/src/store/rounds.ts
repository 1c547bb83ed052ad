import type { CofferClientError } from '../errors.js';
import type { Events } from './events.js';
import { backOff, Pause } from './waiting.js';

/** What a round could not fetch, by name; by `''` what all of it failed with. */
export type Failures = ReadonlyMap<string, CofferClientError>;

/** What counts for a name. */
export const failed = (failures: Failures, name: string): CofferClientError | undefined =>
  failures.get('') ?? failures.get(name);

/** Answers that asking again soon would not change. */
export const SETTLED: ReadonlySet<string> = new Set([
  'not_found',
  'access_denied',
  'tampered',
  'unauthenticated',
  'unsupported',
  'closed',
]);
const LONGEST_PAUSE_MS = 30_000;

interface Round {
  readonly names: Set<string>;
  poll: boolean;
}

/** What a round does; it never rejects. */
export type RoundWork = (names: ReadonlySet<string>) => Promise<Failures>;

/**
 * Everything that a store fetches is fetched in rounds, one after the other, so that no answer overtakes a newer one. What is asked
 * for while a round runs is of the next one, and so sees what is so now.
 */
export class Rounds {
  polls = 0;
  pollErrors = 0;
  readonly #work: RoundWork;
  readonly #events: Events;
  readonly #isBehind: (name: string) => boolean;
  readonly #pause = new Pause();
  /** What failed, and is tried again until it works. */
  readonly #due = new Set<string>();
  #newest: Promise<Failures> = Promise.resolve(new Map());
  #next: Round | undefined;
  #trying = false;
  #closed = false;

  /** @param isBehind whether the answer about a name is not what was told of it: then it is asked for again */
  constructor(work: RoundWork, events: Events, isBehind: (name: string) => boolean) {
    this.#work = work;
    this.#isBehind = isBehind;
    this.#events = events;
  }

  /** Fetches these in the next round, once. */
  fetch(names: Iterable<string>, poll = false): Promise<Failures> {
    if (!this.#next) {
      const next: Round = { names: new Set(), poll: false };
      this.#next = next;
      this.#newest = this.#newest.then(() => this.#run(next));
    }
    for (const name of names) this.#next.names.add(name);
    this.#next.poll ||= poll;
    return this.#newest;
  }

  /** Fetches these; what fails is reported, and tried again until it works. Resolves after the first try. */
  async pull(names: readonly string[], poll = false): Promise<Failures> {
    const failures = await this.fetch(names, poll);
    this.#events.report(failures);
    for (const name of names) {
      const error = failed(failures, name);
      if ((error && !SETTLED.has(error.code)) || this.#isBehind(name)) this.#due.add(name);
      else this.#due.delete(name);
    }
    if (!failures.has('')) this.#pause.end();
    void this.#tryAgain();
    return failures;
  }

  /** Resolves when nothing runs any more. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#pause.end();
    await this.#newest;
  }

  async #run(round: Round): Promise<Failures> {
    this.#next = undefined;
    if (round.poll) this.polls++;
    const failures = await this.#work(round.names);
    if (round.poll && failures.size > 0) this.pollErrors++;
    return failures;
  }

  async #tryAgain(): Promise<void> {
    if (this.#trying) return;
    this.#trying = true;
    for (let tries = 0; this.#due.size > 0 && !this.#closed; tries++) {
      await this.#pause.wait(backOff(tries, LONGEST_PAUSE_MS));
      if (!this.#closed) await this.pull([...this.#due]);
    }
    this.#trying = false;
  }
}
