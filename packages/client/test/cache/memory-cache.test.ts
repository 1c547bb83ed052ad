import { inspect } from 'node:util';
import { expect, test } from 'vitest';
import { canary, findCanary } from '../../../../test/support/canary.mjs';
import { MemoryCache } from '../../src/cache/memory-cache.js';

test('a memory cache gives what was written last, in memory of its own', () => {
  expect(new MemoryCache().read()).toBeUndefined();
  const cache = new MemoryCache('first');
  cache.read()?.wipe();
  expect(cache.read()?.reveal()).toBe('first');
  const content = Buffer.from('second');
  cache.write(content);
  content.fill(0);
  expect(cache.read()?.reveal()).toBe('second');
  cache.write(new Uint8Array());
  expect(cache.read()?.reveal()).toBe('');
});

test('a memory cache does not show what it holds', () => {
  const cache = new MemoryCache(canary('content'));
  expect(
    findCanary(inspect({ cache, content: cache.read() }, { depth: 9, showHidden: true })),
  ).toBeUndefined();
});
