import type { Accounts } from './accounts.js';
import { type Judge, tokensOf } from './judge.js';
import { withTimeout } from './lookups.js';
import type { AccountResolver } from './options.js';

/** Until what could not be noted is tried again, and an operator's token is noticed whose time has come. */
const AGAIN_MS = 5_000;
const MOST_ACCOUNTS = 20_000;
/** So many accounts are asked for at a time. */
const AT_ONCE = 16;

export interface VigilOptions {
  readonly judge: Judge;
  readonly accounts: Accounts;
  readonly resolver: AccountResolver;
  readonly timeoutMs: number;
}

/**
 * Notes new tokens of operators, and of accounts that were seen before, although nobody asks: those before them could be put back
 * otherwise, as if the new ones had never been there.
 *
 * Where it fails nobody is told. Nothing rests on a token that is not noted, and who comes with such a chain hears why.
 *
 * Life: made, `begin`, then `close`.
 */
export class Vigil {
  readonly #options: VigilOptions;
  #timer: NodeJS.Timeout | undefined;
  #listing: Promise<void> | undefined;
  /** Whether all accounts were looked at, as they were then. */
  #listed = false;

  constructor(options: VigilOptions) {
    this.#options = options;
  }

  begin(): void {
    this.#timer = setInterval(() => this.#again(), AGAIN_MS).unref();
    this.#again();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  noteOperators(): void {
    const { judge } = this.#options;
    // Each by itself: one that cannot be noted is no reason to forget another.
    for (const operator of judge.operators()) judge.seen.note([operator]).catch(() => {});
  }

  /** Of an account that is in use, its new token is noted when it comes. */
  lookAt(account: string): void {
    this.#noteAccount(account).catch(() => {});
  }

  lookAtAll(): void {
    if (this.#listing !== undefined || this.#options.resolver.accounts === undefined) return;
    const done = (listed: boolean) => {
      this.#listing = undefined;
      this.#listed = listed;
    };
    this.#listing = this.#noteAll().then(
      () => done(true),
      () => done(false),
    );
  }

  #again(): void {
    this.noteOperators();
    if (!this.#listed) this.lookAtAll();
  }

  async #noteAll(): Promise<void> {
    const { resolver, timeoutMs } = this.#options;
    const listed = await withTimeout(Promise.resolve(resolver.accounts?.() ?? []), timeoutMs);
    const left = listed.slice(0, MOST_ACCOUNTS).values();
    const take = async () => {
      for (const key of left) await this.#noteAccount(key).catch(() => {});
    };
    await Promise.all(Array.from({ length: AT_ONCE }, take));
  }

  async #noteAccount(key: string): Promise<void> {
    const { accounts, judge } = this.#options;
    // Of one that was never seen there is no older token that counted.
    if (this.#timer === undefined || !judge.seen.knows(key)) return;
    const standing = judge.standingIfAny(await accounts.current(key));
    if (standing) await judge.seen.note(tokensOf(standing));
  }
}
