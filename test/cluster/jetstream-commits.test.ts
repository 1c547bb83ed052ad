import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';

import type { CofferError } from '../../packages/engine/src/errors.js';
import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import type { JetStreamStorage } from '../../packages/engine/src/storage/jetstream/storage.js';
import { NatsCluster } from '../support/cluster.mjs';
import { connectTo, newFolder, type OpenOptions, openStorage, removeFolders } from './jetstream-support.js';

const key = (text: string) => Buffer.from(text);
const value = (text: string) => Buffer.from(text);

let cluster: NatsCluster;
let bucket: string;
let opened: JetStreamStorage[] = [];
let buckets = 0;

beforeEach(() => {
  bucket = `commits-${++buckets}`;
});

afterEach(async () => {
  await Promise.all(opened.map((storage) => storage.close()));
  opened = [];
});

async function open(options: OpenOptions = {}): Promise<JetStreamStorage> {
  const storage = await openStorage(cluster, { bucket, ...options });
  opened.push(storage);
  return storage;
}

const set = (storage: JetStreamStorage, at: string, bytes: string | undefined, expectedRevision: number) =>
  storage.commit({
    head: { key: key(at), bytes: bytes === undefined ? undefined : value(bytes) },
    expectedRevision,
  });

const read = (storage: JetStreamStorage, at: string) => {
  const record = storage.get(key(at));
  return record && Buffer.from(record.bytes).toString();
};

const outcomeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'done',
    (error: CofferError) => error.code,
  );

/** Adds one to the number under `at`, again and again until it is the one who does. */
async function increment(storage: JetStreamStorage, at: string): Promise<void> {
  for (;;) {
    const record = storage.get(key(at));
    const next = Number(Buffer.from(record?.bytes ?? []).toString()) + 1;
    const outcome = await outcomeOf(set(storage, at, String(next), record?.revision ?? 0));
    if (outcome === 'done') return;
    expect(outcome).toBe('conflict');
  }
}

