import { CofferError } from './errors.js';

/** setec reserves it for its own settings; nothing is ever written under it. */
const RESERVED_PREFIX = '_internal/';

export interface Limits {
  /** Longest name, in bytes of UTF-8. */
  readonly nameBytes: number;
  /** Largest value, in bytes. */
  readonly valueBytes: number;
}

/** A name of 1–1,024 bytes and a value of up to 1 MiB. */
export const DEFAULT_LIMITS: Limits = { nameBytes: 1_024, valueBytes: 1024 * 1024 };

/** setec's version numbers are unsigned 32-bit. */
export const MAX_VERSION = 0xffff_ffff;

/** @throws CofferError `invalid_name`, `name_too_long` */
export function checkName(name: string, limits: Limits): void {
  if (name === '') throw new CofferError('invalid_name', 'a secret needs a name');
  if (!name.isWellFormed()) throw new CofferError('invalid_name', "the secret's name is not valid Unicode");
  // No character takes more than three bytes a UTF-16 unit: most names need no counting.
  if (name.length * 3 > limits.nameBytes && Buffer.byteLength(name) > limits.nameBytes) {
    throw new CofferError('name_too_long', `the secret's name is longer than ${limits.nameBytes} bytes`);
  }
}

/** @throws CofferError `invalid_name`, `name_too_long`, `reserved_name` */
export function checkWritableName(name: string, limits: Limits): void {
  checkName(name, limits);
  if (name.startsWith(RESERVED_PREFIX)) {
    throw new CofferError('reserved_name', `names that start with ${RESERVED_PREFIX} are reserved`);
  }
}

/** @throws CofferError `value_too_large` */
export function checkValue(value: Uint8Array, limits: Limits): void {
  if (value.length > limits.valueBytes) {
    throw new CofferError('value_too_large', `the value is larger than ${limits.valueBytes} bytes`);
  }
}

/** @throws CofferError `invalid_version` unless it is a whole number from 1 to 2³²−1 */
export function checkVersion(version: number): void {
  if (!Number.isInteger(version) || version < 1 || version > MAX_VERSION) {
    throw new CofferError('invalid_version', `a version is a whole number from 1 to ${MAX_VERSION}`);
  }
}

/** Names or patterns in one line: separated by spaces, and quoted where they could be mistaken for several. */
export const listed = (names: readonly string[]): string =>
  names.map((name) => (/^[^\s"]+$/.test(name) ? name : JSON.stringify(name))).join(' ');

/** Byte order of UTF-8, which differs from JavaScript's order of UTF-16 units beyond the basic plane. */
export function compareNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x === y) continue;
    if (x < 0xd800 || y < 0xd800) return x - y;
    return Buffer.compare(Buffer.from(a), Buffer.from(b));
  }
  return a.length - b.length;
}
