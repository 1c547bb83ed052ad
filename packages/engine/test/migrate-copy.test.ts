import { mkdir, readdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, onTestFinished, test } from 'vitest';

import { LmdbStorage } from '../src/index.js';
import { HEADER_KEY } from '../src/keys.js';
import { copyRecords, isSame, requireSame } from '../src/migrate/copy.js';
import { MoveFolders } from '../src/migrate/folders.js';
import { fileKind, setMoved } from '../src/storage/file-kind.js';
import { Replica } from '../src/storage/jetstream/replica.js';
import type { Storage } from '../src/storage/storage.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

const OPTIONS = {
  minFreeBytes: 0,
  onFatal: (error: Error) => {
    throw error;
  },
};

async function newStorage(folder?: string): Promise<LmdbStorage> {
  const storage = await LmdbStorage.open(folder ?? (await temporaryFolder()), OPTIONS);
  onTestFinished(() => storage.close());
  return storage;
}

const put = (storage: Storage, head: string, value: string, sides: Record<string, string> = {}) =>
  storage.commit({
    head: { key: bytes(head), bytes: bytes(value) },
    expectedRevision: storage.get(bytes(head))?.revision ?? 0,
    put: Object.entries(sides).map(([key, side]) => ({ key: bytes(key), bytes: bytes(side) })),
  });

const remove = (storage: Storage, head: string) =>
  storage.commit({
    head: { key: bytes(head), bytes: undefined },
    expectedRevision: storage.get(bytes(head))?.revision ?? 0,
  });

const all = (storage: Storage) =>
  [...storage.scan(bytes(''))].map(([key, record]) => `${text(key)}=${text(record.bytes)}`);

/** Heads and sides as the engine names them, more than one part of a comparison. */
async function filled(count: number): Promise<LmdbStorage> {
  const storage = await newStorage();
  await put(storage, 'header', 'the header');
  const heads = Array.from({ length: count }, (_, i) =>
    put(storage, `s${i}`, `head ${i}`, { [`v${i}`]: `value ${i}`, [`p${i}`]: `grant ${i}` }),
  );
  await Promise.all([...heads, put(storage, 'm', 'the manifest')]);
  return storage;
}

test('a copy has every record but the header, which makes it a store', async () => {
  const source = await filled(1_200);
  const target = await newStorage();
  const progress: number[] = [];
  await copyRecords(source, target, (records) => progress.push(records));
  const expected = all(source);
  expect(expected).toHaveLength(3 * 1_200 + 2);
  expect(all(target)).toEqual(expected.filter((line) => !line.startsWith('header')));
  expect(progress.at(-1)).toBe(expected.length);
  expect(progress.length).toBeGreaterThan(3);
  expect(await requireSame(source, target, HEADER_KEY)).toEqual({
    records: expected.length,
    bytes: expected.reduce((sum, line) => sum + line.length - line.indexOf('=') - 1, 0),
  });
  expect(await isSame(source, target)).toBe(false);
  await expect(requireSame(source, target)).rejects.toThrow(`${HEADER_KEY.toString('hex')} is missing in it`);
  await put(target, 'header', 'the header');
  expect(await isSame(source, target)).toBe(true);
});

test('a copy that was interrupted goes on, and follows what was changed and removed meanwhile', async () => {
  const source = await filled(50);
  const target = await newStorage();
  const commit = target.commit.bind(target);
  let left = 20;
  target.commit = (change) => (left-- > 0 ? commit(change) : Promise.reject(new Error('the link is down')));
  await expect(copyRecords(source, target)).rejects.toThrow('the link is down');
  target.commit = commit;
  await put(source, 's3', 'another head', { v3: 'another value', v300: 'a second value' });
  await remove(source, 's4');
  await source.commit({
    head: { key: bytes('m'), bytes: bytes('manifest 2') },
    expectedRevision: source.get(bytes('m'))?.revision ?? 0,
    remove: [bytes('p5'), bytes('v4')],
  });
  await copyRecords(source, target);
  expect(all(target)).toEqual(all(source).filter((line) => !line.startsWith('header')));
  const { sequence } = target;
  await copyRecords(source, target);
  expect(target.sequence).toBe(sequence);
});