describe.each([
  ['one server', 1],
  ['three servers', 3],
])('commits of several instances on %s', (_, size) => {
  beforeAll(async () => {
    cluster = await NatsCluster.start({ size, direct: true });
  });
  afterAll(async () => {
    await cluster?.stop();
    removeFolders();
  });

  test('what one acknowledges the others have, and its revision is the same everywhere', async () => {
    const [one, two] = [await open(), await open()];
    expect(Buffer.compare(one.incarnation, two.incarnation)).toBe(0);
    expect(one.shared.instance).not.toBe(two.shared.instance);
    const revision = await set(one, 'a', 'one', 0);
    await two.shared.reached(one.shared.position);
    expect([read(two, 'a'), two.get(key('a'))?.revision]).toEqual(['one', revision]);
    const next = await set(two, 'a', 'two', revision);
    await one.shared.reached(two.shared.position);
    expect([read(one, 'a'), one.get(key('a'))?.revision]).toEqual(['two', next]);
  });

  test('of two instances that make the same store at the same moment both have it', async () => {
    const [one, two] = await Promise.all([open(), open()]);
    expect(Buffer.compare(one.incarnation, two.incarnation)).toBe(0);
  });

  test('increments of three instances are all counted, and each record with its value', async () => {
    const instances = [await open(), await open(), await open()];
    const work = instances.flatMap((instance) =>
      Array.from({ length: 4 }, async () => {
        for (let round = 0; round < 5; round++) {
          await increment(instance, 'a');
          await increment(instance, 'b');
        }
      }),
    );
    await Promise.all(work);
    for (const instance of instances) {
      for (const other of instances) await instance.shared.reached(other.shared.position);
      expect([read(instance, 'a'), read(instance, 'b')]).toEqual(['60', '60']);
      expect(instance.shared.health.inDoubt).toBe(0);
    }
  });

  test('a group with one change that comes too late takes no other change along', async () => {
    const storage = await open();
    const revision = await set(storage, 'a', '1', 0);
    const late = { head: { key: key('a'), bytes: value('late') }, expectedRevision: revision };
    const outcomes = await Promise.all([
      ...['b', 'c', 'd'].map((at) => outcomeOf(set(storage, at, 'x', 0))),
      outcomeOf(set(storage, 'a', '2', revision)),
      outcomeOf(storage.commit(late)),
      ...['e', 'f'].map((at) => outcomeOf(set(storage, at, 'x', 0))),
    ]);
    expect(outcomes).toEqual(['done', 'done', 'done', 'done', 'conflict', 'done', 'done']);
    expect(read(storage, 'a')).toBe('2');
  });

  test('nothing comes behind a change of the ring that was sealed before it', async () => {
    const [one, two] = [await open(), await open()];
    let ring = await set(one, HEADER_KEY.toString(), 'ring 0', 0);
    await two.shared.reached(one.shared.position);
    let conflicts = 0;
    for (let round = 1; round <= 20; round++) {
      const at = `s${round}`;
      const [changed, sealed] = await Promise.all([
        set(one, HEADER_KEY.toString(), `ring ${round}`, ring),
        set(two, at, `sealed under ring ${round - 1}`, 0).catch((error: CofferError) => {
          expect(error.code).toBe('conflict');
          return undefined;
        }),
      ]);
      if (sealed === undefined) conflicts++;
      else expect(sealed).toBeLessThan(changed);
      ring = changed;
      await two.shared.reached(one.shared.position);
      await one.shared.reached(two.shared.position);
      expect(read(one, at) !== undefined).toBe(sealed !== undefined);
    }
    expect(conflicts).toBeGreaterThan(0);
    expect(two.shared.health.conflicts).toBe(conflicts);
  });

  test('values longer than a message come back whole, and their parts go with them', async () => {
    const [one, two] = [await open(), await open()];
    const sizes = [1_040_383, 1_040_384, 1_040_385, 5_000_000];
    let revision = 0;
    for (const [round, size] of sizes.entries()) {
      const bytes = Buffer.alloc(size, `value ${round} `);
      revision = await one.commit({
        head: { key: key('h'), bytes: value(String(round)) },
        expectedRevision: revision,
        put: [{ key: key('big'), bytes }],
      });
      await two.shared.reached(one.shared.position);
      expect(Buffer.compare(two.get(key('big'))?.bytes ?? Buffer.alloc(0), bytes)).toBe(0);
    }
    const bytesNow = async () => (await one.shared.status()).bytes ?? 0;
    expect(await bytesNow()).toBeGreaterThan(5_000_000);
    revision = await one.commit({
      head: { key: key('h'), bytes: value('small') },
      expectedRevision: revision,
      put: [{ key: key('big'), bytes: value('small') }],
    });
    expect(await bytesNow()).toBeLessThan(100_000);
    // A new instance reads what is there from its beginning.
    const three = await open();
    expect([read(three, 'big'), read(three, 'h')]).toEqual(['small', 'small']);
  });

  test('a change of thousands of records is made whole, undone whole, and removed whole', async () => {
    const [one, two] = [await open(), await open()];
    const sides = (round: string) =>
      Array.from({ length: 2_500 }, (_, n) => ({ key: key(`side-${n}`), bytes: value(`${round} ${n}`) }));
    const count = (storage: JetStreamStorage) => [...storage.scan(key('side-'))].length;
    const late = {
      head: { key: key('h'), bytes: value('late') },
      expectedRevision: 0,
      put: sides('late'),
      divisible: true,
    };
    expect(await outcomeOf(one.commit({ ...late, divisible: false }))).toBe('invalid_argument');
    // Another is first: nothing of it is left.
    const first = await set(two, 'h', 'other', 0);
    expect(await outcomeOf(one.commit(late))).toBe('conflict');
    await one.shared.reached(two.shared.position);
    expect(count(one)).toBe(0);

    const asked = one.commit({ ...late, expectedRevision: first, put: sides('1') });
    const others = Array.from({ length: 5 }, (_, n) => outcomeOf(set(one, `other-${n}`, 'x', 0)));
    const revision = await asked;
    expect(await Promise.all(others)).toEqual(Array.from({ length: 5 }, () => 'done'));
    await two.shared.reached(one.shared.position);
    for (const storage of [one, two]) {
      expect(count(storage)).toBe(2_500);
      expect([read(storage, 'side-0'), read(storage, 'side-2499'), read(storage, 'h')]).toEqual([
        '1 0',
        '1 2499',
        'late',
      ]);
    }
    const tooMany = one.commit({ ...late, expectedRevision: revision, put: sides('2') });
    expect(await outcomeOf(tooMany)).toBe('invalid_argument');
    await one.commit({
      head: { key: key('h'), bytes: undefined },
      expectedRevision: revision,
      remove: sides('').map((side) => side.key),
      divisible: true,
    });
    await two.shared.reached(one.shared.position);
    expect([count(one), count(two), read(two, 'h')]).toEqual([0, 0, undefined]);
  });

  test('a removed record lives again, at a higher revision', async () => {
    const [one, two] = [await open(), await open()];
    const first = await set(one, 'a', '1', 0);
    await set(one, 'a', undefined, first);
    await two.shared.reached(one.shared.position);
    expect(read(two, 'a')).toBeUndefined();
    const second = await set(two, 'a', '2', 0);
    expect(second).toBeGreaterThan(first);
    await one.shared.reached(two.shared.position);
    expect(read(one, 'a')).toBe('2');
  });

  test('a removed record that was swept lives again, asked of instances that have not noticed', async () => {
    const [one, two] = [await open(), await open()];
    const sides = Array.from({ length: 1_000 }, (_, n) => ({ key: key(`side-${n}`), bytes: value('x') }));
    const large = { head: { key: key('h'), bytes: value('large') }, put: sides, divisible: true };
    const ended = await one.commit({ ...large, expectedRevision: 0 });
    await one.commit({
      head: { key: key('h'), bytes: value('empty') },
      expectedRevision: ended,
      remove: sides.map((side) => side.key),
      divisible: true,
    });
    for (const at of ['a', 'b']) await set(one, at, undefined, await set(one, at, 'first life', 0));
    await two.shared.reached(one.shared.position);
    const end = Number(one.shared.position.split('-').at(-1));
    await expect.poll(() => one.shared.confirmedByAll(end) && two.shared.confirmedByAll(end)).toBe(true);
    const connection = await connectTo(cluster.urls);
    const { streams } = await jetstreamManager(connection);
    const layout = new Layout(bucket);
    const swept = [key('a'), key('b'), ...sides.map((side) => side.key)];
    await Promise.all(swept.map((one) => streams.purge(layout.stream, { filter: layout.record(one) })));
    await connection.close();
    const again = await set(one, 'a', 'new life', 0);
    await set(two, 'b', 'new life', 0);
    await set(two, 'a', 'and on', again);
    expect(await outcomeOf(set(one, 'a', 'late', again))).toBe('conflict');
    await two.commit({ ...large, expectedRevision: two.get(key('h'))?.revision ?? 0 });
    await one.shared.reached(two.shared.position);
    for (const storage of [one, two]) {
      expect([read(storage, 'a'), read(storage, 'b'), read(storage, 'h')]).toEqual([
        'and on',
        'new life',
        'large',
      ]);
      expect([...storage.scan(key('side-'))]).toHaveLength(1_000);
      expect(storage.shared.alarm).toBeUndefined();
    }
  });

  test('an instance that comes back has what others did meanwhile, and resumes where it was', async () => {
    const folder = newFolder();
    const one = await openStorage(cluster, { bucket, folder });
    const { instance } = one.shared;
    await set(one, 'a', '1', 0);
    await one.close();
    const two = await open();
    await set(two, 'b', '2', 0);
    const again = await open({ folder });
    expect(again.shared.instance).toBe(instance);
    await again.shared.reached(two.shared.position);
    expect([read(again, 'a'), read(again, 'b')]).toEqual(['1', '2']);
  });

  test('a close waits for all that was asked, and what comes after it is refused', async () => {
    const storage = await openStorage(cluster, { bucket });
    const asked = Array.from({ length: 50 }, (_, n) => outcomeOf(set(storage, `a${n}`, 'x', 0)));
    await new Promise(setImmediate);
    await storage.close();
    expect(new Set(await Promise.all(asked))).toEqual(new Set(['done']));
    expect(await outcomeOf(set(storage, 'late', 'x', 0))).toBe('stopped');
  });
});
