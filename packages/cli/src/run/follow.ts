import { setTimeout as pause } from 'node:timers/promises';
import type { Client, WatchEvent } from '@coffer/client';
import { Failure, isForPeople } from '../failure.js';
import { note } from '../output.js';
import { quote } from '../quote.js';
import type { Supervised } from './child.js';
import { environment, type Fetched, fetchValues, problemOf } from './environment.js';
import type { Mapping } from './mapping.js';
import { Seen } from './seen.js';

/** What a change of a secret does to the command. */
export interface FollowOptions {
  /** `restart`, or the signal that it gets. */
  readonly how: 'restart' | NodeJS.Signals;
  /** Milliseconds that it has to end when it is restarted, before it is killed. */
  readonly grace: number;
  readonly keepToken: boolean;
}

/** Changes come in bursts, as when somebody activates versions one by one: the last counts. In milliseconds. */
const QUIET = 200;
const LONGEST_BURST = 2000;
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 60_000;

/**
 * Tells a command of new values. Only another value counts, not another number of the same. Whatever goes wrong, the
 * command keeps running with the values that it has, and standard error says why.
 */
export class Follower {
  readonly #supervised: Supervised;
  readonly #mappings: readonly Mapping[];
  readonly #options: FollowOptions;
  readonly #seen = new Seen();
  readonly #following: ReadonlySet<string>;
  #warned: string | undefined;
  /** The watch is without its server. */
  #isAway = false;
  /** Something may have changed since the last look. */
  #due = false;

  constructor(supervised: Supervised, mappings: readonly Mapping[], options: FollowOptions) {
    this.#supervised = supervised;
    this.#mappings = mappings;
    this.#options = options;
    this.#following = new Set(mappings.filter(({ version }) => version === 0).map(({ secret }) => secret));
  }

  /** The secrets whose active version counts. */
  get names(): string[] {
    return [...this.#following];
  }

  /** The command has these values now. They are the mappings'. */
  remember(values: readonly Fetched[]): void {
    this.#mappings.forEach(({ version }, index) => {
      const fetched = values[index];
      if (version === 0 && fetched !== undefined) this.#seen.remember(fetched);
    });
  }

  /** Says once what is wrong, until it is something else. */
  async warn(error: unknown): Promise<void> {
    const text = isForPeople(error) ? error.message : String(error);
    if (text === this.#warned) return;
    this.#warned = text;
    await say(`warning: ${text}; the command keeps the values that it has`);
  }

  /** The watch lost its server, and tries again by itself. */
  lost(error: Error): void {
    this.#isAway = true;
    void this.warn(error);
  }

  /** The watch goes on where it was. */
  recovered(): void {
    this.#isAway = false;
    this.#warned = undefined;
    void say('connected again');
  }

  /** Looks at the secrets whenever an event tells of one. Rejects or ends when the events do. */
  async follow(client: Client, events: AsyncIterable<WatchEvent>, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    const until = AbortSignal.any([signal, over.signal]);
    let looking: Promise<void> | undefined;
    try {
      for await (const event of events) {
        if (!this.#takes(event)) continue;
        this.#due = true;
        looking ??= this.#lookWhileDue(client, until).finally(() => {
          looking = undefined;
        });
      }
    } finally {
      over.abort();
      await looking;
    }
  }

  /** Is there something to look at? */
  #takes(event: WatchEvent): boolean {
    if (!('name' in event)) this.#seen.doubtAll();
    else if (!this.#following.has(event.name)) return false;
    else if (event.type === 'delete') this.#seen.doubt(event.name);
    return true;
  }

  async #lookWhileDue(client: Client, signal: AbortSignal): Promise<void> {
    let retry = FIRST_RETRY;
    try {
      while (this.#due) {
        await this.#untilQuiet(signal);
        try {
          await this.#look(client, signal);
          retry = FIRST_RETRY;
        } catch (error) {
          if (signal.aborted || this.#supervised.ending) return;
          // Of the outage the watch has told already.
          if (!this.#isAway) await this.warn(error);
          await pause(retry, undefined, { signal, ref: false });
          retry = Math.min(2 * retry, LONGEST_RETRY);
          this.#due = true;
        }
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #untilQuiet(signal: AbortSignal): Promise<void> {
    const latest = Date.now() + LONGEST_BURST;
    do {
      this.#due = false;
      await pause(QUIET, undefined, { signal, ref: false });
    } while (this.#due && Date.now() < latest);
    this.#due = false;
  }

  /** Asks for what is not as it was seen, and does what is to be done about it. */
  async #look(client: Client, signal: AbortSignal): Promise<void> {
    const changed: Fetched[] = [];
    const problems: string[] = [];
    for (const answer of await client.getMany(this.#seen.requests(), { signal })) {
      if ('unchanged' in answer) continue;
      const problem = problemOf(answer);
      if (problem !== undefined) {
        problems.push(`${quote(answer.name)}: ${problem}`);
        this.#seen.doubt(answer.name);
      }
      if (!('value' in answer)) continue;
      if (problem === undefined && this.#seen.isNew(answer)) changed.push(answer);
      else answer.value.fill(0);
    }
    if (problems.length > 0) await this.warn(new Failure(problems.join('; ')));
    else this.#warned = undefined;
    if (changed.length > 0) await this.#tell(client, changed, signal);
  }

  async #tell(client: Client, changed: readonly Fetched[], signal: AbortSignal): Promise<void> {
    if (this.#supervised.ending) return wipe(changed);
    const names = changed.map(({ name }) => quote(name)).join(', ');
    const { how, grace, keepToken } = this.#options;
    if (how !== 'restart') {
      for (const fetched of changed) this.#seen.remember(fetched);
      wipe(changed);
      await say(`${names} changed: ${how} for the command`);
      this.#supervised.signal(how);
      return;
    }
    wipe(changed);
    // All of them anew, since nobody kept the others.
    const failure = `${names} changed, but the command was not restarted`;
    const values = await fetchValues(failure, client, this.#mappings, { signal });
    this.remember(values);
    const env = environment(this.#mappings, values, { keepToken });
    wipe(values);
    await say(`${names} changed: restarting the command`);
    await this.#supervised.replace(env, grace);
  }
}

function wipe(values: readonly Fetched[]): void {
  for (const { value } of values) value.fill(0);
}

/** The command goes on when nobody reads what we say any more. */
async function say(text: string): Promise<void> {
  await note(`coffer: ${text}`).catch(() => {});
}
