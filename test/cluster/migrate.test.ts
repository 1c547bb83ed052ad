import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { jetstreamManager } from '@nats-io/jetstream';

import { expect, onTestFinished, test } from 'vitest';
import type { CofferError } from '../../packages/engine/src/errors.js';
import { saysMoved, withoutMark } from '../../packages/engine/src/header/moved.js';
import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import { isSame, requireSame } from '../../packages/engine/src/migrate/copy.js';
import type { MigrateOptions } from '../../packages/engine/src/migrate/options.js';
import { openKeys, takingAll } from '../../packages/engine/src/migrate/prove.js';
import { migrateToEmbedded } from '../../packages/engine/src/migrate/to-embedded.js';
import { migrateToJetStream } from '../../packages/engine/src/migrate/to-jetstream.js';
import { fileKind, setMoved } from '../../packages/engine/src/storage/file-kind.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { NATS_HEADER } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { Replica } from '../../packages/engine/src/storage/jetstream/replica.js';
import { LmdbStorage } from '../../packages/engine/src/storage/lmdb.js';
import {
  admin,
  bytes,
  codeOf,
  openEngine,
  temporaryFolder,
  text,
} from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { connectTo, newFolder, openStorage } from './jetstream-support.js';
import { LOCAL, movesHere } from './moves.js';

const moves = movesHere();
const { newBucket, options: optionsFor } = moves;
const WAIT = { timeout: 10_000 };
/** With its headers longer than one message may be. */
const LARGE = Buffer.alloc(1024 * 1024, canary('large'));

/** An embedded store with all kinds of records; closed. */
async function embedded(): Promise<{ folder: string; store: string; stateDir: string }> {
  const { engine, folder, stateDir } = await openEngine();
  for (let i = 0; i < 30; i++) await engine.put(admin, `secret-${i}`, bytes(canary(`value ${i}`)));
  for (let i = 0; i < 5; i++) await engine.put(admin, 'secret-0', bytes(canary(`again ${i}`)));
  await engine.put(admin, 'large', LARGE);
  await engine.delete(admin, 'secret-29');
  await engine.createToken(admin, { name: 'ci' });
  await engine.applyPolicy(admin, [{ to: ['token:a'], actions: ['get'], secrets: ['*'] }]);
  await engine.close();
  return { folder, stateDir, store: join(stateDir, 'store') };
}

/** What the engine shows of the store that {@link embedded} made. */
async function expectServed(folder: string, options?: MigrateOptions): Promise<void> {
  const storage = { minFreeBytes: 0, ...(options && { jetstream: options.jetstream }) };
  const { engine } = await openEngine(folder, { storage });
  // An instance answers from the first beat on.
  await expect.poll(async () => (await engine.list(admin).catch(() => [])).length, WAIT).toBe(30);
  expect(text((await engine.get(admin, 'secret-7')).value)).toBe(canary('value 7'));
  expect((await engine.info(admin, 'secret-0')).versions).toEqual([1, 2, 3, 4, 5, 6]);
  expect(Buffer.from((await engine.get(admin, 'large')).value).equals(LARGE)).toBe(true);
  expect((await engine.listTokens(admin)).map(({ name }) => name)).toEqual(['ci']);
  expect((await engine.policy(admin)).grants).toHaveLength(1);
  await engine.put(admin, 'new', bytes(canary('after the move')));
  await engine.delete(admin, 'new');
  await engine.close();
}

/** The subjects of a bucket: an instance that looks in leaves one of its own at least. */
async function lasting(bucket: string): Promise<string[]> {
  const connection = await connectTo(moves.cluster.urls);
  const manager = await jetstreamManager(connection);
  const { state } = await manager.streams.info(new Layout(bucket).stream, { subjects_filter: '>' });
  await connection.close();
  return Object.keys(state.subjects ?? {}).sort();
}

/** The records of a store that was moved, where they are kept. */
async function keptRecords(kept: string): Promise<LmdbStorage> {
  const storage = await LmdbStorage.open(kept, LOCAL, 'moved');
  onTestFinished(() => storage.close());
  return storage;
}

const names = (stateDir: string) =>
  readdirSync(stateDir)
    .map((name) => name.replace(/-\d{8}T\d{6}Z(-\d)?$/, ''))
    .sort();

