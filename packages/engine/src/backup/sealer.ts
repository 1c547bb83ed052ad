import { createHash } from 'node:crypto';

import { SecretStreamSealer, STREAM_OVERHEAD } from '../crypto/secret-stream.js';
import { wipe } from '../crypto/secure-memory.js';
import { BLOCK_BYTES, encodePreamble, encodeTrailer, type Preamble, sha256, type Trailer } from './format.js';

/** Turns a backup's content into the bytes of its file. */
export class BackupSealer {
  /** Bytes of the file so far. */
  bytes = 0;
  readonly #stream: SecretStreamSealer;
  readonly #fileHash = createHash('sha256');
  readonly #block = Buffer.alloc(BLOCK_BYTES);
  #filled = 0;
  #ready: Buffer[] = [];

  /** @param key of the stream; may be wiped afterwards */
  constructor(preamble: Preamble, key: Buffer) {
    const opening = encodePreamble(preamble);
    const hash = sha256(opening);
    this.#stream = new SecretStreamSealer(key, hash);
    this.#emit(Buffer.concat([opening, hash, this.#stream.header]));
  }

  add(content: Uint8Array): void {
    for (let at = 0; at < content.length; ) {
      if (this.#filled === BLOCK_BYTES) this.#seal(false);
      const part = content.subarray(at, at + BLOCK_BYTES - this.#filled);
      this.#block.set(part, this.#filled);
      this.#filled += part.length;
      at += part.length;
    }
  }

  /** The last block; then only the trailer is missing. */
  finish(): void {
    this.#seal(true);
    this.wipe();
  }

  trailer(trailer: Trailer): Buffer {
    const facts = encodeTrailer(trailer);
    this.#fileHash.update(facts);
    this.bytes += facts.length + 32;
    return Buffer.concat([facts, this.#fileHash.digest()]);
  }

  /** What is ready to be written, and then is not any more. */
  take(): Buffer[] {
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  wipe(): void {
    this.#stream.wipe();
    wipe(this.#block);
  }

  #seal(last: boolean): void {
    const sealed = Buffer.allocUnsafeSlow(4 + this.#filled + STREAM_OVERHEAD);
    sealed.writeUInt32BE(sealed.length - 4, 0);
    this.#stream.sealInto(sealed.subarray(4), this.#block.subarray(0, this.#filled), last);
    this.#filled = 0;
    this.#emit(sealed);
  }

  #emit(bytes: Buffer): void {
    this.#fileHash.update(bytes);
    this.bytes += bytes.length;
    this.#ready.push(bytes);
  }
}
