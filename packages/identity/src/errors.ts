/**
 * What can be wrong with a key:
 *
 * - `malformed_key`: wrong length, a character outside base32, stray bits at the end, an unknown prefix;
 * - `key_checksum`: well formed, but mistyped or damaged;
 * - `wrong_key_kind`: a seed where a public key is wanted, a curve key where a signing key is;
 * - `key_wiped`: the key pair's memory is wiped already.
 */
export type IdentityErrorCode = 'malformed_key' | 'key_checksum' | 'wrong_key_kind' | 'key_wiped';

/** The one family of errors of this package. Programs match on `code`; a message never holds a key. */
export class IdentityError extends Error {
  readonly code: IdentityErrorCode;

  constructor(code: IdentityErrorCode, message: string) {
    super(message);
    this.name = 'IdentityError';
    this.code = code;
  }
}
