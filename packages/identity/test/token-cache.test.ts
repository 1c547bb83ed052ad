import { describe, expect, it } from 'vitest';
import { TokenCache } from '../src/trust/token-cache.js';

describe('a cache of tokens', () => {
  it('keeps so many, and those that are used', () => {
    const cache = new TokenCache<number>({ most: 3, mostBytes: 1_000 });
    for (let at = 0; at < 100; at++) {
      cache.set(`token ${at}`, at);
      expect(cache.get('token 0')).toBe(0);
    }
    expect([97, 98, 99].map((at) => cache.get(`token ${at}`))).toEqual([undefined, 98, 99]);
  });

  it('keeps so many bytes, however few they are', () => {
    const cache = new TokenCache<string>({ most: 100, mostBytes: 20 });
    for (const token of ['a'.repeat(9), 'b'.repeat(9), 'c'.repeat(9)]) cache.set(token, token);
    cache.set('c'.repeat(9), 'again');
    expect(cache.get('a'.repeat(9))).toBeUndefined();
    expect(cache.get('b'.repeat(9))).toBeDefined();
    expect(cache.get('c'.repeat(9))).toBe('again');
    cache.set('d'.repeat(21), 'too long');
    expect(cache.get('d'.repeat(21))).toBeUndefined();
  });

  it('forgets what it is told to', () => {
    const cache = new TokenCache<number>({ most: 2, mostBytes: 100 });
    cache.set('a', 1);
    cache.delete('a');
    cache.set('b', 2);
    expect([cache.get('a'), cache.get('b')]).toEqual([undefined, 2]);
    cache.clear();
    expect(cache.get('b')).toBeUndefined();
  });
});
