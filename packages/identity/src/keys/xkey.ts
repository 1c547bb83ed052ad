import sodium from 'sodium-native';
import { IdentityError } from '../errors.js';
import { asBuffer } from './as-buffer.js';
import type { KeyPair } from './key-pair.js';
import { encodePublicKey, KEY_BYTES, parsePublicKey } from './nkey.js';
import { wipeable } from './wipeable.js';

/**
 * Boxes of xkeys, from one curve key to another: `xkv1` ‖ nonce (24) ‖ NaCl `crypto_box` (X25519, XSalsa20-Poly1305).
 *
 * Source of the format: nats-io/nkeys, xkeys.
 */
const VERSION = Buffer.from('xkv1');
const NONCE_END = VERSION.length + sodium.crypto_box_NONCEBYTES;
/** What a box has more than its plaintext, in bytes. */
export const BOX_OVERHEAD = NONCE_END + sodium.crypto_box_MACBYTES;

/**
 * Seals `plaintext` from `sender` to the holder of the public curve key `recipient`, under a fresh random nonce.
 *
 * @returns {@link BOX_OVERHEAD} bytes more than the plaintext
 * @throws IdentityError `wrong_key_kind` if one of the keys is no curve key, `key_wiped`, and as `parsePublicKey`
 */
export function seal(plaintext: Uint8Array, sender: KeyPair, recipient: string): Uint8Array {
  const box = Buffer.allocUnsafe(plaintext.length + BOX_OVERHEAD);
  VERSION.copy(box);
  const nonce = box.subarray(VERSION.length, NONCE_END);
  sodium.randombytes_buf(nonce);
  const to = curveKey(recipient);
  sender.withCurveSecret((secret) =>
    sodium.crypto_box_easy(box.subarray(NONCE_END), asBuffer(plaintext), nonce, to, secret),
  );
  return box;
}

/** A box, and the public curve key that it comes from. */
export interface FreshBox {
  readonly box: Uint8Array;
  readonly sender: string;
}

/**
 * Seals `plaintext` to the holder of the public curve key `recipient` as {@link seal} does, from a key that is made for this box
 * alone and is gone with it. At half the cost of making a key pair for it: its secret half lives for microseconds, in memory
 * that is wiped, and needs no locked page of its own.
 *
 * @throws IdentityError `wrong_key_kind` if the recipient is no curve key, and as `parsePublicKey`
 */
export function sealFresh(plaintext: Uint8Array, recipient: string): FreshBox {
  const to = curveKey(recipient);
  const box = Buffer.allocUnsafe(plaintext.length + BOX_OVERHEAD);
  const random = wipeable(KEY_BYTES + sodium.crypto_box_NONCEBYTES);
  try {
    sodium.randombytes_buf(random);
    const secret = random.subarray(0, KEY_BYTES);
    const from = Buffer.allocUnsafe(KEY_BYTES);
    sodium.crypto_scalarmult_base(from, secret);
    const nonce = random.subarray(KEY_BYTES);
    VERSION.copy(box);
    nonce.copy(box, VERSION.length);
    sodium.crypto_box_easy(box.subarray(NONCE_END), asBuffer(plaintext), nonce, to, secret);
    return { box, sender: encodePublicKey('curve', from) };
  } finally {
    random.fill(0);
  }
}

/**
 * Opens a box that the holder of the public curve key `sender` sealed to `recipient`. The plaintext is the caller's, who
 * wipes it.
 *
 * @throws IdentityError `malformed_box`; `open_failed` for a box of others, or a changed one; as {@link seal}
 */
export function open(box: Uint8Array, recipient: KeyPair, sender: string): Uint8Array {
  const bytes = asBuffer(box);
  if (bytes.length < BOX_OVERHEAD || !bytes.subarray(0, VERSION.length).equals(VERSION)) {
    throw new IdentityError(
      'malformed_box',
      'this is no xkey box: it starts with xkv1, a nonce and an authenticator',
    );
  }
  const plaintext = Buffer.alloc(bytes.length - BOX_OVERHEAD);
  const from = curveKey(sender);
  const nonce = bytes.subarray(VERSION.length, NONCE_END);
  const opened = recipient.withCurveSecret((secret) =>
    sodium.crypto_box_open_easy(plaintext, bytes.subarray(NONCE_END), nonce, from, secret),
  );
  if (!opened) {
    throw new IdentityError(
      'open_failed',
      'the box does not open: it is for another key, from another key, or changed',
    );
  }
  return plaintext;
}

function curveKey(text: string): Buffer {
  const { kind, bytes } = parsePublicKey(text);
  if (kind !== 'curve') throw new IdentityError('wrong_key_kind', 'only curve keys (X…) seal and open');
  return asBuffer(bytes);
}
