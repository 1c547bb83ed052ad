import sodium from 'sodium-native';

import { asBuffer } from '../bytes.js';
import type { RandomPool } from './random-pool.js';

/**
 * XChaCha20-Poly1305 (IETF, libsodium; draft-irtf-cfrg-xchacha-03). The nonce is random: at 24 bytes no counting of
 * messages is needed.
 */
export const KEY_BYTES = 32;
export const NONCE_BYTES = 24;
export const TAG_BYTES = 16;

/** Writes nonce ‖ ciphertext ‖ tag into `output` at `offset`; it needs `NONCE_BYTES + TAG_BYTES` more than the plaintext. */
export function sealInto(
  output: Buffer,
  offset: number,
  plaintext: Uint8Array,
  associatedData: Uint8Array,
  key: Buffer,
  random: RandomPool,
): void {
  const nonce = output.subarray(offset, offset + NONCE_BYTES);
  random.fill(nonce);
  sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    output.subarray(offset + NONCE_BYTES, offset + NONCE_BYTES + plaintext.length + TAG_BYTES),
    asBuffer(plaintext),
    asBuffer(associatedData),
    null,
    nonce,
    key,
  );
}

/** Opens nonce ‖ ciphertext ‖ tag into `plaintext`; false if the tag does not fit the bytes, the data or the key. */
export function openInto(
  plaintext: Buffer,
  sealed: Uint8Array,
  associatedData: Uint8Array,
  key: Buffer,
): boolean {
  const box = asBuffer(sealed);
  if (box.length !== plaintext.length + NONCE_BYTES + TAG_BYTES) return false;
  try {
    sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(
      plaintext,
      null,
      box.subarray(NONCE_BYTES),
      asBuffer(associatedData),
      box.subarray(0, NONCE_BYTES),
      key,
    );
    return true;
  } catch {
    return false;
  }
}
