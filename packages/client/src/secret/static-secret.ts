import type { Secret } from './secret.js';
import { SecretBytes } from './secret-bytes.js';

/** A secret whose value never changes: for tests, development and the way to coffer. It takes the place of a store's handle. */
export class StaticSecret implements Secret {
  readonly name: string;
  /** Always 0: it has no versions. */
  readonly version = 0;
  readonly #value: SecretBytes;

  /** @param value text, or bytes, which are copied */
  constructor(value: string | Uint8Array, name = 'static') {
    this.name = name;
    this.#value = SecretBytes.copyOf(typeof value === 'string' ? new TextEncoder().encode(value) : value);
  }

  /** Its name and version. */
  toString(): string {
    return `${this.name} (version ${this.version})`;
  }

  /** A copy of the value. It is yours to wipe. */
  get(): SecretBytes {
    return SecretBytes.copyOf(this.#value);
  }

  /**
   * The value as text.
   *
   * @throws CofferClientError `not_text` if it is not UTF-8
   */
  reveal(): string {
    return this.#value.reveal();
  }
}
