import { ChainError, linkName } from './chain-error.js';
import type { IssuedMemory } from './options.js';
import type { LinkToken } from './tokens.js';

/** The newest token of an operator or account in the life of this process. */
interface Newest {
  readonly iat: number;
  readonly digest: string | undefined;
  /** Others of the same second that were seen before it. */
  readonly superseded: ReadonlySet<string>;
}

/**
 * Notes the newest token of each operator and account, each once at a time. What was seen makes older ones stale at once, also
 * while it cannot be noted for good.
 *
 * Of several tokens of one second the one that was seen last counts, since an issuer may well sign twice within a second; those
 * seen before it come back no more, for as long as the process lives: the memory has times only.
 */
export class Seen {
  readonly #memory: IssuedMemory;
  readonly #newest = new Map<string, Newest>();
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
    return Math.max(this.noted(key), this.#newest.get(key)?.iat ?? -1);
  }

  /** The newest time of issue that is noted for good; −1: none. */
  noted(key: string): number {
    return this.#memory.newest(key) ?? -1;
  }

  /** Whether no newer token of an operator or account was seen than this one. */
  isNewest({ what, key, iat, digest }: LinkToken): boolean {
    if (!isParty(what)) return true;
    if (this.newest(key) > iat) return false;
    const seen = this.#newest.get(key);
    return seen?.iat !== iat || digest === undefined || !seen.superseded.has(digest);
  }

  /** From now on what is older than these is stale. They must have been found good, and to be the newest. */
  see(tokens: readonly LinkToken[]): void {
    for (const { what, key, iat, digest } of tokens) {
      const before = this.#newest.get(key);
      if (!isParty(what) || (before?.iat === iat && before.digest === digest)) continue;
      const superseded = new Set(before?.iat === iat ? before.superseded : []);
      if (before?.iat === iat && before.digest !== undefined) superseded.add(before.digest);
      this.#newest.set(key, { iat, digest, superseded });
    }
  }

  /** Whether all operators and accounts among these were noted for good. */
  hasAll(tokens: readonly LinkToken[]): boolean {
    return tokens.every(({ what, key, iat }) => !isParty(what) || this.noted(key) >= iat);
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
    if (cause === undefined && this.noted(key) >= iat) return;
    const why = 'that its newest token was seen could not be noted, and so it is not accepted';
    throw new ChainError('memory_failed', linkName(what, key, name), why, { cause });
  }
}

const isParty = (what: LinkToken['what']): boolean => what === 'operator' || what === 'account';

/** What is thrown at once is thrown by the promise. */
const settled = async (work: () => Promise<void>): Promise<void> => await work();
