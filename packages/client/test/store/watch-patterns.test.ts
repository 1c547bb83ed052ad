import { expect, test } from 'vitest';
import { Pattern } from '../../../engine/src/patterns.js';
import { covers, watchPatterns } from '../../src/store/watch-patterns.js';

/** What a server takes. */
function check(names: readonly string[]): readonly string[] {
  const patterns = watchPatterns(names);
  expect(patterns.length).toBeLessThanOrEqual(32);
  for (const pattern of patterns) {
    expect(pattern.isWellFormed()).toBe(true);
    expect(Buffer.byteLength(pattern)).toBeLessThanOrEqual(1_024);
  }
  const encoded = patterns.map((pattern) => `secrets=${encodeURIComponent(pattern)}`).join('&');
  expect(encoded.length).toBeLessThanOrEqual(4_096);
  const matchers = patterns.map((pattern) => new Pattern(pattern));
  for (const name of names) {
    expect(matchers.some((matcher) => matcher.matches(name))).toBe(true);
    expect(covers(patterns, name)).toBe(true);
  }
  return patterns;
}

test('few names are watched as they are', () => {
  expect(check(['b', 'a', 'b'])).toEqual(['a', 'b']);
  expect(check([])).toEqual([]);
  expect(covers(['a', 'b/*'], 'b')).toBe(false);
  expect(covers(['a', 'b/*'], 'ab')).toBe(false);
  expect(covers(['a', 'b/*'], 'b/c')).toBe(true);
});

test('of many names those that are most alike are watched by what they begin with', () => {
  const others = Array.from({ length: 31 }, (_, index) => `${String.fromCharCode(97 + index)}-own`);
  const many = Array.from({ length: 500 }, (_, index) => `prod/billing/${index}`);
  const patterns = check([...many, ...others]);
  expect(patterns).toEqual([...others, 'prod/billing/*'].sort());
});

test('names of every length and kind fit', () => {
  const long = (first: string) => Array.from({ length: 40 }, (_, i) => `${first}${i}`.padEnd(1_024, 'x'));
  check(long('a/'));
  check(long('x'.repeat(1_000)));
  check(Array.from({ length: 100 }, (_, index) => `😀${String.fromCodePoint(0x1f600 + index)}`));
  check(['😀'.repeat(256), `${'😀'.repeat(255)}😁`, ...Array.from({ length: 40 }, (_, i) => `é${i}`)]);
  expect(check(Array.from({ length: 60 }, (_, i) => String.fromCharCode(0x4e00 + i).repeat(300)))).toContain(
    '*',
  );
  check(Array.from({ length: 40 }, (_, index) => `a*${index}`));
});
