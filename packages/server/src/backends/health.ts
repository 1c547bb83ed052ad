import type { Logger } from 'pino';
import type { GuardedSource } from './guard.js';

/** How often a source is asked whether it can answer. */
const EVERY_MS = 5_000;
/** How long it may take to say. */
const PATIENCE_MS = 4_000;

/** Asks a source again and again whether it can answer, and tells the log when that changes. */
export class Health {
  readonly #source: Pick<GuardedSource, 'unready'>;
  readonly #log: Logger;
  readonly #everyMs: number;
  #timer: NodeJS.Timeout | undefined;
  #reason: string | undefined;
  #since = new Date();
  #closed = false;

  constructor(source: Pick<GuardedSource, 'unready'>, log: Logger, everyMs = EVERY_MS) {
    this.#source = source;
    this.#log = log;
    this.#everyMs = everyMs;
    void this.#look();
  }

  /** Since when it cannot answer; undefined: it can, as far as is known. */
  get notReadySince(): Date | undefined {
    return this.#reason === undefined ? undefined : this.#since;
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const reason = await this.#source.unready(PATIENCE_MS);
    if (this.#closed) return;
    const before = this.#reason;
    if ((before === undefined) !== (reason === undefined)) this.#since = new Date();
    this.#reason = reason;
    if (reason !== undefined && reason !== before)
      this.#log.warn({ reason }, 'this backend cannot answer now');
    if (reason === undefined && before !== undefined) this.#log.info('this backend can answer again');
    this.#timer = setTimeout(() => void this.#look(), this.#everyMs).unref();
  }
}
