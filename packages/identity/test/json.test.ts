import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { goJson, type Json, parseJson } from '../src/tokens/json.js';

describe('JSON as Go reads and writes it', () => {
  it('keeps whole numbers of 64 bits to the digit, wherever they stand', () => {
    const text =
      '{"a":[9007199254740993,-9223372036854775808,18446744073709551615],"9007199254740993":1,"s":"9007199254740993","e":1e300}';
    expect(parseJson(text)).toEqual({
      a: [9007199254740993n, -9223372036854775808n, 18446744073709551615n],
      '9007199254740993': 1,
      s: '9007199254740993',
      e: 1e300,
    });
    expect(goJson(parseJson(text))).toBe(text.replace('1e300', '1e+300'));
  });

  it('reads what JSON.parse reads, and refuses what it refuses', () => {
    const text = fc.oneof(
      fc.json(),
      fc.string({ unit: fc.constantFrom(...'"\\0123456789.eE-+,:[]{} ') }),
      fc
        .tuple(fc.json(), fc.string({ unit: fc.constantFrom(...'"\\9.eE-,') }))
        .map(([json, tail]) => json + tail),
    );
    fc.assert(
      fc.property(text, (text) => {
        const outcome = (parse: (text: string) => unknown) => {
          try {
            return goJson(rounded(parse(text) as Json));
          } catch (error) {
            expect(error).toBeInstanceOf(SyntaxError);
            return undefined;
          }
        };
        if (/\d{40}/.test(text)) return;
        expect(outcome(parseJson)).toBe(outcome(JSON.parse));
      }),
      { numRuns: 3_000 },
    );
  });

  it('escapes what Go escapes', () => {
    expect(goJson('a<b>&"\u2028\u2029\u0001\n')).toBe('"a\\u003cb\\u003e\\u0026\\"\\u2028\\u2029\\u0001\\n"');
  });

  it.each([
    ['digits before an exponent', `${'9'.repeat(500_000)}e`],
    ['digits before a point', `[${'9'.repeat(500_000)}.`],
    ['many runs of digits', '1234567890123456789.'.repeat(50_000)],
    ['a number of very many digits', '9'.repeat(500_000)],
    ['a string without an end', `"${'\\"'.repeat(500_000)}`],
    ['many of them', '"\\'.repeat(500_000)],
  ])('costs no more than a pass over the text when that is %s', (_what, text) => {
    // What is quadratic takes minutes: the test would run out of time.
    expect(() => parseJson(text)).toThrow(SyntaxError);
  });
});

/** As `JSON.parse` has them. */
function rounded(value: Json): Json {
  if (typeof value === 'bigint') return Number(value);
  if (Array.isArray(value)) return value.map(rounded);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, rounded(field)]));
}
