import type { Catalog } from './catalog.js';
import type { Duty } from './instances/duty.js';
import type { Storage } from './storage/storage.js';

/** How long a deleted secret's last operation is remembered, in milliseconds. */
const LIFE = 24 * 60 * 60 * 1_000;
const INTERVAL = 60 * 60 * 1_000;
const AT_ONCE = 256;

export interface TombstonesParts {
  readonly catalog: Catalog;
  readonly storage: Storage;
  readonly duty: Duty;
  readonly now: () => Date;
}

/** Forgets hourly what was deleted a day ago. */
export class Tombstones {
  readonly #parts: TombstonesParts;
  readonly #timer: NodeJS.Timeout;

  constructor(parts: TombstonesParts) {
    this.#parts = parts;
    this.#timer = setInterval(() => this.begin(), INTERVAL);
    this.#timer.unref();
  }

  /** At once, in the background. */
  begin(): void {
    void this.purge().catch(() => undefined);
  }

  async purge(): Promise<void> {
    const { catalog, storage, duty } = this.#parts;
    if (!duty.isOurs) return;
    const now = this.#parts.now();
    const old = catalog.heads
      .tombstonesBefore(new Date(now.getTime() - LIFE), now)
      // An instance that has not seen the end of a life must not take the next one for its past.
      .filter(({ revision }) => storage.shared?.confirmedByAll(revision) ?? true)
      .filter((entry) => catalog.isPast(entry, now));
    for (let start = 0; start < old.length; start += AT_ONCE) {
      const some = old.slice(start, start + AT_ONCE);
      // A tombstone that a new life replaced meanwhile is at another revision: a conflict, and no harm.
      await Promise.allSettled(some.map((entry) => catalog.purge(entry)));
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}
