const ALPHABET = new TextEncoder().encode('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567');

/** Five-bit value of each byte that is a base32 digit; 255 for every other byte. */
const DIGITS = new Uint8Array(256).fill(255);
for (const [value, char] of ALPHABET.entries()) DIGITS[char] = value;

/** How many digits `byteLength` bytes take in base32 without padding. */
export const base32Length = (byteLength: number): number => Math.ceil((byteLength * 8) / 5);

/** Writes `bytes` as base32 digits (RFC 4648, ASCII, no padding) into `out`, `base32Length` bytes long. */
export function encodeBase32(bytes: Uint8Array, out: Uint8Array): void {
  let bits = 0;
  let count = 0;
  let at = 0;
  for (const byte of bytes) {
    bits = ((bits << 8) | byte) & 0xfff;
    for (count += 8; count >= 5; count -= 5) out[at++] = digit(bits >> (count - 5));
  }
  if (count > 0) out[at] = digit(bits << (5 - count));
}

/**
 * Reads base32 digits into `out` and tells whether they were its one and only encoding: the right number of
 * digits, upper case, and no bit set after the last byte.
 */
export function decodeBase32(digits: Uint8Array, out: Uint8Array): boolean {
  if (digits.length !== base32Length(out.length)) return false;
  let bits = 0;
  let count = 0;
  let at = 0;
  for (const char of digits) {
    const value = DIGITS[char] as number;
    if (value === 255) return false;
    bits = ((bits << 5) | value) & 0xfff;
    count += 5;
    if (count >= 8) {
      count -= 8;
      out[at++] = bits >> count;
    }
  }
  return (bits & ((1 << count) - 1)) === 0;
}

const digit = (value: number): number => ALPHABET[value & 31] as number;

/** The same as text. */
export function encodeBase32Text(bytes: Uint8Array): string {
  const out = new Uint8Array(base32Length(bytes.length));
  encodeBase32(bytes, out);
  return new TextDecoder().decode(out);
}
