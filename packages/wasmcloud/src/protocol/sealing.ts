import { BOX_OVERHEAD, IdentityError, type KeyPair, open, parsePublicKey, sealFresh } from '@coffer/identity';
import { SecretsError } from './errors.js';

/** A sealed answer: the box, and the public key that it comes from. */
export interface SealedAnswer {
  readonly box: Uint8Array;
  readonly responseXkey: string;
}

/** Whether a text is the public xkey of somebody. */
export function isXkey(text: string): boolean {
  try {
    return parsePublicKey(text).kind === 'curve';
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}

/**
 * Seals an answer from a key that is made for it alone, and wipes the plaintext.
 *
 * @throws SecretsError `EncryptionError`
 */
export function sealAnswer(plaintext: Uint8Array, hostXkey: string): SealedAnswer {
  try {
    const { box, sender } = sealFresh(plaintext, hostXkey);
    return { box, responseXkey: sender };
  } catch (error) {
    throw new SecretsError('EncryptionError', '', { cause: error });
  } finally {
    plaintext.fill(0);
  }
}

/** Whether bytes have the form of a box, which shows at once; whether it opens is dear to find out. */
export const isBox = (bytes: Uint8Array): boolean =>
  bytes.length >= BOX_OVERHEAD &&
  Buffer.from(bytes.buffer, bytes.byteOffset, 4).toString('latin1') === 'xkv1';

/** Opens a box; undefined: it is none, or not for this key, or not from that one. */
export function openBox(box: Uint8Array, recipient: KeyPair, sender: string): Uint8Array | undefined {
  try {
    return open(box, recipient, sender);
  } catch (error) {
    if (error instanceof IdentityError && (error.code === 'open_failed' || error.code === 'malformed_box')) {
      return undefined;
    }
    throw error;
  }
}
