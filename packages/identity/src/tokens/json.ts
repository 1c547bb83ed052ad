/**
 * JSON as Go's encoding/json reads and writes it, where JavaScript differs: whole numbers of 64 bits are kept to the digit
 * (as `bigint` beyond 2⁵³), and `<`, `>`, `&`, U+2028 and U+2029 are escaped. What `jti` hashes hangs on the latter.
 *
 * Source: Go's encoding/json, `Marshal`.
 */
export type Json =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly Json[]
  | { readonly [key: string]: Json };

/** A whole number, exactly. */
export type Int = number | bigint;

const STRING_OR_INTEGER = /"(?:[^"\\]|\\.)*"|-?\d{16,}(?![\d.eE])/g;
/** Stands before the digits of a large number while `JSON.parse` is at work; no escape-free string of JSON can begin so. */
const MARK = '\u0000int:';

/** @throws SyntaxError */
export function parseJson(text: string): Json {
  const marked = text.replace(STRING_OR_INTEGER, (token) =>
    token.startsWith('"') ? token : JSON.stringify(MARK + token),
  );
  if (marked === text) return JSON.parse(text) as Json;
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === 'string' && value.startsWith(MARK) ? integer(value.slice(MARK.length)) : value,
  ) as Json;
}

function integer(digits: string): Int {
  if (!/^-?\d+$/.test(digits)) throw new SyntaxError('a string that begins with a NUL');
  const value = BigInt(digits);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** Writes JSON; what is `undefined` in an object is left out. */
export function goJson(value: Json | undefined): string {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return goString(value);
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(goJson).join(',')}]`;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields.map(([key, field]) => `${goString(key)}:${goJson(field)}`).join(',')}}`;
}

const goString = (text: string): string =>
  JSON.stringify(text).replace(
    /[<>&\u2028\u2029]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
