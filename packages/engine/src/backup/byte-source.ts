import { createHash } from 'node:crypto';

/** Takes bytes in the lengths that are asked for, and hashes them. */
export class ByteSource {
  position = 0;
  readonly #iterator: AsyncIterator<Uint8Array>;
  readonly #hash = createHash('sha256');
  #chunks: Buffer[] = [];
  #held = 0;

  constructor(bytes: AsyncIterable<Uint8Array>) {
    this.#iterator = bytes[Symbol.asyncIterator]();
  }

  /** SHA-256 of all that was taken. */
  hash(): Buffer {
    return this.#hash.copy().digest();
  }

  /** Undefined if there is less; then it is all taken. */
  async take(length: number): Promise<Buffer | undefined> {
    while (this.#held < length) {
      const { value, done } = await this.#iterator.next();
      if (done) {
        this.position += this.#held;
        this.#chunks = [];
        this.#held = 0;
        return undefined;
      }
      this.#chunks.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength));
      this.#held += value.length;
    }
    const bytes = this.#cut(length);
    this.#hash.update(bytes);
    this.position += length;
    return bytes;
  }

  async close(): Promise<void> {
    await this.#iterator.return?.();
  }

  #cut(length: number): Buffer {
    const parts: Buffer[] = [];
    for (let missing = length; missing > 0; ) {
      const [first] = this.#chunks as [Buffer];
      const part = first.subarray(0, missing);
      parts.push(part);
      missing -= part.length;
      if (part.length === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(part.length);
    }
    this.#held -= length;
    const [only = Buffer.alloc(0)] = parts;
    return parts.length <= 1 ? only : Buffer.concat(parts, length);
  }
}
