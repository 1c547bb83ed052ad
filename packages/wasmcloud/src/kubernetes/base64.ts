const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/');
const NONE = 0xff;
const VALUES = new Uint8Array(256).fill(NONE);
for (const [value, letter] of ALPHABET.entries()) VALUES[letter] = value;
const PADDING = 0x3d;

/**
 * Decodes base64 (RFC 4648, padded) from bytes to bytes: Node's own way leads over a string, which cannot be wiped.
 *
 * @returns undefined for what is no base64
 */
export function decodeBase64(text: Uint8Array): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined;
  const padding = text.at(-1) !== PADDING ? 0 : text.at(-2) !== PADDING ? 1 : 2;
  const letters = text.length - padding;
  const out = new Uint8Array((text.length / 4) * 3 - padding);
  let at = 0;
  let group = 0;
  let bits = 0;
  for (let i = 0; i < letters; i++) {
    const value = VALUES[text[i] as number] as number;
    if (value === NONE) return undefined;
    group = ((group << 6) | value) & 0xfff;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out[at++] = group >> bits;
  }
  return out;
}
