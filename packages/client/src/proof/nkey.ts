import { invalid } from '../errors.js';

/**
 * The text form of a user's keys in NATS: base32 (RFC 4648, no padding) of prefix, 32 bytes and CRC-16/XMODEM,
 * little-endian. A public key has one byte of prefix and begins with `U`, a seed two and begins with `SU`.
 *
 * Source: nats-io/nkeys. Tested against packages/identity, which knows every kind of key.
 */
const USER = 20 << 3;
const SEED = 18 << 3;
const SEED_PREFIX = [SEED | (USER >> 5), (USER & 31) << 3] as const;

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const KEY_BYTES = 32;
const CHECKSUM_BYTES = 2;

/**
 * The 32 secret bytes of a user's seed, for the receiver to wipe.
 *
 * @param characters the seed's 58 ASCII characters, which stay the caller's
 * @throws CofferClientError `invalid_argument`, with nothing of the seed in it
 */
export function decodeUserSeed(characters: Uint8Array): Buffer {
  const raw = wipeable(SEED_PREFIX.length + KEY_BYTES + CHECKSUM_BYTES);
  try {
    if (!decodeBase32(characters, raw)) throw badSeed('it has 58 characters, A to Z and 2 to 7');
    const checked = raw.length - CHECKSUM_BYTES;
    if (raw.readUInt16LE(checked) !== crc16(raw.subarray(0, checked)))
      throw badSeed('it is mistyped or damaged');
    if (raw[0] !== SEED_PREFIX[0] || raw[1] !== SEED_PREFIX[1]) throw badSeed('it begins with SU');
    const bytes = wipeable(KEY_BYTES);
    raw.copy(bytes, 0, SEED_PREFIX.length, checked);
    return bytes;
  } finally {
    raw.fill(0);
  }
}

/** The text of a user's public key. */
export function encodeUserKey(bytes: Uint8Array): string {
  const raw = Buffer.concat([Buffer.of(USER), bytes, Buffer.alloc(CHECKSUM_BYTES)]);
  const checked = raw.length - CHECKSUM_BYTES;
  raw.writeUInt16LE(crc16(raw.subarray(0, checked)), checked);
  return encodeBase32(raw);
}

/** Short-lived memory for secret bytes: a small typed array's would be copied about by the garbage collector. */
export const wipeable = (length: number): Buffer => Buffer.from(new ArrayBuffer(length));

/** Whether the digits are the one encoding of bytes that fill `out`, which they then do. */
function decodeBase32(digits: Uint8Array, out: Uint8Array): boolean {
  if (digits.length !== Math.ceil((out.length * 8) / 5)) return false;
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
  return (bits & ((1 << count) - 1)) === 0;
}

/** For lengths whose bits are a multiple of five, as a public key's are. */
function encodeBase32(bytes: Uint8Array): string {
  let bits = 0;
  let count = 0;
  let text = '';
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xfff;
    for (count += 8; count >= 5; count -= 5) text += ALPHABET[(bits >> (count - 5)) & 31];
  }
  return text;
}

function crc16(bytes: Uint8Array): number {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000 ? (crc << 1) ^ 0x1021 : crc << 1) & 0xffff;
  }
  return crc;
}

const badSeed = (why: string) => invalid(`the seed in these creds is no user’s: ${why}; make the creds anew`);
