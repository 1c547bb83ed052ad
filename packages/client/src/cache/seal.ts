import { CofferClientError } from '../errors.js';
import { type KeySource, readKey } from './key.js';

const HEADER = Buffer.from('coffer-cache-v1\n');
const SALT_BYTES = 32;
const TAG_BYTES = 16;
const START = HEADER.length + SALT_BYTES;

/** Encrypts what goes into a file, if there is a key. The format stands at {@link FileCache}. */
export class Seal {
  readonly #source: KeySource | undefined;
  #key: ReturnType<typeof readKey> | undefined;

  constructor(source: KeySource | undefined) {
    this.#source = source;
  }

  async seal(content: Uint8Array): Promise<Uint8Array> {
    if (!this.#source) return content;
    const { createCipheriv, randomBytes } = await import('node:crypto');
    const salt = randomBytes(SALT_BYTES);
    const cipher = createCipheriv('aes-256-gcm', ...(await this.#derive(this.#source, salt)));
    const body = [cipher.update(content), cipher.final()];
    return Buffer.concat([HEADER, salt, ...body, cipher.getAuthTag()]);
  }

  /** @throws CofferClientError `bad_cache` for what {@link seal} did not make with this key; `bad_key` */
  async unseal(sealed: Uint8Array): Promise<Uint8Array> {
    const isSealed = HEADER.equals(sealed.subarray(0, HEADER.length));
    if (!this.#source && !isSealed) return sealed;
    if (!this.#source) throw new CofferClientError('bad_cache', 'it is encrypted, and no key is given');
    if (!isSealed) throw new CofferClientError('bad_cache', 'it is not encrypted, though a key is given');
    const { createDecipheriv } = await import('node:crypto');
    const key = await this.#derive(this.#source, sealed.subarray(HEADER.length, START));
    let content: Buffer | undefined;
    try {
      const decipher = createDecipheriv('aes-256-gcm', ...key, { authTagLength: TAG_BYTES });
      content = decipher.update(sealed.subarray(START, -TAG_BYTES));
      decipher.setAuthTag(sealed.subarray(-TAG_BYTES)).final();
      return content;
    } catch {
      // What came out before the tag was checked may be anything.
      content?.fill(0);
      throw new CofferClientError('bad_cache', 'it was encrypted with another key, or is damaged');
    }
  }

  /** A key and a nonce that no other content has. */
  async #derive(source: KeySource, salt: Uint8Array): Promise<[key: Buffer, nonce: Buffer]> {
    this.#key ??= readKey(source);
    // A key that cannot be had now may be there later.
    this.#key.catch(() => (this.#key = undefined));
    const { hkdfSync } = await import('node:crypto');
    const bytes = Buffer.from(hkdfSync('sha256', await this.#key, salt, HEADER, 44));
    return [bytes.subarray(0, 32), bytes.subarray(32)];
  }
}
