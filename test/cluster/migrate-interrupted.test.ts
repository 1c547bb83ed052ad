import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { saysMoved } from '../../packages/engine/src/header/moved.js';
import { inspectStore } from '../../packages/engine/src/inspect/store.js';
import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import type { MigrateOptions } from '../../packages/engine/src/migrate/options.js';
import { migrateToEmbedded } from '../../packages/engine/src/migrate/to-embedded.js';
import { migrateToJetStream } from '../../packages/engine/src/migrate/to-jetstream.js';
import { fileKind } from '../../packages/engine/src/storage/file-kind.js';
import { LmdbStorage } from '../../packages/engine/src/storage/lmdb.js';
import { admin, bytes, createSigner, openEngine, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { connectTo, newFolder, openStorage } from './jetstream-support.js';
import { LOCAL, movesHere } from './moves.js';

const moves = movesHere();

interface Interrupted {
  readonly folder: string;
  readonly stateDir: string;
  readonly store: string;
  readonly moving: string;
  readonly options: MigrateOptions;
}

/** A move out of JetStream that ended when the bucket said that the store was moved, and the copy not yet in the store's place. */
async function interrupted(): Promise<Interrupted> {
  const { engine, folder, stateDir } = await openEngine();
  for (let i = 0; i < 5; i++) await engine.put(admin, `secret-${i}`, bytes(canary(`value ${i}`)));
  await engine.close();
  const options = moves.options(folder, moves.newBucket());
  await migrateToJetStream(options);
  const killed = new Error('killed');
  const now = () => {
    throw killed;
  };
  await expect(migrateToEmbedded({ ...options, now })).rejects.toBe(killed);
  const store = join(stateDir, 'store');
  const moving = `${store}.moving`;
  expect([await fileKind(store), await fileKind(moving)]).toEqual(['replica', 'embedded']);
  return { folder, stateDir, store, moving, options };
}

async function expectServed(folder: string): Promise<void> {
  const { engine } = await openEngine(folder);
  expect(text((await engine.get(admin, 'secret-3')).value)).toBe(canary('value 3'));
  await engine.close();
}

/** Whether the bucket is a store. */
async function isStore({ jetstream: { bucket } }: MigrateOptions): Promise<boolean> {
  const other = await openStorage(moves.cluster, { bucket, folder: newFolder(), follow: false });
  const header = other.get(HEADER_KEY);
  await other.close();
  return header !== undefined && !saysMoved(header.bytes);
}

test('a move out that was interrupted keeps its copy, the only one of the keys, whatever direction is asked for next', async () => {
  const { folder, moving, store, options } = await interrupted();
  await expect(migrateToJetStream(options)).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining('--to embedded'),
  });
  expect(await fileKind(moving)).toBe('embedded');
  const { stateDir } = options;
  const look = { stateDir, createSigner, development: false, inUse: false, replica: true };
  await expect(inspectStore(look)).rejects.toMatchObject({ code: 'unfit_store' });
  await migrateToEmbedded(options);
  expect(await fileKind(store)).toBe('embedded');
  await expectServed(folder);
});

test('a move out that was interrupted ends by force where JetStream is lost', async () => {
  const { folder, options } = await interrupted();
  const connect = () => connectTo(['nats://127.0.0.1:1']);
  await migrateToEmbedded({ ...options, force: true, jetstream: { ...options.jetstream, connect } });
  await expectServed(folder);
});

test('a move out that was interrupted, and whose copy lacks a late change, gives the bucket its header back', async () => {
  const { folder, stateDir, moving, store, options } = await interrupted();
  // As if it had been committed when the copy was made already.
  const copy = await LmdbStorage.open(moving, LOCAL);
  const [found] = [...copy.scan(bytes('v'))];
  if (!found) throw new Error('there is no value');
  const [key] = found;
  const header = copy.get(HEADER_KEY);
  await copy.commit({
    head: { key: HEADER_KEY, bytes: header?.bytes },
    expectedRevision: header?.revision ?? 0,
    remove: [Buffer.from(key)],
  });
  await copy.close();
  expect(await isStore(options)).toBe(false);
  await expect(migrateToEmbedded(options)).rejects.toMatchObject({ code: 'conflict' });
  expect(await isStore(options)).toBe(true);
  expect(await fileKind(store)).toBe('replica');
  await migrateToEmbedded(options);
  expect(await readdir(stateDir)).not.toContain('store.moving');
  await expectServed(folder);
});

test('where the place is lost to which a store was moved, force brings back what its bucket has', async () => {
  const { folder, store, moving, options } = await interrupted();
  await rm(moving, { recursive: true });
  await rm(store, { recursive: true });
  await expect(migrateToEmbedded(options)).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining('--force'),
  });
  await migrateToEmbedded({ ...options, force: true });
  await expectServed(folder);
});
