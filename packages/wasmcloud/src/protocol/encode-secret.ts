import { isUtf8 } from 'node:buffer';
import type { Secret } from '../backend/options.js';

type Value = Pick<Secret, 'kind' | 'value'>;

/**
 * Writes `{"secret":{…}}` with a value, and never makes a string of it: strings cannot be wiped. Whoever gets the bytes wipes
 * them.
 *
 * @throws TypeError for a string that is no UTF-8
 */
export function encodeSecret({ version, kind, value }: Secret): Buffer {
  return encode(`{"secret":{"version":${JSON.stringify(version)},`, { kind, value }, '}}');
}

/** Writes a request to put a value, in the same way. */
export function encodePut(key: string, value: Value): Buffer {
  return encode(`{"key":${JSON.stringify(key)},"version":"",`, value, '}');
}

function encode(head: string, { kind, value }: Value, tail: string): Buffer {
  if (kind === 'string' && !isUtf8(value)) throw new TypeError('the value of a string secret is no UTF-8');
  const [before, after] =
    kind === 'string'
      ? [`${head}"string_secret":"`, `","binary_secret":null${tail}`]
      : [`${head}"string_secret":null,"binary_secret":[`, `]${tail}`];
  const middle = kind === 'string' ? escapedLength(value) : listLength(value);
  const start = Buffer.byteLength(before);
  const bytes = Buffer.from(new ArrayBuffer(start + middle + after.length));
  bytes.write(before);
  if (middle === value.length && kind === 'string') bytes.set(value, start);
  else if (kind === 'string') writeEscaped(value, bytes, start);
  else writeList(value, bytes, start);
  bytes.write(after, start + middle);
  return bytes;
}

const BACKSLASH = 0x5c;
const SPACE = 0x20;
const COMMA = 0x2c;
const ZERO = 0x30;
/** The second character of the short escapes. */
const SHORT = new Map([...'\b\t\n\f\r"\\'].map((char, i) => [char.charCodeAt(0), 'btnfr"\\'.charCodeAt(i)]));
const HEX = Buffer.from('0123456789abcdef');
const U00 = Buffer.from('\\u00');

/** How many bytes more each byte takes: a table, since a long value is all that this costs. */
const EXTRA = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (SHORT.has(byte)) return 1;
  return byte < SPACE ? 5 : 0;
});

function escapedLength(value: Uint8Array): number {
  let length = value.length;
  for (let i = 0; i < value.length; i++) length += EXTRA[value[i] as number] as number;
  return length;
}

/** As RFC 8259 asks, and no more: bytes of UTF-8 beyond ASCII stand for themselves. */
function writeEscaped(value: Uint8Array, into: Buffer, start: number): void {
  let at = start;
  for (let i = 0; i < value.length; i++) {
    const byte = value[i] as number;
    const extra = EXTRA[byte];
    if (extra === 0) {
      into[at++] = byte;
    } else if (extra === 1) {
      into[at++] = BACKSLASH;
      into[at++] = SHORT.get(byte) as number;
    } else {
      at += U00.copy(into, at);
      into[at++] = HEX[byte >> 4] as number;
      into[at++] = HEX[byte & 15] as number;
    }
  }
}

function listLength(value: Uint8Array): number {
  let length = Math.max(0, value.length - 1);
  for (const byte of value) length += byte < 10 ? 1 : byte < 100 ? 2 : 3;
  return length;
}

function writeList(value: Uint8Array, into: Buffer, start: number): void {
  let at = start;
  for (const byte of value) {
    if (at > start) into[at++] = COMMA;
    if (byte >= 100) into[at++] = ZERO + Math.floor(byte / 100);
    if (byte >= 10) into[at++] = ZERO + (Math.floor(byte / 10) % 10);
    into[at++] = ZERO + (byte % 10);
  }
}