test('a store goes into JetStream and comes back, each record byte by byte', async () => {
  const { folder, store, stateDir } = await embedded();
  const bucket = newBucket();
  const before = await LmdbStorage.open(store, LOCAL);
  const { incarnation, sequence } = before;
  await before.close();

  const into = await migrateToJetStream(optionsFor(folder, bucket));
  const kept = await keptRecords(into.kept ?? '');
  expect(into.copied?.records).toBe([...kept.scan(bytes(''))].length);
  expect(await fileKind(store)).toBe('replica');
  expect(names(stateDir)).toEqual(['audit', 'store', 'store.moved']);
  await expect(openEngine(folder)).rejects.toMatchObject({ code: 'unfit_store' });

  // What the stream itself has, as another instance reads it.
  const other = await openStorage(moves.cluster, { bucket, folder: newFolder(), follow: false });
  expect(await isSame(kept, other)).toBe(true);
  expect(Buffer.from(other.incarnation)).toEqual(Buffer.from(incarnation));
  await other.close();
  const replica = await Replica.open(store, LOCAL);
  expect(await isSame(kept, replica)).toBe(true);
  expect(replica.summary).toBeDefined();
  expect(replica.sequence).toBeGreaterThanOrEqual(sequence);
  await replica.close();
  expect(await codeOf(migrateToJetStream(optionsFor(folder, bucket)))).toBe('invalid_argument');
  await expectServed(folder, optionsFor(folder, bucket));

  const out = await migrateToEmbedded(optionsFor(folder, bucket));
  expect(names(stateDir)).toEqual(['audit', 'audit.moved', 'store', 'store.moved', 'store.moved']);
  const after = await LmdbStorage.open(store, LOCAL);
  const left = await Replica.open(out.kept ?? '', LOCAL);
  expect(out.copied).toEqual(await requireSame(after, left, HEADER_KEY));
  const header = left.get(HEADER_KEY)?.bytes ?? bytes('');
  expect(saysMoved(header)).toBe(true);
  expect(withoutMark(header)).toEqual(Buffer.from(after.get(HEADER_KEY)?.bytes ?? []));
  await left.close();
  expect(after.sequence).toBeGreaterThan(sequence);
  await after.close();
  await expectServed(folder);
  expect(await codeOf(migrateToEmbedded(optionsFor(folder, bucket)))).toBe('invalid_argument');

  // Its bucket is no store any more, and takes it again.
  const { jetstream } = optionsFor(folder, bucket);
  const elsewhere = openEngine(await temporaryFolder(), { storage: { minFreeBytes: 0, jetstream } });
  await expect(elsewhere).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringContaining('moved away'),
  });
  await migrateToJetStream(optionsFor(folder, bucket));
  expect(await fileKind(store)).toBe('replica');
});

test('a store is not moved under a server that runs, nor into a bucket that has one', async () => {
  const { folder, store } = await embedded();
  const bucket = newBucket();
  const { engine } = await openEngine(folder);
  expect(await codeOf(migrateToJetStream(optionsFor(folder, bucket)))).toBe('store_locked');
  await engine.close();

  const another = await embedded();
  await migrateToJetStream(optionsFor(another.folder, bucket));
  expect(await codeOf(migrateToJetStream(optionsFor(folder, bucket)))).toBe('invalid_argument');
  expect(await fileKind(store)).toBe('embedded');
  await expectServed(folder);

  const empty = await temporaryFolder();
  expect(await codeOf(migrateToJetStream(optionsFor(empty, newBucket())))).toBe('invalid_argument');
  expect(await codeOf(migrateToEmbedded(optionsFor(empty, newBucket(), { force: true })))).toBe(
    'invalid_argument',
  );
});

test('a bucket into which another store is not moved is left as it is, also one that was healed', async () => {
  const { folder, store } = await embedded();
  const bucket = newBucket();
  const { jetstream } = optionsFor(folder, bucket);
  const { engine } = await openEngine(await temporaryFolder(), { storage: { minFreeBytes: 0, jetstream } });
  await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
  await engine.healStorage(admin, { dryRun: false });
  await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
  const before = await lasting(bucket);

  await expect(migrateToJetStream(optionsFor(folder, bucket))).rejects.toMatchObject({
    code: 'invalid_argument',
    message: expect.stringContaining('holds a store already'),
  });
  expect(await fileKind(store)).toBe('embedded');
  // The end of a move that was interrupted before, with another bucket.
  await setMoved(store, true);
  expect(await codeOf(migrateToJetStream(optionsFor(folder, bucket)))).toBe('invalid_argument');
  expect(await codeOf(migrateToEmbedded(optionsFor(folder, bucket)))).toBe('invalid_argument');
  await setMoved(store, false);
  expect(await lasting(bucket)).toEqual(before);
  expect(engine.sharedHealth).toMatchObject({ alarm: undefined, members: 1 });
  await engine.put(admin, 'as-before', bytes(canary('as before')));
  await engine.close();
  await expectServed(folder);
});

