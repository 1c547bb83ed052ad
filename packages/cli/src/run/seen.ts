import { createHmac, randomBytes } from 'node:crypto';
import type { SecretRequest } from '@coffer/client';
import type { Fetched } from './environment.js';

/**
 * Which value each secret had when it was given to the command, without keeping any: a digest under a key that nobody
 * else has, so that it tells nothing of the value, and the version.
 */
export class Seen {
  readonly #key = randomBytes(32);
  readonly #secrets = new Map<string, { readonly version: number; readonly digest: Buffer }>();

  /** The command has this value now. */
  remember({ name, version, value }: Fetched): void {
    this.#secrets.set(name, { version, digest: this.#digest(value) });
  }

  /** Is it another value than the one that the command has? If it is the same under another number, that is remembered. */
  isNew(fetched: Fetched): boolean {
    if (this.#secrets.get(fetched.name)?.digest.equals(this.#digest(fetched.value)) !== true) return true;
    this.remember(fetched);
    return false;
  }

  /** It may have been deleted and made anew: the same number may stand for another value now. */
  doubt(name: string): void {
    const seen = this.#secrets.get(name);
    if (seen !== undefined) this.#secrets.set(name, { ...seen, version: 0 });
  }

  doubtAll(): void {
    for (const name of this.#secrets.keys()) this.doubt(name);
  }

  /** Asks for each secret's active version, if it is not the one that was seen. */
  requests(): SecretRequest[] {
    return [...this.#secrets].map(([name, { version }]) =>
      version === 0 ? { name } : { name, known: version },
    );
  }

  #digest(value: Uint8Array): Buffer {
    return createHmac('sha256', this.#key).update(value).digest();
  }
}
