import { asBuffer } from '../../bytes.js';
import { EventLog } from '../event-log.js';
import type { StorageEvent } from '../storage.js';
import type { AppliedHead } from './reconciliation.js';

/** Tells who watches a store of the heads that the feed has brought. */
export class HeadEvents {
  readonly #store: string;
  readonly #position: () => number;
  readonly #events: EventLog;
  /** The newest head that was told of. */
  #latest: number;

  /** @param position up to where the replica has the stream */
  constructor(incarnation: Uint8Array, position: () => number) {
    this.#store = asBuffer(incarnation).toString('hex');
    this.#position = position;
    this.#latest = position();
    this.#events = new EventLog(() => this.#idOf(this.#latest));
  }

  publish(heads: readonly AppliedHead[] | 'reset'): void {
    if (heads === 'reset') {
      this.#latest = this.#position();
      this.#events.publish({ id: this.#idOf(this.#latest), reset: true });
      return;
    }
    for (const { key, revision } of heads) {
      this.#latest = revision;
      this.#events.publish({ id: this.#idOf(revision), key: Buffer.from(asBuffer(key)) });
    }
  }

  /** As {@link Storage.watch}. */
  watch(listener: (event: StorageEvent) => void, since?: string): () => void {
    return this.#events.watch(listener, since);
  }

  close(): void {
    this.#events.close();
  }

  /** The same at every instance, so that a watcher that comes back may come back to another. */
  #idOf(revision: number): string {
    return `${this.#store}-${revision}`;
  }
}