test('a record that was changed on the disk does not go along', async () => {
  const { folder, store } = await embedded();
  const storage = await LmdbStorage.open(store, LOCAL);
  const [found] = [...storage.scan(bytes('s'))];
  if (!found) throw new Error('there is no secret');
  const [key, record] = found;
  const damaged = Buffer.from(record.bytes);
  damaged[damaged.length - 1] = (damaged[damaged.length - 1] ?? 0) ^ 1;
  await storage.commit({
    head: { key: Buffer.from(key), bytes: damaged },
    expectedRevision: record.revision,
  });
  await storage.close();
  const bucket = newBucket();
  expect(await codeOf(migrateToJetStream(optionsFor(folder, bucket)))).toBe('tampered');
  expect(await fileKind(store)).toBe('embedded');
});

test('without NATS, or when it goes on the way, the store stays where it was, and the next attempt moves it', async () => {
  const { folder, store } = await embedded();
  const bucket = newBucket();
  const nowhere = optionsFor(folder, bucket, { urls: ['nats://127.0.0.1:1'] });
  await expect(migrateToJetStream(nowhere)).rejects.toThrow();
  expect(await fileKind(store)).toBe('embedded');

  const gate = await moves.cluster.gate('mover');
  let copied = 0;
  const cut = optionsFor(folder, bucket, {
    urls: gate.urls,
    onProgress: ({ records }) => {
      copied = records;
      gate.cut();
    },
  });
  const failure = await migrateToJetStream(cut).catch((error: CofferError) => error);
  expect(failure).toBeInstanceOf(Error);
  expect(copied).toBeGreaterThan(0);
  gate.mend();
  if ((await fileKind(store)) === 'embedded') await expectServed(folder);
  const { kept = '' } = await migrateToJetStream(optionsFor(folder, bucket));
  const other = await openStorage(moves.cluster, { bucket, folder: newFolder(), follow: false });
  expect(await isSame(await keptRecords(kept), other)).toBe(true);
  await other.close();
});

test('a move that was interrupted before it came true is taken back', async () => {
  const { folder, store } = await embedded();
  const bucket = newBucket();
  await setMoved(store, true);
  await migrateToEmbedded(optionsFor(folder, bucket));
  expect(await fileKind(store)).toBe('embedded');
  await setMoved(store, true);
  const nowhere = { urls: ['nats://127.0.0.1:1'] };
  await expect(migrateToEmbedded(optionsFor(folder, bucket, nowhere))).rejects.toThrow();
  await migrateToEmbedded(optionsFor(folder, bucket, { ...nowhere, force: true }));
  await expectServed(folder);
});

test('when JetStream is lost, the replica of an instance is the store by force', async () => {
  const { folder, stateDir } = await embedded();
  const bucket = newBucket();
  await migrateToJetStream(optionsFor(folder, bucket));
  const nowhere = { urls: ['nats://127.0.0.1:1'] };
  await expect(migrateToEmbedded(optionsFor(folder, bucket, nowhere))).rejects.toThrow();
  const { copied } = await migrateToEmbedded(optionsFor(folder, bucket, { ...nowhere, force: true }));
  expect(copied?.records).toBeGreaterThan(30);
  expect(names(stateDir)).toEqual(['audit', 'audit.moved', 'store', 'store.moved', 'store.moved']);
  await expectServed(folder);
});

