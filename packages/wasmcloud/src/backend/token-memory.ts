import { decodeWascap, type WascapToken } from '@coffer/identity';

const MOST = 2_000;
const MOST_CHARACTERS = 8 * 1024 * 1024;

/** Tokens that were read before: to check a signature again costs more than all else that is done about a token. */
export class TokenMemory {
  readonly #tokens = new Map<string, WascapToken>();
  #characters = 0;

  /** @throws IdentityError as `decodeWascap` */
  read(text: string): WascapToken {
    const known = this.#tokens.get(text);
    if (known !== undefined) return known;
    const token = decodeWascap(text);
    this.#tokens.set(text, token);
    this.#characters += text.length;
    for (const oldest of this.#tokens.keys()) {
      if (this.#tokens.size <= MOST && this.#characters <= MOST_CHARACTERS) break;
      this.#tokens.delete(oldest);
      this.#characters -= oldest.length;
    }
    return token;
  }
}
