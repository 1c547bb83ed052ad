import { masked } from './masked.js';

/**
 * What can be wrong with a key, a box, a token or a proof:
 *
 * - keys: `malformed_key` (wrong length, a character outside base32, stray bits at the end, an unknown prefix),
 *   `key_checksum` (well formed, but mistyped or damaged), `wrong_key_kind` (a seed where a public key is wanted, a curve key
 *   where a signing key is), `key_wiped` (the key pair's memory is wiped already);
 * - boxes: `malformed_box`, `open_failed` (another recipient's, another sender's, or changed on the way);
 * - tokens: `malformed_token`, `token_too_large`, `unsupported_token` (of a version or an algorithm that is not read),
 *   `bad_signature`, `wrong_issuer_kind` (a key of this kind may not sign such a token), `wrong_token_kind` (a user's where an
 *   account's is wanted), `invalid_claims` (what is to be written cannot be);
 * - files: `malformed_creds`;
 * - proofs: `malformed_proof`, `malformed_audience` (no server's URL), `proof_signature` (not by the user's key),
 *   `proof_audience` (for another server), `proof_expired`, `proof_too_long_lived`, `proof_request` (bound to another request,
 *   or to none where one is wanted).
 */
export type IdentityErrorCode =
  | 'malformed_key'
  | 'key_checksum'
  | 'wrong_key_kind'
  | 'key_wiped'
  | 'malformed_box'
  | 'open_failed'
  | 'malformed_token'
  | 'token_too_large'
  | 'unsupported_token'
  | 'bad_signature'
  | 'wrong_issuer_kind'
  | 'wrong_token_kind'
  | 'invalid_claims'
  | 'malformed_creds'
  | 'malformed_proof'
  | 'malformed_audience'
  | 'proof_signature'
  | 'proof_audience'
  | 'proof_expired'
  | 'proof_too_long_lived'
  | 'proof_request';

/**
 * The one family of errors of this package. Programs match on `code`; a message never holds a seed or a token, even if it
 * quotes what somebody wrote.
 */
export class IdentityError<Code extends string = IdentityErrorCode> extends Error {
  readonly code: Code;

  constructor(code: Code, message: string, options?: ErrorOptions) {
    super(masked(message), options);
    this.name = 'IdentityError';
    this.code = code;
  }
}
