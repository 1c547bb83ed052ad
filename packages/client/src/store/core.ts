import { CofferClientError, invalid } from '../errors.js';
import type { Secret } from '../secret/secret.js';
import type { CallOptions, SecretInfo } from '../types.js';
import { asClientError, Events, together } from './events.js';
import { fetchRound } from './fetch-round.js';
import type { Held } from './held.js';
import { Holdings } from './holdings.js';
import type { StoreClient, StoreMetrics, StoreOptions } from './options.js';
import { pollTicker } from './poll-ticker.js';
import { type Failures, Rounds } from './rounds.js';
import type { Saved } from './saved.js';
import { Calls, heeding, inTime, storeClosed } from './waiting.js';
import { Watching } from './watching.js';

const POLL_MS = 3_600_000;
const LONGEST_OPENING_PAUSE_MS = 4_096;
/** How often it is told that the store still waits to open. */
const REMIND_MS = 60_000;

/** What a store is inside: what it holds, and who keeps that fresh. */
export class Core {
  readonly client: StoreClient;
  readonly events = new Events();
  readonly calls = new Calls();
  readonly holdings: Holdings;
  readonly watching: Watching;
  readonly #options: StoreOptions;
  readonly #rounds: Rounds;
  #saved: Saved | undefined;
  readonly #lookups = new Map<string, Promise<Secret>>();
  /** What changed while it was looked up. */
  readonly #moved = new Set<string>();
  /** What the latest round of the opening failed with. */
  #failures: Failures = new Map();
  #endPolls = () => {};
  #latestPoll: number | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: StoreOptions, declared: Iterable<string>) {
    const { client, now = Date.now, onError } = options;
    const { events } = this;
    if (onError) events.on('error', onError);
    const holdings = new Holdings(events, now);
    for (const name of declared) holdings.declare(name);
    this.client = client;
    this.holdings = holdings;
    this.#options = options;
    this.#rounds = new Rounds(
      (names) => fetchRound(this, names),
      events,
      (name) => holdings.get(name)?.ahead === true,
    );
    this.watching = new Watching(client, holdings, events, this.#changed.bind(this));
  }

  /** Resolves when each declared secret has a value. */
  async open(): Promise<void> {
    const { signal, watch, ticker, pollInterval = POLL_MS } = this.#options;
    const { holdings } = this;
    try {
      signal?.throwIfAborted();
      await heeding(this.#restore(), signal);
      if (watch !== false)
        this.watching.run().catch((cause) => this.events.tell('error', asClientError(cause)));
      const waits = holdings.missing.length > 0;
      if (waits) await this.#wait(signal);
      this.#saved?.letGo();
      if (waits) await heeding(this.flush(), signal);
      else void this.pull(holdings.names);
    } catch (error) {
      if (!signal?.aborted || error !== signal.reason) throw error;
      const { notOpened } = await import('./still-waiting.js');
      throw notOpened(holdings, this.#failures, error);
    }
    const polls = ticker ?? (pollInterval < Infinity ? pollTicker(pollInterval) : undefined);
    if (polls) this.#endPolls = polls.start(() => this.#poll());
  }

  /** The handle, if a value is held. */
  secret(name: string): Secret | undefined {
    const held = this.#permitted(name);
    return held?.secret && held.handle;
  }

  async lookup(name: string, { signal }: CallOptions = {}): Promise<Secret> {
    signal?.throwIfAborted();
    const held = this.secret(name);
    if (held) return held;
    let lookup = this.#lookups.get(name);
    if (!lookup) {
      lookup = this.#lookUp(name).finally(() => this.#lookups.delete(name));
      this.#lookups.set(name, lookup);
    }
    return heeding(lookup, signal);
  }

  async refresh({ signal }: CallOptions = {}): Promise<void> {
    if (this.#closing) throw storeClosed();
    signal?.throwIfAborted();
    this.#beginPoll();
    const failures = await heeding(this.#rounds.fetch(this.holdings.names, true), signal);
    await heeding(this.flush(), signal);
    if (failures.size > 0) throw together([...failures.values()]);
  }

  /** The entry of a secret, made if there is none. One that is not declared and gets no value goes soon. */
  hold(name: string): Held {
    const known = this.#permitted(name);
    if (known) return known;
    const held = this.holdings.add(name);
    this.watching.widen(name);
    return held;
  }

  /** Fetches in the next round, which sees what is so now. Never rejects. */
  fetch(names: Iterable<string>): Promise<Failures> {
    return this.#rounds.fetch(names);
  }

  /** Fetches, reports what fails, and goes on until it works. Resolves after the first try, and never rejects. */
  async pull(names: readonly string[], poll = false): Promise<Failures> {
    const failures = await this.#rounds.pull(names, poll);
    await this.flush();
    return failures;
  }

  /** Writes the cache, if it is worth it. Never rejects. */
  async flush(): Promise<void> {
    await this.#saved?.flush();
  }

  get metrics(): StoreMetrics {
    const { polls, pollErrors } = this.#rounds;
    const { reads, updates, confirmedAt } = this.holdings;
    const secrets = [...this.holdings].filter(({ secret }) => secret).length;
    const watching = this.watching.live;
    return {
      polls,
      pollErrors,
      latestPoll: this.#latestPoll,
      confirmedAt,
      reads,
      updates,
      watching,
      secrets,
    };
  }

  /** @param save whether the cache is written */
  close(save = true): Promise<void> {
    this.#closing ??= this.#close(save);
    return this.#closing;
  }

  async #close(save: boolean): Promise<void> {
    this.#endPolls();
    this.watching.close();
    this.holdings.close();
    this.calls.close();
    await this.#rounds.close();
    this.holdings.changed ||= save;
    // An opening that came to nothing leaves the cache as it is.
    if (this.holdings.changed && !(await inTime(this.flush())))
      this.events.tell('error', new CofferClientError('bad_cache', 'the cache takes too long to be written'));
    this.#saved?.letGo();
    this.holdings.wipe();
    this.events.tell('close', undefined);
  }

  /** The entry, if there is one. */
  #permitted(name: string): Held | undefined {
    if (this.#closing) throw storeClosed();
    const held = this.holdings.get(name);
    if (held) return held;
    if (!name.isWellFormed()) throw illFormed();
    if (!this.#options.allowLookup) throw undeclared(name);
    if (!name) throw invalid('a secret has a name');
    return undefined;
  }

  async #restore(): Promise<void> {
    const { cache } = this.#options;
    if (!cache) return;
    // Loaded only by who needs it.
    const { Saved } = await import('./saved.js');
    const saved = new Saved(cache, this.holdings, this.events);
    await saved.restore(this.#options);
    // Not before: else a cache that is still being read could be written.
    this.#saved = saved;
  }

  /** Fills it, and says all the while what it waits for. */
  async #wait(signal: AbortSignal | undefined): Promise<void> {
    const remind = async () => {
      const { stillWaiting } = await import('./still-waiting.js');
      this.events.tell('error', stillWaiting(this.holdings, this.#failures));
    };
    const reminder = setInterval(remind, REMIND_MS).unref();
    try {
      await this.#fill(signal);
    } finally {
      clearInterval(reminder);
    }
  }

  /** Asks again and again, at first quickly, until nothing is missing. */
  async #fill(signal: AbortSignal | undefined): Promise<void> {
    const { holdings } = this;
    let { names } = holdings;
    for (let wait = 1; ; wait = Math.min(wait * 2, LONGEST_OPENING_PAUSE_MS)) {
      const failures = await heeding(this.fetch(names), signal);
      const { missing } = holdings;
      this.#failures = failures;
      // What the program itself does wrong, as creds that are none, no waiting mends.
      const hopeless = this.client.fixed || failures.get('')?.code === 'invalid_argument';
      if (missing.length > 0 && hopeless) throw together([...failures.values()]);
      this.events.report(failures);
      if (missing.length === 0) break;
      if (failures.has('')) this.#saved?.tellWhatLacks();
      if (!failures.has('')) names = missing;
      // What is refused does not stay in the cache for as long as something else is waited for.
      if (holdings.changed) void this.flush();
      await heeding(holdings.arrival.wait(wait), signal);
      if (holdings.missing.length === 0) break;
    }
  }

  async #lookUp(name: string): Promise<Secret> {
    const held = await this.calls.run(async (signal) => {
      const { version, value } = await this.client.get(name, { signal });
      const held = signal.aborted ? undefined : this.hold(name);
      // What came meanwhile another way is no older.
      if (!held || held.secret) value.fill(0);
      else {
        this.holdings.take(held, version, value);
        this.holdings.confirm(held);
      }
      return held as Held;
    });
    held.wanted = true;
    const { handle } = held;
    if (this.#moved.delete(name)) void this.pull([name]);
    await this.flush();
    return handle;
  }

  /** The server tells of these. */
  #changed(names: readonly string[], doubtful: boolean, info?: SecretInfo): void {
    for (const name of names) if (this.#lookups.has(name)) this.#moved.add(name);
    const held = names.flatMap((name) => this.holdings.get(name) ?? []);
    for (const one of held) {
      one.doubtful ||= doubtful;
      one.hear(info);
    }
    if (held.length > 0) void this.pull(held.map(({ name }) => name));
  }

  async #poll(): Promise<void> {
    this.#beginPoll();
    this.watching.wake();
    await this.pull(this.holdings.names, true);
  }

  #beginPoll(): void {
    this.#latestPoll = this.holdings.now();
    this.holdings.expire(this.#options.expiryAge ?? Infinity);
  }
}

export const illFormed = () => invalid('the name of a secret is not well-formed Unicode');

const undeclared = (name: string) =>
  new CofferClientError(
    'undeclared',
    `the secret ${JSON.stringify(name)} was not declared when the store was opened: do so, or allow lookups`,
  );
