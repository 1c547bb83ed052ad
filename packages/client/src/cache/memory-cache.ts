import { SecretBytes } from '../secret/secret-bytes.js';
import type { Cache } from './cache.js';

/** A cache that lives as long as the process. For tests. */
export class MemoryCache implements Cache {
  #content: SecretBytes | undefined;

  /** @param content what an earlier run wrote, copied */
  constructor(content?: string | Uint8Array) {
    if (content !== undefined) this.write(typeof content === 'string' ? Buffer.from(content) : content);
  }

  /** A copy, which is yours to wipe. */
  read(): SecretBytes | undefined {
    return this.#content && SecretBytes.copyOf(this.#content);
  }

  /** Copies it, and wipes what was there. */
  write(content: Uint8Array): void {
    const former = this.#content;
    this.#content = SecretBytes.copyOf(content);
    former?.wipe();
  }
}
