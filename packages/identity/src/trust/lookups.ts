import type { AccountResolver } from './options.js';

/** As many are under way at a time; others wait. */
const AT_ONCE = 32;
/** As many may wait; of more, those of strangers are refused. */
const WAITING = 1_024;
/** Of accounts that nobody has vouched for, so many may be asked for at once, and so many a second in the long run. */
const STRANGERS = 256;
const STRANGERS_PER_SECOND = 64;

/** A resolver did not answer, or was not asked. */
export class LookupError extends Error {}

/**
 * Asks a resolver without being driven by strangers: so many questions at a time, so many a second about accounts that are not
 * known, and an end to each.
 */
export class Lookups {
  readonly #resolver: AccountResolver;
  readonly #timeoutMs: number;
  readonly #now: () => number;
  readonly #waiting: (() => void)[] = [];
  #underWay = 0;
  #allowance = STRANGERS;
  #filledAt: number;

  /** @param now milliseconds */
  constructor(resolver: AccountResolver, { timeoutMs, now }: { timeoutMs: number; now: () => number }) {
    this.#resolver = resolver;
    this.#timeoutMs = timeoutMs;
    this.#now = now;
    this.#filledAt = now();
  }

  /**
   * The resolver's answer; at once if it has it at once.
   *
   * @param known somebody trusted has vouched for the account before
   * @throws LookupError, or what the resolver throws
   */
  ask(account: string, known: boolean): string | undefined | Promise<string | undefined> {
    if (!known && (this.#waiting.length >= WAITING || !this.#takeAllowance())) {
      throw new LookupError('too many unknown accounts are asked for at this moment: try again');
    }
    if (this.#underWay >= AT_ONCE) return this.#later(account);
    const answer = this.#resolver.lookup(account);
    if (!(answer instanceof Promise)) return answer;
    this.#underWay++;
    return this.#inPlace(() => answer);
  }

  async #later(account: string): Promise<string | undefined> {
    // Whoever ends leaves its place to this one.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return await this.#inPlace(async () => await this.#resolver.lookup(account));
  }

  async #inPlace(lookup: () => Promise<string | undefined>): Promise<string | undefined> {
    try {
      return await withTimeout(lookup(), this.#timeoutMs);
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#underWay--;
    }
  }

  #takeAllowance(): boolean {
    const now = this.#now();
    const since = Math.max(0, now - this.#filledAt) / 1000;
    this.#allowance = Math.min(STRANGERS, this.#allowance + since * STRANGERS_PER_SECOND);
    this.#filledAt = now;
    if (this.#allowance < 1) return false;
    this.#allowance--;
    return true;
  }
}

/** @throws LookupError when it takes longer */
export async function withTimeout<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new LookupError(`no answer within ${timeoutMs / 1000} s`)), timeoutMs);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
