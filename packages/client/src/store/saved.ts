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

/** What of a store outlives the program. */
export class Saved {
  readonly #cache: Cache;
  readonly #holdings: Holdings;
  readonly #events: Events;
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
    for (const [name, entry] of await this.#read()) {
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
    }
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

  async #read(): Promise<Map<string, CachedSecret>> {
    let content: Uint8Array | undefined;
    try {
      content = await this.#cache.read();
      if (content) return decodeCache(content);
    } catch (cause) {
      this.#failed('the cache is not used', cause);
    } finally {
      content?.fill(0);
    }
    return new Map();
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
