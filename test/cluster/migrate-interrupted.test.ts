import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';

import { jetstreamManager } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/nats-core';
import { expect, onTestFinished, test } from 'vitest';

import { saysMoved } from '../../packages/engine/src/header/moved.js';
import { inspectStore } from '../../packages/engine/src/inspect/store.js';
import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import type { MigrateOptions } from '../../packages/engine/src/migrate/options.js';
import { migrateToEmbedded } from '../../packages/engine/src/migrate/to-embedded.js';
import { migrateToJetStream } from '../../packages/engine/src/migrate/to-jetstream.js';
import { fileKind } from '../../packages/engine/src/storage/file-kind.js';
import { publishBatch } from '../../packages/engine/src/storage/jetstream/batch-publisher.js';
import { HEADER, Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { fingerprintSaid, type Outgoing } from '../../packages/engine/src/storage/jetstream/messages.js';
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

/** From a copy: as if it had been committed when that was made already. */
async function takeValue(moving: string): Promise<void> {
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
}

test('a move out that was interrupted, and whose copy lacks a late change, gives the bucket its header back', async () => {
  const { folder, stateDir, moving, store, options } = await interrupted();
  await takeValue(moving);
  expect(await isStore(options)).toBe(false);
  await expect(migrateToEmbedded(options)).rejects.toMatchObject({ code: 'conflict' });
  expect(await isStore(options)).toBe(true);
  expect(await fileKind(store)).toBe('replica');
  await migrateToEmbedded(options);
  expect(await readdir(stateDir)).not.toContain('store.moving');
  await expectServed(folder);
});

test.each([
  ['that nobody sealed', false],
  ['of an earlier change', true],
])(
  'a bucket that another instance moved the store out of does not get its header back because of a mark %s',
  async (_, sealed) => {
    const connection = await connectTo(moves.cluster.urls);
    onTestFinished(() => connection.close());
    const overheard: Msg[] = [];
    connection.subscribe('$KV.*.w.*', {
      callback: (_error, message) => {
        overheard.push(message);
      },
    });
    const { moving, options } = await interrupted();
    await takeValue(moving);
    const mark = overheard.find(({ headers }) => headers?.has(HEADER.seal));
    if (!mark) throw new Error('there is no mark');
    const layout = new Layout(options.jetstream.bucket);
    const { streams } = await jetstreamManager(connection);
    const header = await streams.getMessage(layout.stream, { last_by_subj: layout.record(HEADER_KEY) });
    if (!header) throw new Error('there is no header');
    // Anybody can make it another's, for nothing that is said of it is sealed.
    const said = [HEADER.kind, HEADER.print].map((name) => [name, header.header.get(name)] as const);
    const lineage = [HEADER.lineage, `${header.seq}:${fingerprintSaid(header.header)}`] as const;
    const marks = (mark.headers?.keys() ?? []).filter((name) => name.startsWith('Coffer-'));
    const batch: Outgoing[] = [
      {
        subject: mark.subject,
        headers: sealed ? marks.map((name) => [name, mark.headers?.get(name) ?? ''] as const) : [],
        data: mark.data,
      },
      { subject: header.subject, headers: [...said, lineage], data: header.data },
    ];
    expect(await publishBatch(connection, layout.stream, 'other', batch, 5_000)).toMatchObject({
      is: 'stored',
    });
    await expect(migrateToEmbedded(options)).rejects.toMatchObject({ code: 'io' });
    expect(await isStore(options)).toBe(false);
  },
);

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
