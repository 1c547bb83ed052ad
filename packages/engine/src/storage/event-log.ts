import type { StorageEvent } from './storage.js';

/** How many events a watcher may have missed and still resume. */
const EVENTS_KEPT = 4_096;

/** The newest events of a store, and who is told of them. */
export class EventLog {
  readonly #listeners = new Set<(event: StorageEvent) => void>();
  readonly #events: StorageEvent[] = [];
  /** The id that a watcher has that knows all. */
  readonly #latest: () => string;

  constructor(latest: () => string) {
    this.#latest = latest;
  }

  publish(event: StorageEvent): void {
    this.#events.push(event);
    if (this.#events.length > 2 * EVENTS_KEPT) this.#events.splice(0, EVENTS_KEPT);
    for (const listener of this.#listeners) listener(event);
  }

  /** As {@link Storage.watch}. */
  watch(listener: (event: StorageEvent) => void, since?: string): () => void {
    if (since !== undefined) for (const event of this.#after(since)) listener(event);
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Nobody is told any more. */
  close(): void {
    this.#listeners.clear();
  }

  #after(since: string): StorageEvent[] {
    if (since === this.#latest()) return [];
    const at = this.#events.findIndex((event) => event.id === since);
    if (at < 0) return [{ id: this.#latest(), reset: true }];
    return this.#events.slice(at + 1);
  }
}
