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

/** Numbers of fewer digits fit into a `number` to the digit. */
const LONG_DIGITS = 16;
/** Stands before the digits of a large number while `JSON.parse` is at work; no escape-free string of JSON can begin so. */
const MARK = '\u0000int:';

/** @throws SyntaxError */
export function parseJson(text: string): Json {
  const marked = markLongIntegers(text);
  if (marked === text) return JSON.parse(text) as Json;
  return JSON.parse(marked, (_key, value: unknown) =>
    typeof value === 'string' && value.startsWith(MARK) ? integer(value.slice(MARK.length)) : value,
  ) as Json;
}

/**
 * Puts whole numbers of many digits into marked strings, in one pass: what is not JSON costs no more, and is refused by
 * `JSON.parse` afterwards.
 */
function markLongIntegers(text: string): string {
  const pieces: string[] = [];
  let taken = 0;
  for (let at = 0; at < text.length; ) {
    const char = text.charCodeAt(at);
    if (char === QUOTE) {
      at = endOfString(text, at);
    } else if (isDigit(char)) {
      const end = endOfDigits(text, at);
      const start = text.charCodeAt(at - 1) === MINUS ? at - 1 : at;
      const whole = !/[.eE+]/.test(text.charAt(start - 1) + text.charAt(end));
      if (whole && end - at >= LONG_DIGITS) {
        pieces.push(text.slice(taken, start), JSON.stringify(MARK + text.slice(start, end)));
        taken = end;
      }
      at = end;
    } else {
      at++;
    }
  }
  return pieces.length === 0 ? text : pieces.join('') + text.slice(taken);
}

const [QUOTE, BACKSLASH, MINUS, ZERO, NINE] = [...'"\\-09'].map((char) => char.charCodeAt(0)) as [
  number,
  number,
  number,
  number,
  number,
];

/** Behind the closing quote of the string that begins at `at`, or the end of the text. */
function endOfString(text: string, at: number): number {
  for (let end = at + 1; end < text.length; end++) {
    const char = text.charCodeAt(end);
    if (char === QUOTE) return end + 1;
    if (char === BACKSLASH) end++;
  }
  return text.length;
}

function endOfDigits(text: string, at: number): number {
  let end = at;
  while (isDigit(text.charCodeAt(end))) end++;
  return end;
}

const isDigit = (char: number): boolean => char >= ZERO && char <= NINE;

function integer(digits: string): Int {
  if (digits.length > MOST_DIGITS || !/^-?\d+$/.test(digits))
    throw new SyntaxError('no whole number of JSON');
  const value = BigInt(digits);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

/** Far beyond 64 bits; what it costs to read a number grows faster than its length. */
const MOST_DIGITS = 40;

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
