import sodium from 'sodium-native';
import { IdentityError } from '../errors.js';
import { asBuffer } from './as-buffer.js';
import { decodeSeed, encodePublicKey, encodeSeed, KEY_BYTES, type KeyKind, parsePublicKey } from './nkey.js';
import { wipeable } from './wipeable.js';

/**
 * A key pair whose secret half lives in locked memory (`sodium_malloc`: outside the heap, never swapped, guarded)
 * until `wipe`. Made by `createKeyPair` or `keyPairFromSeed`.
 */
export class KeyPair {
  readonly kind: KeyKind;
  /** The public key's text, such as `N…` for a server. */
  readonly publicKey: string;
  readonly #secret: sodium.SecureBuffer;
  #wiped = false;

  /** @internal Copies the seed's bytes, which stay the caller's to wipe. */
  constructor(kind: KeyKind, seed: Buffer) {
    const publicBytes = Buffer.alloc(KEY_BYTES);
    if (kind === 'curve') {
      this.#secret = sodium.sodium_malloc(KEY_BYTES);
      seed.copy(this.#secret);
      sodium.crypto_scalarmult_base(publicBytes, this.#secret);
    } else {
      // libsodium's secret key is the seed followed by the public key.
      this.#secret = sodium.sodium_malloc(sodium.crypto_sign_SECRETKEYBYTES);
      sodium.crypto_sign_seed_keypair(publicBytes, this.#secret, seed);
    }
    this.kind = kind;
    this.publicKey = encodePublicKey(kind, publicBytes);
  }

  /**
   * Signs `message` and returns the 64 bytes of the Ed25519 signature.
   *
   * @throws IdentityError `wrong_key_kind` for a curve key, which cannot sign; `key_wiped`.
   */
  sign(message: Uint8Array): Uint8Array {
    if (this.kind === 'curve')
      throw new IdentityError('wrong_key_kind', 'a curve key seals and opens; it cannot sign');
    const signature = Buffer.alloc(sodium.crypto_sign_BYTES);
    sodium.crypto_sign_detached(signature, asBuffer(message), this.#live());
    return new Uint8Array(signature.buffer, signature.byteOffset, signature.length);
  }

  /**
   * Lends the secret half of a curve key to a computation, in place.
   *
   * @internal
   * @throws IdentityError `wrong_key_kind` for a key that signs; `key_wiped`
   */
  withCurveSecret<T>(use: (secret: Buffer) => T): T {
    if (this.kind !== 'curve') {
      throw new IdentityError('wrong_key_kind', 'this key signs; only curve keys (X…) seal and open');
    }
    return use(this.#live());
  }

  /**
   * The seed's text as 58 ASCII bytes, for keeping the key; the receiver wipes them.
   *
   * @throws IdentityError `key_wiped`.
   */
  seed(): Uint8Array {
    return encodeSeed(this.kind, this.#live().subarray(0, KEY_BYTES));
  }

  /** Overwrites the secret half, and gives its memory back. Doing it twice is harmless; signing afterwards is an error. */
  wipe(): void {
    if (this.#wiped) return;
    this.#wiped = true;
    // Left to the garbage collector, pairs made one after the other use up what memory can be locked.
    (sodium as unknown as FreesMemory).sodium_free(this.#secret);
  }

  [Symbol.dispose](): void {
    this.wipe();
  }

  #live(): sodium.SecureBuffer {
    if (this.#wiped) throw new IdentityError('key_wiped', 'this key pair is wiped and can no longer be used');
    return this.#secret;
  }
}

/** Makes a new key pair from libsodium's randomness. */
export function createKeyPair(kind: KeyKind): KeyPair {
  const seed = wipeable(KEY_BYTES);
  sodium.randombytes_buf(seed);
  return consumeSeed(kind, seed);
}

/**
 * Reads a key pair from its seed's text. Bytes are its ASCII characters and stay the caller's, who wipes them; a
 * string cannot be wiped.
 *
 * @throws IdentityError `malformed_key`, `key_checksum`; `wrong_key_kind` for anything but a seed.
 */
export function keyPairFromSeed(seed: Uint8Array | string): KeyPair {
  const { kind, bytes } = decodeSeed(typeof seed === 'string' ? new TextEncoder().encode(seed) : seed);
  return consumeSeed(kind, bytes);
}

/**
 * Makes the key pair of a seed's bare 32 bytes, for a caller that keeps them in a format of its own. They stay the
 * caller's, who wipes them.
 *
 * @throws IdentityError `malformed_key` for any other number of bytes.
 */
export function keyPairFromBytes(kind: KeyKind, seed: Uint8Array): KeyPair {
  if (seed.length !== KEY_BYTES) {
    throw new IdentityError('malformed_key', `the bytes of a seed are exactly ${KEY_BYTES}`);
  }
  return new KeyPair(kind, asBuffer(seed));
}

/**
 * The public key that belongs to a seed.
 *
 * @throws IdentityError as `keyPairFromSeed`.
 */
export function publicKeyOf(seed: Uint8Array | string): string {
  using pair = keyPairFromSeed(seed);
  return pair.publicKey;
}

/**
 * Tells whether `signature` is that of `message` by the holder of `publicKey`. Whatever is not such a signature,
 * of any length, is false.
 *
 * @throws IdentityError when the key itself is malformed, or is a curve key.
 */
export function verify(publicKey: string, message: Uint8Array, signature: Uint8Array): boolean {
  const { kind, bytes } = parsePublicKey(publicKey);
  if (kind === 'curve') throw new IdentityError('wrong_key_kind', 'a curve key cannot have signed anything');
  if (signature.length !== sodium.crypto_sign_BYTES) return false;
  return sodium.crypto_sign_verify_detached(asBuffer(signature), asBuffer(message), asBuffer(bytes));
}

/** What the types of sodium-native leave out. It overwrites the memory, then gives it back. */
interface FreesMemory {
  sodium_free(buffer: sodium.SecureBuffer): void;
}

function consumeSeed(kind: KeyKind, seed: Buffer): KeyPair {
  try {
    return new KeyPair(kind, seed);
  } finally {
    sodium.sodium_memzero(seed);
  }
}
