import type { KeyPair } from '@coffer/identity';
import { openBox } from '../protocol/sealing.js';
import type { TransitKeys } from './options.js';

/** Opens requests with whichever transit key they were sealed to. To try one costs as much as opening. */
export class TransitOpener {
  readonly #keys: TransitKeys;
  #lastUsed: string | undefined;

  constructor(keys: TransitKeys) {
    this.#keys = keys;
  }

  /** What hosts are told to seal to. */
  get current(): string {
    const [newest] = this.#keys.keys();
    if (newest === undefined) throw new Error('this backend has no transit key');
    return newest.publicKey;
  }

  /** Undefined: no key opens it. The plaintext is the caller's to wipe. */
  open(box: Uint8Array, hostXkey: string): Uint8Array | undefined {
    for (const key of this.#inOrder()) {
      const plaintext = openBox(box, key, hostXkey);
      if (plaintext === undefined) continue;
      this.#lastUsed = key.publicKey;
      this.#keys.used(key.publicKey);
      return plaintext;
    }
    return undefined;
  }

  /** The one that opened the last request first: hosts keep to the key that they know. */
  #inOrder(): readonly KeyPair[] {
    const keys = this.#keys.keys();
    if (keys[0]?.publicKey === this.#lastUsed) return keys;
    const last = keys.filter(({ publicKey }) => publicKey === this.#lastUsed);
    return [...last, ...keys.filter(({ publicKey }) => publicKey !== this.#lastUsed)];
  }
}
