import type { SecretBytes } from './secret-bytes.js';

/**
 * A handle to a secret, whose value is current whenever it is asked for. It shows its name and version and never its value.
 *
 * Keep the handle, not what it gives: `get` costs next to nothing.
 */
export interface Secret {
  readonly name: string;
  /** The number of the version that {@link get} gives now; 0 for one that has no versions. */
  readonly version: number;
  /** A copy of the current value. It is yours to wipe. */
  get(): SecretBytes;
  /**
   * The current value as text.
   *
   * @throws CofferClientError `not_text` if it is not UTF-8
   */
  reveal(): string;
}
