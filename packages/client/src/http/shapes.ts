import { CofferClientError } from '../errors.js';
import { decodeBase64 } from '../secret/base64.js';
import type { SecretBytes } from '../secret/secret-bytes.js';

/**
 * Of what the server's answers are made. What is not as it should be is `bad_answer` with the path of the field; messages name fields,
 * never what stands in them.
 */

const MAX_VERSION = 2 ** 32 - 1;
/** What ids, keys and codes look like: they go to terminals and into commands as they are. */
const ID_128 = /^[0-9a-f]{32}$/;
const SERVER_KEY = /^N[A-Z2-7]{55}$/;
const CODE = /^[a-z][a-z0-9_]{0,63}$/;
const WORD = /^[\x21-\x7e]{1,256}$/;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Reads an answer's body. The parser's own error is dropped: it quotes the text, which may be a secret. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw malformed('the body', 'JSON');
  }
}

/** A bare version number, as `put` answers. */
export function version(value: unknown, path = 'the body'): number {
  if (!isWhole(value) || value < 1 || value > MAX_VERSION) throw malformed(path, 'a version number');
  return value;
}

export function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(path, 'an object');
  return value as Record<string, unknown>;
}

export function list<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
  if (!Array.isArray(value)) throw malformed(path, 'a list');
  return value.map((each, index) => item(each, `${path}[${index}]`));
}

export function string(value: unknown, path: string): string {
  if (typeof value !== 'string') throw malformed(path, 'a string');
  return value;
}

export function formed(value: unknown, path: string, form: RegExp, what: string): string {
  if (typeof value !== 'string' || !form.test(value)) throw malformed(path, what);
  return value;
}

export function errorCode(value: unknown, path: string): string {
  return formed(value, path, CODE, 'an error code');
}

/** Printable ASCII without a space: the version of a server, a token, a kind. */
export function word(value: unknown, path: string): string {
  return formed(value, path, WORD, 'a word of printable characters');
}

/** Of a store or a backup. */
export function id128(value: unknown, path: string): string {
  return formed(value, path, ID_128, 'an id of 32 digits in hex');
}

export function serverKey(value: unknown, path: string): string {
  return formed(value, path, SERVER_KEY, 'the public key of a server');
}

export function whole(value: unknown, path: string): number {
  if (!isWhole(value) || value < 0) throw malformed(path, 'a whole number');
  return value;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

export function date(value: unknown, path: string): Date {
  const parsed = new Date(typeof value === 'string' && RFC_3339.test(value) ? value : Number.NaN);
  if (Number.isNaN(parsed.getTime())) throw malformed(path, 'an RFC 3339 time');
  return parsed;
}

export function bytes(value: unknown, path: string): SecretBytes {
  const decoded = decodeBase64(value);
  if (!decoded) throw malformed(path, 'base64');
  return decoded;
}

export function malformed(path: string, expected: string): CofferClientError {
  return new CofferClientError(
    'bad_answer',
    `the server's answer is malformed: ${path} is not ${expected}; is this the address of a coffer server?`,
  );
}
