import { hash } from 'node:crypto';
import type { WascapToken } from '@coffer/identity';

/** What stands for a token among the keys of log-ins: long as its text may be, it is hashed once for as long as it is remembered. */
export class TokenDigests {
  readonly #known = new WeakMap<WascapToken, string>();

  of(token: WascapToken): string {
    const known = this.#known.get(token);
    if (known !== undefined) return known;
    const digest = hash('sha256', token.text, 'base64');
    this.#known.set(token, digest);
    return digest;
  }
}