test('what others did while an instance was off goes along, also under a data key that it does not know', async () => {
  const { folder } = await embedded();
  const bucket = newBucket();
  await migrateToJetStream(optionsFor(folder, bucket));
  const { jetstream } = optionsFor(folder, bucket);
  const elsewhere = await temporaryFolder();
  await copyFile(join(folder, 'root.key'), join(elsewhere, 'root.key'));
  const { engine } = await openEngine(elsewhere, { storage: { minFreeBytes: 0, jetstream } });
  await expect.poll(async () => (await engine.list(admin).catch(() => [])).length, WAIT).toBe(30);
  await engine.rotateKeys(admin);
  await expect.poll(async () => (await engine.rotation(admin))?.remaining ?? 0, WAIT).toBe(0);
  await engine.put(admin, 'secret-0', bytes(canary('under the new key')));
  await engine.close();
  await migrateToEmbedded(optionsFor(folder, bucket));
  const { engine: again } = await openEngine(folder);
  expect(text((await again.get(admin, 'secret-0', 7)).value)).toBe(canary('under the new key'));
  const keys = async () => (await again.keys(admin)).dataKeys.map(({ id }) => id);
  await expect.poll(keys, WAIT).toEqual([2]);
  await again.deleteVersion(admin, 'secret-0', 7);
  await again.close();
  await expectServed(folder);
});

test('a store that was healed is moved by an instance that was off then, and by a new one', async () => {
  const { folder } = await embedded();
  /** As an instance of its own serves and heals it. */
  const healed = async (bucket: string) => {
    const elsewhere = await temporaryFolder();
    await copyFile(join(folder, 'root.key'), join(elsewhere, 'root.key'));
    const { jetstream } = optionsFor(folder, bucket);
    const { engine } = await openEngine(elsewhere, { storage: { minFreeBytes: 0, jetstream } });
    await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
    const { absent: without } = await engine.healStorage(admin, { dryRun: true });
    await engine.healStorage(admin, { dryRun: false, without });
    await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
    expect(engine.position).toMatch(/^[0-9a-f]{16}-2-/);
    await engine.put(admin, 'secret-7', bytes(canary(`healed in ${bucket}`)));
    await engine.close();
  };
  const bucket = newBucket();
  await migrateToJetStream(optionsFor(folder, bucket));
  await healed(bucket);
  await migrateToEmbedded(optionsFor(folder, bucket));
  await expectServed(folder);

  const another = newBucket();
  await migrateToJetStream(optionsFor(folder, another));
  await healed(another);
  const fresh = await temporaryFolder();
  await copyFile(join(folder, 'root.key'), join(fresh, 'root.key'));
  await migrateToEmbedded(optionsFor(fresh, another));
  const { engine } = await openEngine(fresh);
  expect(text((await engine.get(admin, 'secret-7', 3)).value)).toBe(canary(`healed in ${another}`));
  await engine.close();
});

test('a store is not moved away from an instance that serves it', { timeout: 60_000 }, async () => {
  const { folder, store } = await embedded();
  const bucket = newBucket();
  await migrateToJetStream(optionsFor(folder, bucket));
  const other = await openStorage(moves.cluster, { bucket, instanceName: 'still-there', follow: false });
  const header = other.get(HEADER_KEY)?.bytes ?? bytes('');
  const keys = await openKeys(header, other.incarnation, optionsFor(folder, bucket));
  other.shared.follow(takingAll(() => keys));
  const notices: string[] = [];
  const patient = { othersMs: 30_000, onNotice: (sentence: string) => notices.push(sentence) };
  await expect(migrateToEmbedded(optionsFor(folder, bucket, patient))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('still-there'),
  });
  expect(notices).toEqual([expect.stringContaining('still-there')]);
  // Nor by force, as long as the bucket can be asked.
  await expect(
    migrateToEmbedded(optionsFor(folder, bucket, { ...patient, force: true })),
  ).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/still-there.*without --force/),
  });
  await other.close();
  expect(await fileKind(store)).toBe('replica');
  await migrateToEmbedded(optionsFor(folder, bucket));
  await expectServed(folder);
});

