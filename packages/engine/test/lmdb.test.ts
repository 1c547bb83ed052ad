import { readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { open } from 'lmdb';
import { expect, test } from 'vitest';

import { LmdbStorage } from '../src/index.js';
import { storageSuite } from './storage-suite.js';
import { codeOf, temporaryFolder } from './support.js';

const options = {
  minFreeBytes: 0,
  onFatal: (error: Error) => {
    throw error;
  },
};

storageSuite('LMDB', {
  open: (place) => LmdbStorage.open(place, options),
  newPlace: temporaryFolder,
});

test('every file of the store can be read by its owner only', async () => {
  const folder = join(await temporaryFolder(), 'store');
  const storage = await LmdbStorage.open(folder, options);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  for (const name of await readdir(folder)) {
    if (name.endsWith('.sock')) continue;
    expect([name, (await stat(join(folder, name))).mode & 0o777]).toEqual([name, 0o600]);
  }
  await storage.close();
});

test('a store of a newer format is refused before anything is read or written', async () => {
  const folder = await temporaryFolder();
  await (await LmdbStorage.open(folder, options)).close();
  const file = open<Buffer, Buffer>({
    path: join(folder, 'data.mdb'),
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
  });
  const state = Buffer.from(file.getBinary(Buffer.from([0])) as Buffer);
  state[0] = 2;
  await file.put(Buffer.from([0]), state);
  await file.close();
  expect(await codeOf(LmdbStorage.open(folder, options))).toBe('newer_format');
});

test('a change beyond the quota is refused, and goes through when there is room again', async () => {
  const storage = await LmdbStorage.open(await temporaryFolder(), { ...options, quotaBytes: 10_000 });
  const put = (name: string, bytes: Buffer | undefined, expectedRevision: number) =>
    storage.commit({ head: { key: Buffer.from(name), bytes }, expectedRevision });
  const revision = await put('a', Buffer.alloc(8_000), 0);
  expect(await codeOf(put('b', Buffer.alloc(8_000), 0))).toBe('storage_full');
  await put('a', undefined, revision);
  await put('b', Buffer.alloc(8_000), 0);
  await storage.close();
});

test('changes are refused while the disk has less free than the floor', async () => {
  const storage = await LmdbStorage.open(await temporaryFolder(), {
    ...options,
    minFreeBytes: Number.MAX_SAFE_INTEGER,
  });
  const change = { head: { key: Buffer.from('a'), bytes: Buffer.from('1') }, expectedRevision: 0 };
  expect(await codeOf(storage.commit(change))).toBe('storage_full');
  await storage.close();
});

test('a file that is none of LMDB’s is refused with a sentence, and left as it is', async () => {
  const folder = await temporaryFolder();
  const path = join(folder, 'data.mdb');
  for (const content of [Buffer.from('nonsense'), Buffer.alloc(32_768), Buffer.alloc(32_768, 7)]) {
    await writeFile(path, content);
    expect(await codeOf(LmdbStorage.open(folder, options))).toBe('tampered');
    expect(await readFile(path)).toEqual(content);
  }
});
