import sodium from 'sodium-native';

import { KEY_BYTES } from './aead.js';
import { secureBuffer, wipe } from './secure-memory.js';

/**
 * The text of a curve key (xkey): base32 of a prefix, the 32 bytes of the key and a CRC-16/XMODEM, little-endian. A public key's
 * prefix is one byte and makes it begin with `X`, a seed's two and `SX`.
 *
 * Source of the format: nats-io/nkeys.
 */
const PUBLIC_PREFIX = [23 << 3];
const SEED_PREFIX = [
  (18 << 3) | ((PUBLIC_PREFIX[0] as number) >> 5),
  ((PUBLIC_PREFIX[0] as number) & 31) << 3,
];
const CHECKSUM_BYTES = 2;
const SEED_LENGTH = 58;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const PUBLIC_FORM = /^X[A-Z2-7]{55}$/;

/** Whether it looks like one: letter, length and alphabet. */
export const isPublicXkey = (text: string): boolean => PUBLIC_FORM.test(text);

/** The public key of a seed's 32 bytes. */
export function publicXkeyOf(seed: Uint8Array): string {
  const secret = secureBuffer(KEY_BYTES);
  const key = Buffer.alloc(KEY_BYTES);
  secret.set(seed);
  sodium.crypto_scalarmult_base(key, secret);
  wipe(secret);
  return publicKeyText(PUBLIC_PREFIX, key);
}

/** The text of a public key of any kind. @param prefix its one byte, of which the letter comes that it begins with */
export function publicKeyText(prefix: readonly number[], key: Uint8Array): string {
  const raw = Buffer.alloc(prefix.length + KEY_BYTES + CHECKSUM_BYTES);
  const checked = raw.subarray(0, -CHECKSUM_BYTES);
  raw.set(prefix);
  raw.set(key, prefix.length);
  raw.writeUInt16LE(crc16(checked), checked.length);
  return encodeBase32(raw);
}

/** The 32 bytes of a seed, in locked memory, from its ASCII characters; undefined for what is no xkey's seed. */
export function xkeySeedBytes(characters: Uint8Array): Buffer | undefined {
  if (characters.length !== SEED_LENGTH) return undefined;
  const raw = secureBuffer(SEED_PREFIX.length + KEY_BYTES + CHECKSUM_BYTES);
  try {
    const checked = raw.subarray(0, -CHECKSUM_BYTES);
    const whole =
      decodeBase32(characters, raw) &&
      SEED_PREFIX.every((byte, index) => raw[index] === byte) &&
      raw.readUInt16LE(checked.length) === crc16(checked);
    if (!whole) return undefined;
    const seed = secureBuffer(KEY_BYTES);
    raw.copy(seed, 0, SEED_PREFIX.length, checked.length);
    return seed;
  } finally {
    wipe(raw);
  }
}

/** CRC-16/XMODEM: polynomial 0x1021, start 0. */
function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1;
    crc &= 0xffff;
  }
  return crc;
}

/** Of a multiple of five bits, as all keys are that are encoded here; without padding. */
function encodeBase32(bytes: Uint8Array): string {
  let text = '';
  let bits = 0;
  let count = 0;
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xfff;
    for (count += 8; count >= 5; count -= 5) text += ALPHABET[(bits >> (count - 5)) & 31];
  }
  return text;
}

/** False unless `out` is filled by upper-case digits, with no bit left over that is set. */
function decodeBase32(digits: Uint8Array, out: Uint8Array): boolean {
  let bits = 0;
  let count = 0;
  let at = 0;
  for (const digit of digits) {
    const value = ALPHABET.indexOf(String.fromCharCode(digit));
    if (value < 0) return false;
    bits = ((bits << 5) | value) & 0xfff;
    count += 5;
    if (count < 8) continue;
    count -= 8;
    out[at++] = bits >> count;
  }
  return at === out.length && (bits & ((1 << count) - 1)) === 0;
}