test('one byte that is another is found, whether it is less, more or different', async () => {
  const source = await filled(3);
  const target = await newStorage();
  await copyRecords(source, target);
  await put(target, 'header', 'the header');
  await put(target, 's1', 'head X');
  await expect(requireSame(source, target)).rejects.toThrow('record 7331 differs');
  await put(target, 's1', 'head 1');
  await put(target, 's9', 'stray');
  await expect(requireSame(source, target)).rejects.toThrow('record 7339 is only in it');
  await remove(target, 's9');
  expect(await isSame(source, target)).toBe(true);
});

test('a store that is being moved opens for its move only, until that is taken back', async () => {
  const { engine, folder, stateDir } = await openEngine();
  await engine.put(admin, 'a', bytes('one'));
  const store = join(stateDir, 'store');
  expect(await codeOf(setMoved(store, true))).toBe('store_locked');
  await engine.close();
  expect(await fileKind(store)).toBe('embedded');
  await setMoved(store, true);
  expect(await fileKind(store)).toBe('moved');
  await expect(openEngine(folder)).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringContaining('coffer storage migrate --to embedded'),
  });
  expect(await codeOf(Replica.open(store, OPTIONS))).toBe('unfit_store');
  expect(await codeOf(setMoved(store, true))).toBe('unfit_store');
  const moved = await LmdbStorage.open(store, OPTIONS, 'moved');
  expect(moved.get(HEADER_KEY)).toBeDefined();
  await moved.close();
  expect(await fileKind(store)).toBe('moved');
  await setMoved(store, false);
  const { engine: again } = await openEngine(folder);
  expect(text((await again.get(admin, 'a')).value)).toBe('one');
});

test('where a move was interrupted between its last two steps, no new store is made', async () => {
  const { engine, folder, stateDir } = await openEngine();
  await engine.put(admin, 'a', bytes('one'));
  await engine.close();
  const folders = new MoveFolders(stateDir);
  await rename(folders.store, folders.moving);
  expect(await codeOf(openEngine(folder))).toBe('unfit_store');
  await folders.complete();
  const { engine: again } = await openEngine(folder);
  expect(text((await again.get(admin, 'a')).value)).toBe('one');
});

test('the kind of a folder is told while a server has it, and of what is no store', async () => {
  const { stateDir } = await openEngine();
  expect(await fileKind(join(stateDir, 'store'))).toBe('embedded');
  const folder = await temporaryFolder();
  expect(await fileKind(folder)).toBeUndefined();
  await writeFile(join(folder, 'data.mdb'), '');
  expect(await fileKind(folder)).toBeUndefined();
  const replica = await Replica.open(join(folder, 'store'), OPTIONS);
  expect(await fileKind(join(folder, 'store'))).toBe('replica');
  await replica.close();
});

test('what was prepared takes the place of the store, which is kept, whether or not it is interrupted', async () => {
  const stateDir = await temporaryFolder();
  const folders = new MoveFolders(stateDir);
  const make = async (folder: string, content: string) => {
    await mkdir(folder);
    await writeFile(join(folder, 'content'), content);
  };
  await make(folders.store, 'old');
  await make(folders.moving, 'new');
  const now = new Date('2026-03-04T05:06:07.890Z');
  expect(await folders.swap(now)).toBe(join(stateDir, 'store.moved-20260304T050607Z'));
  expect((await readdir(stateDir)).sort()).toEqual(['store', 'store.moved-20260304T050607Z']);
  await make(folders.moving, 'newer');
  await folders.swap(now);
  await make(folders.moving, 'newest');
  await folders.removeMoving();
  expect((await readdir(stateDir)).sort()).toEqual([
    'store',
    'store.moved-20260304T050607Z',
    'store.moved-20260304T050607Z-2',
  ]);
});

test('a replica that takes over counts on from where the store stopped', async () => {
  const folder = await temporaryFolder();
  const replica = await Replica.open(folder, OPTIONS);
  await replica.advance(4_711);
  await replica.advance(12);
  expect(replica.sequence).toBe(4_711);
  await replica.close();
  const again = await Replica.open(folder, OPTIONS);
  expect(again.sequence).toBe(4_711);
  await again.close();
});
