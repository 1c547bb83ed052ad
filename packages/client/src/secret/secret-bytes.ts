import { CofferClientError } from '../errors.js';

const REDACTED = 'SecretBytes [redacted]';

/**
 * The bytes of a secret, that do not show themselves: `console.log`, `util.inspect`, JSON and text made of them say `[redacted]`.
 * They are a `Uint8Array` otherwise, so that what takes bytes takes them. What is cut from them (`subarray`, `slice`, …) does not show
 * itself either; a `Buffer` or a string made of them does, and so do the plain arrays that `structuredClone`, `postMessage`, `toReversed`,
 * `toSorted` and `with` make.
 *
 * They are yours: {@link SecretBytes.wipe} them after use, or declare them with `using`. What looks into them on purpose shows
 * them: a debugger, a core dump, `console.dir` and `util.inspect` with `customInspect: false`, as which `assert.deepStrictEqual` of
 * `node:assert` prints a difference (compare with `Buffer.compare`, or what `reveal` gives in tests).
 */
export class SecretBytes extends Uint8Array {
  /** A copy in memory of its own, which no pool shares. */
  static copyOf(bytes: Uint8Array): SecretBytes {
    const copy = new SecretBytes(bytes.length);
    copy.set(bytes);
    return copy;
  }

  /**
   * The value as text, which shows itself, and stays in memory until the garbage collector takes it.
   *
   * @throws CofferClientError `not_text` if it is not UTF-8
   */
  reveal(): string {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this);
    } catch {
      throw new CofferClientError('not_text', 'the value of the secret is not UTF-8 text: take its bytes');
    }
  }

  /** Overwrites the bytes with zeros. */
  wipe(): void {
    this.fill(0);
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  override toString(): string {
    return REDACTED;
  }

  override toLocaleString(): string {
    return REDACTED;
  }

  toJSON(): string {
    return REDACTED;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return REDACTED;
  }
}
