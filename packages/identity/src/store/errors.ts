import { IdentityError } from '../errors.js';

/**
 * What can be wrong with nsc's folders and what is asked of them:
 *
 * - `no_store` (there is no operator, or it is not clear which), `not_found` (no such account, user or key), `exists`;
 * - `invalid_name` (cannot be the name of a file here);
 * - `damaged_store` (a file holds something else than its name says), `file_failed` (the operating system refuses);
 * - `no_signer` (no key that may sign is in the key folder), `wrong_signer` (this key may not sign that), `no_key` (what `-K`
 *   names is no key);
 * - `store_busy` (another command changes this store, and does not come to an end),
 *   `clock_behind` (a token here is from the future), `rotation_begun` (it ended half-way, and is to be run again).
 */
export type StoreErrorCode =
  | 'no_store'
  | 'not_found'
  | 'exists'
  | 'invalid_name'
  | 'damaged_store'
  | 'file_failed'
  | 'no_signer'
  | 'wrong_signer'
  | 'no_key'
  | 'store_busy'
  | 'clock_behind'
  | 'rotation_begun';

/** An error of the store. Its message is a sentence for people, and never holds a seed or a token. */
export class StoreError extends IdentityError<StoreErrorCode> {}
