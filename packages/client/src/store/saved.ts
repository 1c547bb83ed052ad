import type { Cache } from '../cache/cache.js';
import { type CachedSecret, decodeCache, encodeCache } from '../cache/content.js';
import { CofferClientError } from '../errors.js';
import type { Holdings } from './holdings.js';

/** That the server still says what is cached is written down so often. */
const CONFIRM_MS = 60_000;

export interface SavedParts {
  readonly cache: Cache | undefined;
  readonly holdings: Holdings;
  onTrouble(error: CofferClientError): void;
  onRecovered(): void;
}

/** What of a store outlives the program. */
export class Saved {
  readonly #parts: SavedParts;
  #writtenAt = Number.NEGATIVE_INFINITY;
  #newest = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(parts: SavedParts) {
    this.#parts = parts;
  }

  /** What an earlier run wrote. What cannot be read is reported, and as if it were not there. */
  async load(): Promise<Map<string, CachedSecret>> {
    try {
      const content = await this.#parts.cache?.read();
      if (!content) return new Map();
      try {
        return decodeCache(content);
      } finally {
        content.fill(0);
      }
    } catch (cause) {
      this.#parts.onTrouble(badCache('the cache is not used', cause));
      return new Map();
    }
  }

  /** Writes what is held, if it is worth it; one after the other, and never rejects. */
  flush(): Promise<void> {
    if (!this.#parts.cache) return this.#newest;
    if (!this.#parts.holdings.changed && performance.now() - this.#writtenAt < CONFIRM_MS)
      return this.#newest;
    this.#next ??= this.#newest.then(() => this.#write());
    this.#newest = this.#next;
    return this.#newest;
  }

  async #write(): Promise<void> {
    const { cache, holdings, onTrouble, onRecovered } = this.#parts;
    this.#next = undefined;
    holdings.changed = false;
    this.#writtenAt = performance.now();
    const kept = [...holdings].filter(({ secret, refused }) => secret && !refused);
    const content = encodeCache(new Map(kept.map((held) => [held.name, held])));
    try {
      await cache?.write(content);
      onRecovered();
    } catch (cause) {
      holdings.changed = true;
      onTrouble(badCache('the cache was not written', cause));
    } finally {
      content.fill(0);
    }
  }
}

function badCache(what: string, cause: unknown): CofferClientError {
  if (!(cause instanceof CofferClientError)) return new CofferClientError('bad_cache', what, { cause });
  return new CofferClientError(cause.code, `${what}: ${cause.message}`, { cause });
}