test('a store is not moved away from an instance of which somebody says once more that it has ended', {
  timeout: 60_000,
}, async () => {
  const { folder } = await embedded();
  const bucket = newBucket();
  const layout = new Layout(bucket);
  await migrateToJetStream(optionsFor(folder, bucket));
  const place = newFolder();
  const open = () =>
    openStorage(moves.cluster, { bucket, instanceName: 'there', follow: false, folder: place });
  const other = await open();
  const header = other.get(HEADER_KEY)?.bytes ?? bytes('');
  const keys = await openKeys(header, other.incarnation, optionsFor(folder, bucket));
  const subject = layout.member(other.shared.instance);
  other.shared.follow(takingAll(() => keys));
  const connection = await connectTo(moves.cluster.urls);
  onTestFinished(() => connection.close());
  const { streams } = await jetstreamManager(connection);
  const said = () => streams.getMessage(layout.stream, { last_by_subj: subject });
  const isEnded = async () => (await said())?.json<{ ended?: true }>().ended === true;
  await expect.poll(() => other.shared.health.problem, WAIT).toBeUndefined();
  await other.close();
  expect(await isEnded()).toBe(true);
  const farewell = await said();
  const again = await open();
  onTestFinished(() => again.close());
  again.shared.follow(takingAll(() => keys));
  await expect.poll(isEnded, WAIT).toBe(false);
  const headers = [...(farewell?.header ?? [])]
    .map(([name, [value = '']]) => [name, value] as const)
    .filter(([name]) => name !== NATS_HEADER.expected);
  const replayed = { subject, headers, data: farewell?.data ?? bytes('') };
  expect(await publishMessage(connection, replayed)).toBeDefined();
  await expect(migrateToEmbedded(optionsFor(folder, bucket, { othersMs: 30_000 }))).rejects.toMatchObject({
    code: 'conflict',
    message: expect.stringContaining('other instances serve this store: there'),
  });
  await expect.poll(() => again.shared.health.problem, WAIT).toBeUndefined();
});

/** Moves in another process, which is killed after a while if `killAfter` says so. @returns what it said last */
async function moveElsewhere(
  folder: string,
  bucket: string,
  to: 'jetstream' | 'embedded',
  killAfter?: number,
): Promise<unknown> {
  const child = fork(fileURLToPath(new URL('mover.mjs', import.meta.url)));
  onTestFinished(() => void child.kill('SIGKILL'));
  let said: unknown;
  child.on('message', (message) => {
    said = message;
    if (message !== 'ready') return;
    if (killAfter !== undefined) setTimeout(() => child.kill('SIGKILL'), killAfter);
    const { stateDir } = optionsFor(folder, bucket);
    child.send({
      stateDir,
      rootKey: `file:${join(folder, 'root.key')}`,
      bucket,
      urls: moves.cluster.urls,
      to,
    });
  });
  await once(child, 'exit');
  return said;
}

/** Where the store can be served: never at two places. */
async function places(store: string, bucket: string): Promise<string[]> {
  const found: string[] = (await fileKind(store)) === 'embedded' ? ['embedded'] : [];
  const connection = await connectTo(moves.cluster.urls);
  const manager = await jetstreamManager(connection);
  const layout = new Layout(bucket);
  const message = await manager.streams
    .getMessage(layout.stream, { last_by_subj: layout.record(HEADER_KEY) })
    .catch(() => null);
  if (message && message.data.length > 0 && !saysMoved(message.data)) found.push('jetstream');
  await connection.close();
  return found;
}

test('killed at any moment, a move leaves one store at the most, and the same command ends it', async () => {
  const { folder, store } = await embedded();
  const bucket = newBucket();
  const before = await LmdbStorage.open(store, LOCAL);
  const records = [...before.scan(bytes(''))].length;
  await before.close();
  const seen = new Set<string>();
  for (const to of ['jetstream', 'embedded'] as const) {
    // Most of a move's time is the process's own start, and then all goes fast.
    for (let killAfter = 20, said: unknown; ; killAfter += 35 + Math.random() * 30) {
      said = await moveElsewhere(folder, bucket, to, killAfter);
      const where = await places(store, bucket);
      expect(where.length).toBeLessThanOrEqual(1);
      seen.add(`${to}: ${where.join() || 'nowhere'}`);
      if (where[0] === to && (said as { moved?: true }).moved) break;
      if ((said as { code?: string }).code === 'invalid_argument') break;
      expect(said).not.toHaveProperty('code');
    }
    await moveElsewhere(folder, bucket, to);
    expect(await places(store, bucket)).toEqual([to]);
  }
  expect([...seen].sort()).toEqual(expect.arrayContaining(['embedded: embedded', 'jetstream: jetstream']));
  const after = await LmdbStorage.open(store, LOCAL);
  expect([...after.scan(bytes(''))]).toHaveLength(records);
  await after.close();
  await expectServed(folder);
});
