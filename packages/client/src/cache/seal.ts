import { CofferClientError } from '../errors.js';
import type { Cipher } from './cipher.js';
import type { KeySource } from './key.js';

/** What an encrypted file begins with. */
export const HEADER = Buffer.from('coffer-cache-v1\n');

/** Encrypts what goes into a file, if there is a key; what that takes is loaded then. The format stands at {@link FileCache}. */
export class Seal {
  readonly #cipher: () => Promise<Cipher> | undefined;

  constructor(source: KeySource | undefined) {
    let cipher: Promise<Cipher> | undefined;
    this.#cipher = () =>
      (cipher ??= source && import('./cipher.js').then(({ Cipher }) => new Cipher(source)));
  }

  async seal(content: Uint8Array): Promise<Uint8Array> {
    return (await this.#cipher())?.encrypt(content) ?? content;
  }

  /** @throws CofferClientError `bad_cache` for what {@link seal} did not make with this key; `bad_key` */
  async unseal(content: Uint8Array): Promise<Uint8Array> {
    const cipher = await this.#cipher();
    const isSealed = HEADER.equals(content.subarray(0, HEADER.length));
    if (isSealed && !cipher) throw badCache('it is encrypted, and no key is given');
    if (!isSealed && cipher) throw badCache('it is not encrypted, though a key is given');
    return cipher?.decrypt(content) ?? content;
  }
}

const badCache = (message: string) => new CofferClientError('bad_cache', message);
