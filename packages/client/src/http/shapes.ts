import { CofferClientError } from '../errors.js';
import { decodeBase64 } from '../secret/base64.js';
import type { SecretBytes } from '../secret/secret-bytes.js';

/**
 * Of what the server's answers are made. What is not as it should be is `bad_answer` with the path of the field; messages name fields,
 * never what stands in them.
 */

/** Makes of a piece of an answer a type that cannot be wrong; `path` is where in the answer it stands. */
export type Shape<T> = (value: unknown, path: string) => T;

const MAX_VERSION = 2 ** 32 - 1;

/** Reads an answer's body. The parser's own error is dropped: it quotes the text, which may be a secret. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw malformed('the body', 'JSON');
  }
}

/** An object of these fields; what else it has is left out, and so are fields that are undefined. setec writes a first letter large. */
export function record<T>(fields: { readonly [K in keyof T]-?: Shape<T[K]> }): Shape<T> {
  return (value, path) => {
    const given = object(value, path);
    const taken: Partial<T> = {};
    for (const key of Object.keys(fields) as (keyof T & string)[]) {
      const large = key.replace(/^./, (letter) => letter.toUpperCase());
      const field = fields[key](given[key] ?? given[large], `${path}.${key}`);
      if (field !== undefined) taken[key] = field;
    }
    return taken as T;
  };
}

export function list<T>(item: Shape<T>): Shape<T[]> {
  return (value, path) => {
    if (!Array.isArray(value)) throw malformed(path, 'a list');
    return value.map((each, index) => item(each, `${path}[${index}]`));
  };
}

/** One field of an object. */
export const inside =
  <T>(key: string, shape: Shape<T>): Shape<T> =>
  (value, path) =>
    shape(object(value, path)[key], `${path}.${key}`);

/** In place of nothing, as which Go writes what is empty, `instead` is read. */
export const or =
  <T>(shape: Shape<T>, instead: unknown): Shape<T> =>
  (value, path) =>
    shape(value ?? instead, path);

/** A text of this form. */
export const formed =
  (form: RegExp, what: string): Shape<string> =>
  (value, path) => {
    if (typeof value !== 'string' || !form.test(value)) throw malformed(path, what);
    return value;
  };

export const string = formed(/^/, 'a string');
/** What ids, keys and codes look like: they go to terminals and into commands as they are. */
export const errorCode = formed(/^[a-z][a-z0-9_]{0,63}$/, 'an error code');
/** A version's number. */
export const version: Shape<number> = (value, path) => {
  if (!isWhole(value) || value < 1 || value > MAX_VERSION) throw malformed(path, 'a version number');
  return value;
};

export function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(path, 'an object');
  return value as Record<string, unknown>;
}

export const bytes: Shape<SecretBytes> = (value, path) => {
  const decoded = decodeBase64(value);
  if (!decoded) throw malformed(path, 'base64');
  return decoded;
};

export const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);

export function malformed(path: string, expected: string): CofferClientError {
  return new CofferClientError(
    'bad_answer',
    `the server's answer is malformed: ${path} is not ${expected}; is this the address of a coffer server?`,
  );
}
