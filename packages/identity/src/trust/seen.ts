import { ChainError, linkName } from './chain-error.js';
import type { IssuedMemory } from './options.js';
import type { LinkToken } from './tokens.js';

/** Notes the newest token of each operator and account, each once at a time. */
export class Seen {
  readonly #memory: IssuedMemory;
  /** Under way, by key and time. */
  readonly #noting = new Map<string, Promise<void>>();

  constructor(memory: IssuedMemory) {
    this.#memory = memory;
  }

  /** Whether there was ever a token of this operator or account. */
  knows(key: string): boolean {
    return this.newest(key) >= 0;
  }

  /** The newest time of issue; −1: none. */
  newest(key: string): number {
    return this.#memory.newest(key) ?? -1;
  }

  /** Whether no newer token of an operator or account was seen than this one. */
  isNewest({ what, key, iat }: LinkToken): boolean {
    return !isParty(what) || this.newest(key) <= iat;
  }

  /** Whether all operators and accounts among these were noted. */
  hasAll(tokens: readonly LinkToken[]): boolean {
    return tokens.every(({ what, key, iat }) => !isParty(what) || this.newest(key) >= iat);
  }

  /**
   * Settles when all of them are noted for good.
   *
   * @throws ChainError `memory_failed`
   */
  async note(tokens: readonly LinkToken[]): Promise<void> {
    for (const token of tokens) if (!this.hasAll([token])) await this.#noteOne(token);
  }

  async #noteOne({ what, key, name, iat }: LinkToken): Promise<void> {
    const id = `${key} ${iat}`;
    const noting = this.#noting.get(id) ?? settled(() => this.#memory.remember(key, iat));
    this.#noting.set(id, noting);
    let cause: unknown;
    try {
      await noting;
    } catch (error) {
      cause = error;
    }
    this.#noting.delete(id);
    if (cause === undefined && this.newest(key) >= iat) return;
    const why = 'that its newest token was seen could not be noted, and so it is not accepted';
    throw new ChainError('memory_failed', linkName(what, key, name), why, { cause });
  }
}

const isParty = (what: LinkToken['what']): boolean => what === 'operator' || what === 'account';

/** What is thrown at once is thrown by the promise. */
const settled = async (work: () => Promise<void>): Promise<void> => await work();
