import type { HeadsIntegrity } from '../integrity.js';
import type { Storage } from '../storage/storage.js';
import type { AuditLog } from './log.js';

/**
 * A log that is only read from moves ahead of its anchor, since no change seals a new one: what it gained in this time,
 * in milliseconds, can be cut off unnoticed.
 */
const INTERVAL = 10_000;

/** Keeps the store's sealed knowledge of the log's end fresh while nothing is changed. */
export class Anchoring {
  readonly #log: AuditLog;
  readonly #storage: Storage;
  readonly #integrity: HeadsIntegrity;
  readonly #timer: NodeJS.Timeout;

  constructor(log: AuditLog, storage: Storage, integrity: HeadsIntegrity) {
    this.#log = log;
    this.#storage = storage;
    this.#integrity = integrity;
    integrity.anchor = () => log.durable;
    this.#timer = setInterval(() => void this.refresh(), INTERVAL);
    this.#timer.unref();
  }

  /** Where it cannot be done, as on a full disk, the older anchor stays, and the next time is soon. */
  async refresh(): Promise<void> {
    if (this.#integrity.anchored === this.#log.durable.seq) return;
    await this.#storage.refreshSummary().catch(() => undefined);
  }

  /** After the log's last line, before the store is closed. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.refresh();
  }
}
