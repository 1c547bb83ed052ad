import { SecretBytes } from './secret-bytes.js';

/** What base64 with padding stands for, in memory of its own, which no pool shares; undefined for anything else. */
export function decodeBase64(value: unknown): SecretBytes | undefined {
  if (typeof value !== 'string' || value.length % 4 !== 0) return undefined;
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0;
  const decoded = new SecretBytes((value.length / 4) * 3 - padding);
  // A character that is not base64 is skipped or ends the decoding, so that bytes are missing.
  return Buffer.from(decoded.buffer).write(value, 'base64') === decoded.length ? decoded : undefined;
}

/** Reads the bytes in place, without a copy that nobody would wipe. */
export function encodeBase64({ buffer, byteOffset, byteLength }: Uint8Array): string {
  return Buffer.from(buffer, byteOffset, byteLength).toString('base64');
}
