import type { Answered } from '@coffer/wasmcloud';
import type { Logger } from 'pino';
import { Seldom } from '../nats/seldom.js';

const MINUTE_MS = 60_000;
/** Of all together: whoever can publish makes as many different ones as they like. */
const MOST_LINES = 60;
const MOST_CHARACTERS = 400;
const TOKENS: ReadonlySet<string> = new Set(['InvalidEntityJWT', 'InvalidHostJWT']);

/**
 * Tells the log why tokens were refused, or what lies behind a backend refuses, which the answer does not say: each refusal once a
 * minute, and so many a minute in all.
 * Those whom a grant refuses are in the audit log.
 */
export class Refusals {
  readonly #log: Pick<Logger, 'warn'>;
  readonly #now: () => number;
  readonly #seldom: Seldom;
  #minute = Number.NEGATIVE_INFINITY;
  #lines = 0;
  #untold = 0;

  /** @param now in milliseconds */
  constructor(log: Pick<Logger, 'warn'>, now: () => number = () => performance.now()) {
    this.#log = log;
    this.#now = now;
    this.#seldom = new Seldom(MINUTE_MS, now);
  }

  answered({ operation, result, reason: known }: Answered): void {
    if (!TOKENS.has(result) && known === undefined) return;
    const full = known ?? 'nobody can say why';
    const reason = full.length > MOST_CHARACTERS ? `${full.slice(0, MOST_CHARACTERS)}…` : full;
    if (!this.#hasRoom()) this.#untold++;
    else if (this.#seldom.may(`${operation} ${result} ${reason}`)) {
      this.#lines++;
      const what = TOKENS.has(result)
        ? 'a token was refused over NATS'
        : 'what lies behind this backend refuses';
      this.#log.warn({ operation, result, reason }, what);
    }
  }

  #hasRoom(): boolean {
    const now = this.#now();
    if (now - this.#minute >= MINUTE_MS) {
      const more = this.#untold;
      if (more > 0) this.#log.warn({ more }, 'more requests were refused over NATS for their tokens');
      [this.#minute, this.#lines, this.#untold] = [now, 0, 0];
    }
    return this.#lines < MOST_LINES;
  }
}
