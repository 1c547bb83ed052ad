import sodium from 'sodium-native';

const POOL_BYTES = 6_144;

/**
 * Random bytes for nonces and ids, which are no secrets: asking the kernel for a few at a time costs more than to seal a
 * small record. Keys are drawn straight from the kernel.
 */
export class RandomPool {
  readonly #pool = Buffer.allocUnsafeSlow(POOL_BYTES);
  #next = POOL_BYTES;

  /** Fills the buffer, of at most 64 bytes, with bytes that nobody got before. */
  fill(target: Buffer): void {
    if (this.#next + target.length > POOL_BYTES) {
      sodium.randombytes_buf(this.#pool);
      this.#next = 0;
    }
    this.#pool.copy(target, 0, this.#next, this.#next + target.length);
    this.#next += target.length;
  }
}
