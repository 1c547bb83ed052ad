import type { Cache } from '../cache/cache.js';
import { type CachedSecret, decodeCache, encodeCache } from '../cache/content.js';
import { CofferClientError } from '../errors.js';
import { asClientError, type Events } from './events.js';
import type { Holdings } from './holdings.js';

/** That the server still says what is cached is written down so often. */
const CONFIRM_MS = 60_000;

/** What of a store outlives the program. */
export class Saved {
  readonly #cache: Cache | undefined;
  readonly #holdings: Holdings;
  readonly #events: Events;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #newest = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(cache: Cache | undefined, holdings: Holdings, events: Events) {
    this.#cache = cache;
    this.#holdings = holdings;
    this.#events = events;
  }

  /** What an earlier run wrote. What cannot be read is reported, and as if it were not there. */
  async load(): Promise<Map<string, CachedSecret>> {
    let content: Uint8Array | undefined;
    try {
      content = await this.#cache?.read();
      if (content) return decodeCache(content);
    } catch (cause) {
      this.#failed('the cache is not used', cause);
    } finally {
      content?.fill(0);
    }
    return new Map();
  }

  /** Writes what is held, if it is worth it; one after the other, and never rejects. */
  flush(): Promise<void> {
    const due = this.#holdings.changed || performance.now() - this.#writtenAt >= CONFIRM_MS;
    if (this.#cache && due) {
      this.#next ??= this.#newest.then(() => this.#write());
      this.#newest = this.#next;
    }
    return this.#newest;
  }

  async #write(): Promise<void> {
    const holdings = this.#holdings;
    this.#next = undefined;
    this.#writtenAt = performance.now();
    holdings.changed = false;
    const kept = [...holdings].filter(({ secret, refused }) => secret && !refused);
    const content = encodeCache(new Map(kept.map((held) => [held.name, held])));
    try {
      await this.#cache?.write(content);
      this.#events.over(this);
    } catch (cause) {
      holdings.changed = true;
      this.#failed('the cache was not written', cause);
    } finally {
      content.fill(0);
    }
  }

  #failed(what: string, cause: unknown): void {
    const { code, message } = asClientError(cause, 'bad_cache', '');
    const error = new CofferClientError(code, message ? `${what}: ${message}` : what, { cause });
    this.#events.wrong(this, error);
  }
}
