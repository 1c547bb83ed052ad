import { type Anchor, type HeadsIntegrity, NO_ANCHOR } from '../integrity.js';
import type { Storage } from '../storage/storage.js';
import type { AuditCopies } from './copies/copies.js';
import type { AuditLog } from './log.js';
import { Strangers } from './strangers.js';

/**
 * A log that is only read from moves ahead of its anchor, since no change seals a new one: what it gained in this time,
 * in milliseconds, can be cut off unnoticed. Every checkpoint would be more often than the disk should bear under load.
 */
const ANCHOR_INTERVAL = 10_000;
const STRANGERS_INTERVAL = 60_000;
const RETENTION_INTERVAL = 60 * 60 * 1_000;
const DAY = 24 * 60 * 60 * 1_000;

export interface UpkeepOptions {
  readonly log: AuditLog;
  readonly storage: Storage;
  readonly integrity: HeadsIntegrity;
  /** Where instances share the store: of their logs. */
  readonly copies?: AuditCopies | undefined;
  readonly now: () => Date;
  /** Closed files go when all of their lines are older; without it they stay. */
  readonly retentionDays: number | undefined;
}

/** What an audit log needs from time to time: its end sealed in the store, strangers summed up, old files removed. */
export class AuditUpkeep {
  readonly strangers: Strangers;
  readonly #options: UpkeepOptions;
  readonly #timers: readonly NodeJS.Timeout[];
  #retiring: Promise<void> = Promise.resolve();

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.strangers = new Strangers(options.now);
    options.integrity.anchor = () => options.log.durable;
    this.#timers = [
      setInterval(() => void this.anchor(), ANCHOR_INTERVAL),
      setInterval(() => void this.#tellStrangers(), STRANGERS_INTERVAL),
      setInterval(() => void this.retire(), RETENTION_INTERVAL),
    ];
    for (const timer of this.#timers) timer.unref();
    options.copies?.start();
  }

  /** Of all instances' logs, where they share the store. */
  get copies(): AuditCopies | undefined {
    return this.#options.copies;
  }

  /** The line that the store has sealed. */
  get sealed(): Anchor {
    const { integrity, storage } = this.#options;
    return integrity.read(storage.summary).anchor ?? NO_ANCHOR;
  }

  /** Removes what is old enough. What cannot be done now, as on a full disk, is done at the next time. */
  retire(): Promise<void> {
    this.#retiring = this.#retiring.then(() => this.#retire()).catch(() => undefined);
    return this.#retiring;
  }

  /** Ends the log with what is still to be told, then seals its last line. Before the store is closed. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#retiring;
    await this.#tellStrangers();
    const { copies, log } = this.#options;
    copies?.closing();
    await log.close();
    await copies?.close();
    await this.anchor();
  }

  /** Lets the store know the log's end, if it does not. Where that cannot be written, as on a full disk, it is soon again. */
  async anchor(): Promise<void> {
    const { integrity, log, storage } = this.#options;
    if (integrity.anchored === log.durable.seq) return;
    await storage.refreshSummary().catch(() => undefined);
  }

  async #tellStrangers(): Promise<void> {
    await this.strangers.settle((refused) => this.#options.log.note('refused', refused, false));
  }

  async #retire(): Promise<void> {
    const { log, storage, copies, now, retentionDays } = this.#options;
    if (retentionDays === undefined) return;
    const { seq } = log.durable;
    const then = new Date(now().getTime() - retentionDays * DAY);
    await storage.refreshSummary();
    await copies?.retire(then).catch(() => undefined);
    const retired = await log.retire(then, Math.min(seq, copies?.facts.delivered.seq ?? seq));
    if (retired > 0) copies?.logRetired();
  }
}
