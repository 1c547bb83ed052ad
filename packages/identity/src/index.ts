/**
 * Who: NATS identities. Today their keys (nkeys), with which the server signs its audit log's checkpoints.
 *
 * All cryptography is libsodium's; a secret half lives in locked memory and is wiped. A key that is not exactly
 * right is an `IdentityError`, whatever is wrong with it.
 */
export { IdentityError, type IdentityErrorCode } from './errors.js';
export {
  createKeyPair,
  type KeyPair,
  keyPairFromBytes,
  keyPairFromSeed,
  publicKeyOf,
  verify,
} from './key-pair.js';
export { encodePublicKey, type KeyKind, type PublicKey, parsePublicKey } from './nkey.js';
