import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { CofferClientError } from '../errors.js';
import { type KeySource, readKey } from './key.js';
import { HEADER } from './seal.js';

const ALGORITHM = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const SALT_BYTES = 32;
const TAG_BYTES = 16;
const BODY = HEADER.length + SALT_BYTES;

/** The format of encrypted files, which stands at {@link FileCache}. It asks for the key once. */
export class Cipher {
  readonly #source: KeySource;
  #key: ReturnType<typeof readKey> | undefined;

  constructor(source: KeySource) {
    this.#source = source;
  }

  async encrypt(content: Uint8Array): Promise<Buffer> {
    const salt = randomBytes(SALT_BYTES);
    const [key, nonce] = await this.#derive(salt);
    const cipher = createCipheriv(ALGORITHM, key, nonce);
    key.fill(0);
    const body = [cipher.update(content), cipher.final()];
    return Buffer.concat([HEADER, salt, ...body, cipher.getAuthTag()]);
  }

  /** @throws CofferClientError `bad_cache` for what was not encrypted with this key; `bad_key` */
  async decrypt(file: Uint8Array): Promise<Buffer> {
    const [key, nonce] = await this.#derive(file.subarray(HEADER.length, BODY));
    let content: Buffer | undefined;
    try {
      const decipher = createDecipheriv(ALGORITHM, key, nonce, { authTagLength: TAG_BYTES });
      content = decipher.update(file.subarray(BODY, -TAG_BYTES));
      decipher.setAuthTag(file.subarray(-TAG_BYTES)).final();
      return content;
    } catch {
      // What came out before the tag was checked may be anything.
      content?.fill(0);
      throw new CofferClientError('bad_cache', 'it was encrypted with another key, or is damaged');
    } finally {
      key.fill(0);
    }
  }

  /** A key, for the caller to wipe, and a nonce, which no other content has. */
  async #derive(salt: Uint8Array): Promise<[key: Buffer, nonce: Buffer]> {
    this.#key ??= readKey(this.#source);
    // A key that cannot be had now may be there later.
    this.#key.catch(() => {
      this.#key = undefined;
    });
    const bytes = Buffer.from(hkdfSync('sha256', await this.#key, salt, HEADER, KEY_BYTES + NONCE_BYTES));
    return [bytes.subarray(0, KEY_BYTES), bytes.subarray(KEY_BYTES)];
  }
}
