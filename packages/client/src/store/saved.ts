import type { Cache } from '../cache/cache.js';
import { type CachedSecret, decodeCache, encodeCache } from '../cache/content.js';
import { CofferClientError } from '../errors.js';
import { asClientError, type Events } from './events.js';
import { type Holdings, wipe } from './holdings.js';
import type { StoreOptions } from './options.js';

/** That the server still says what is cached is written down so often. */
const CONFIRM_MS = 60_000;
/** Values of a time ahead of ours by more than this are not believed. */
const CLOCK_SKEW_MS = 60_000;
/** So many secrets are told of by name in one error. */
const MOST_TOLD = 10;

/** What of a store outlives the program. */
export class Saved {
  readonly #cache: Cache;
  readonly #holdings: Holdings;
  readonly #events: Events;
  /** Why the declared secrets are not all in what was read. */
  readonly #lacks: string[] = [];
  #writtenAt = Number.NEGATIVE_INFINITY;
  /** What an earlier run wrote and is not held: it stays in the cache until the store is open. */
  #aside = new Map<string, CachedSecret>();
  #newest = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(cache: Cache, holdings: Holdings, events: Events) {
    this.#cache = cache;
    this.#holdings = holdings;
    this.#events = events;
  }

  /**
   * Takes over what an earlier run wrote, but for what the server confirmed too long ago. What cannot be read is reported, and as if
   * it were not there.
   */
  async restore({ allowLookup, maxAge = Infinity }: StoreOptions): Promise<void> {
    const holdings = this.#holdings;
    const entries = await this.#read();
    for (const [name, entry] of entries ?? []) {
      const age = holdings.now() - (entry.checkedAt ?? -Infinity) * 1000;
      const fresh = maxAge === Infinity || (age <= maxAge && age >= -CLOCK_SKEW_MS);
      // The opening may have been given up while the key was waited for.
      const usable = !holdings.closed && name.isWellFormed();
      const held = usable && (holdings.get(name) ?? (fresh && allowLookup && holdings.add(name)));
      if (held && fresh) {
        Object.assign(held, entry);
        held.wanted ||= entry.secret !== undefined;
        held.doubtful = true;
      } else if (usable) this.#aside.set(name, entry);
      else wipe(entry);
      if (!fresh && holdings.get(name)?.declared) this.#lacks.push(tooOld(name, age, maxAge));
    }
    for (const name of entries ? holdings.missing : [])
      if (!entries?.has(name)) this.#lacks.push(`it has no ${JSON.stringify(name)}`);
  }

  /** Why the store waits for the server although there is a cache: once, and only if one was read. */
  tellWhatLacks(): void {
    const lacks = this.#lacks.splice(0);
    if (lacks.length === 0) return;
    const more = lacks.length > MOST_TOLD ? `; and ${lacks.length - MOST_TOLD} more` : '';
    const message = `the cache is not enough to open the store: ${lacks.slice(0, MOST_TOLD).join('; ')}${more}`;
    this.#events.tell('error', new CofferClientError('bad_cache', message));
  }

  /** The store is open, or closed: what it does not hold goes with the next write. */
  letGo(): void {
    for (const entry of this.#aside.values()) wipe(entry);
    this.#aside.clear();
  }

  /** Writes what is held, if it is worth it; one after the other, and never rejects. */
  flush(): Promise<void> {
    const due = this.#holdings.changed || performance.now() - this.#writtenAt >= CONFIRM_MS;
    if (due) {
      this.#next ??= this.#newest.then(() => this.#write());
      this.#newest = this.#next;
    }
    return this.#newest;
  }

  async #read(): Promise<Map<string, CachedSecret> | undefined> {
    let content: Uint8Array | undefined;
    try {
      content = await this.#cache.read();
      if (content) return decodeCache(content);
    } catch (cause) {
      this.#failed('the cache is not used', cause);
    } finally {
      content?.fill(0);
    }
    return undefined;
  }

  async #write(): Promise<void> {
    const holdings = this.#holdings;
    this.#next = undefined;
    this.#writtenAt = performance.now();
    holdings.changed = false;
    const kept = new Map<string, CachedSecret>();
    // A token that is worth nothing any more takes all with it.
    if (![...holdings].every(({ refused }) => refused))
      for (const [name, entry] of this.#aside) kept.set(name, entry);
    for (const held of holdings) {
      if (held.refused) kept.delete(held.name);
      else if (held.secret) kept.set(held.name, held);
    }
    const content = encodeCache(kept);
    try {
      await this.#cache.write(content);
      this.#events.over(this);
    } catch (cause) {
      holdings.changed = true;
      this.#failed('the cache was not written', cause);
    } finally {
      content.fill(0);
    }
  }

  #failed(what: string, cause: unknown): void {
    const known = asClientError(cause, 'bad_cache', '');
    const { code, message, thrown } = known;
    const error = new CofferClientError(code, message ? `${what}: ${message}` : what, {
      cause: known,
      thrown,
    });
    this.#events.wrong(this, error);
  }
}

function tooOld(name: string, age: number, maxAge: number): string {
  const quoted = JSON.stringify(name);
  if (age === Infinity) return `it does not say when the server confirmed ${quoted}`;
  if (age < 0) return `the server confirmed ${quoted} in what is the future by this clock`;
  return `the server confirmed ${quoted} ${span(age)} ago, and maxAge is ${span(maxAge)}`;
}

/** In the largest unit that gives some of them. */
function span(milliseconds: number): string {
  for (const [unit, size] of UNITS)
    if (milliseconds >= 2 * size) return `${Math.round(milliseconds / size)} ${unit}`;
  return `${milliseconds} ms`;
}

const UNITS = [
  ['days', 86_400_000],
  ['hours', 3_600_000],
  ['minutes', 60_000],
  ['seconds', 1_000],
] as const;
