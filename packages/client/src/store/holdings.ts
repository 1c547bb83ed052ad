import type { CachedSecret } from '../cache/content.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { Events } from './events.js';
import { Held } from './held.js';
import { LIMIT_MS, Pause } from './waiting.js';

/** The secrets of a store, by name. */
export class Holdings {
  /** How often values were read, and how often another took the place of one. */
  reads = 0;
  updates = 0;
  /** What is held is not what is in the cache. */
  changed = false;
  /** Waits for a first value. */
  readonly arrival = new Pause();
  readonly #events: Events;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly #held = new Map<string, Held>();
  /** Nothing is taken over any more. */
  closed = false;

  constructor(events: Events, now: () => number) {
    this.#events = events;
    this.now = now;
  }

  get names(): string[] {
    return [...this.#held.keys()];
  }

  /** Those that the program declared and that have no value yet. */
  get missing(): string[] {
    return [...this].filter(({ declared, secret }) => declared && !secret).map(({ name }) => name);
  }

  /** When the server last confirmed what it confirmed longest ago, in milliseconds since 1970. */
  get confirmedAt(): number | undefined {
    const times = [...this].flatMap(({ secret, checkedAt }) => (secret ? [checkedAt ?? Number.NaN] : []));
    // NaN if one is.
    const oldest = Math.min(...times) * 1000;
    return Number.isFinite(oldest) ? oldest : undefined;
  }

  [Symbol.iterator](): Iterator<Held> {
    return this.#held.values();
  }

  get(name: string): Held | undefined {
    return this.#held.get(name);
  }

  add(name: string): Held {
    const held = new Held(name, this.now(), (read) => {
      this.reads++;
      this.touch(read);
    });
    this.touch(held);
    this.#held.set(name, held);
    return held;
  }

  declare(name: string): void {
    const held = this.add(name);
    held.declared = true;
    held.wanted = true;
  }

  /** It is used now. */
  touch(held: Held): void {
    held.lastAccess = this.#seconds;
  }

  /** The server says now that it is so. */
  confirm(held: Held): void {
    held.checkedAt = this.#seconds;
    if (held.refused) this.changed = true;
    held.refused = false;
  }

  /** The server refuses it now: it goes out of the cache. */
  refuse(held: Held): void {
    if (!held.refused) this.changed = true;
    held.refused = true;
  }

  /** Takes over an active value, and tells of it if it is another. */
  take(held: Held, version: number, value: Uint8Array): void {
    const bytes = value instanceof SecretBytes ? value : SecretBytes.copyOf(value);
    const first = !held.secret;
    if (this.closed) bytes.wipe();
    if (this.closed || !held.take(version, bytes)) return;
    this.changed = true;
    if (first) {
      this.touch(held);
      this.arrival.end();
    } else {
      this.updates++;
      this.#events.tell('update', { name: held.name, version });
    }
  }

  /** Drops what was not declared, nobody uses, and was not read for so many milliseconds; what has no value soon. */
  expire(age: number): void {
    for (const held of this) {
      const empty = !held.secret && held.versions.size === 0;
      const unused = this.now() - held.lastAccess * 1000 > (empty ? LIMIT_MS : age);
      if (held.declared || held.inUse || !unused) continue;
      wipe(held);
      this.#held.delete(held.name);
      this.changed = true;
    }
  }

  /** Takes over nothing any more. */
  close(): void {
    this.closed = true;
    this.arrival.end();
  }

  wipe(): void {
    for (const held of this) wipe(held);
    this.#held.clear();
  }

  get #seconds(): number {
    return Math.floor(this.now() / 1000);
  }
}

export function wipe(entry: CachedSecret): void {
  entry.secret?.value.wipe();
  entry.secret = undefined;
  for (const value of entry.versions.values()) value.wipe();
  entry.versions.clear();
}
