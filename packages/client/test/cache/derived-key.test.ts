import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { FileCache } from '../../src/cache/file-cache.js';
import { temporaryFolder } from '../folder.js';

const derived = vi.hoisted((): ArrayBuffer[] => []);
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof import('node:crypto')>();
  const hkdfSync: typeof crypto.hkdfSync = (...args) => {
    const bytes = crypto.hkdfSync(...args);
    derived.push(bytes);
    return bytes;
  };
  return { ...crypto, hkdfSync };
});
const folder = temporaryFolder();

test('what is derived from the key of a cache is wiped after each use', async () => {
  const command = ['printf', 'ab'.repeat(32)] as const;
  const cache = new FileCache(join(folder(), 'cache'), { key: { command } });
  await cache.write(Buffer.from('x'));
  expect(Buffer.from((await cache.read()) ?? '').toString()).toBe('x');
  expect(derived.map((bytes) => [...new Uint8Array(bytes, 0, 32)].every((byte) => byte === 0))).toEqual([
    true,
    true,
  ]);
});
