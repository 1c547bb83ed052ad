import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cp } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

import { expect, onTestFinished, test } from 'vitest';

import { LmdbStorage } from '../src/index.js';
import { Replica } from '../src/storage/jetstream/replica.js';
import type { ReplicaOrigin, ReplicaWrite } from '../src/storage/jetstream/replica-contract.js';
import { LmdbReader } from '../src/storage/lmdb-reader.js';
import type { Summariser } from '../src/storage/storage.js';
import { bytes, codeOf, temporaryFolder, text } from './support.js';

const OPTIONS = {
  minFreeBytes: 0,
  onFatal: (error: Error) => {
    throw error;
  },
};
const ORIGIN: ReplicaOrigin = { incarnation: Buffer.alloc(16, 7), epoch: 1, created: '2026-01-01T00:00:00Z' };

async function openReplica(folder: string, options = OPTIONS): Promise<Replica> {
  const replica = await Replica.open(folder, options);
  onTestFinished(() => replica.close().catch(() => undefined));
  return replica;
}

async function newReplica(): Promise<{ replica: Replica; folder: string }> {
  const folder = await temporaryFolder();
  return { replica: await openReplica(folder), folder };
}

async function reopen(replica: Replica, folder: string): Promise<Replica> {
  await replica.close();
  return openReplica(folder);
}

const write = (
  key: string,
  value: string | undefined,
  revision: number,
  more: Partial<ReplicaWrite> = {},
): ReplicaWrite => ({
  key: bytes(key),
  bytes: value === undefined ? undefined : bytes(value),
  revision,
  isHead: true,
  lineage: [],
  ...more,
});

const part = (key: string, index: number, value: string, revision: number) => ({
  key: bytes(key),
  index,
  bytes: bytes(value),
  revision,
});

const scanned = (store: Pick<Replica, 'scan'>, prefix = '') =>
  [...store.scan(bytes(prefix))].map(
    ([key, record]) => `${text(key)}=${text(record.bytes)}@${record.revision}`,
  );

const entryOf = (replica: Replica, key: string) => replica.entry(bytes(key));

const newestOf = (replica: Replica) => replica.newest().map(({ key }) => text(key));

/** A digest that can be read: the heads that it saw, as text. */
function readable(initial: Record<string, string> = {}): Summariser {
  const parse = (digest: Uint8Array) => JSON.parse(text(digest)) as Record<string, string>;
  return {
    initial: bytes(JSON.stringify(initial)),
    fold(digest, key, before, after) {
      const heads = parse(digest);
      expect(heads[text(key)]).toBe(before && text(before));
      if (after) heads[text(key)] = text(after);
      else delete heads[text(key)];
      return bytes(JSON.stringify(heads));
    },
    seal: (digest, sequence) => bytes(`${text(digest)} ${sequence}`),
  };
}

test('what was applied is read as it is in the stream, and a copy that is opened again goes on from there', async () => {
  const { replica, folder } = await newReplica();
  expect([replica.origin, replica.position, replica.sequence]).toEqual([undefined, 0, 0]);
  expect(replica.instance).toMatch(/^[0-9a-f]{16}$/);
  await replica.bind(ORIGIN);
  await replica.apply([write('sa', 'one', 4), write('va', 'side', 3, { isHead: false })], [], 4);
  await replica.apply(
    [write('sa', 'two', 9, { lineage: [{ revision: 4, fingerprint: 'ab'.repeat(8) }] })],
    [],
    9,
  );
  const again = await reopen(replica, folder);
  expect(again).toMatchObject({ instance: replica.instance, position: 9, sequence: 2 });
  expect(again.origin).toEqual(ORIGIN);
  expect(scanned(again)).toEqual(['sa=two@9', 'va=side@3']);
  expect(scanned(again, 'v')).toEqual(['va=side@3']);
  expect(entryOf(again, 'sa')).toEqual({
    revision: 9,
    removed: false,
    isHead: true,
    // printf two | sha256sum
    fingerprint: '3fc4ccfe745870e2',
    lineage: [{ revision: 4, fingerprint: 'ab'.repeat(8) }],
    chunks: 0,
  });
});

test('a position alone is on the disk when it was flushed', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  await replica.apply([write('sa', 'one', 1)], [], 1);
  await replica.apply([], [], 7);
  const copied = async () => {
    const copy = await temporaryFolder();
    await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    return (await openReplica(copy)).position;
  };
  expect(replica.position).toBe(7);
  expect(await copied()).toBe(1);
  expect(await replica.flush()).toBe(7);
  expect(await copied()).toBe(7);
});

test('what was removed is seen by nobody who reads records, and stays known until it is forgotten', async () => {
  const { replica, folder } = await newReplica();
  await replica.apply([write('sa', 'one', 1), write('sb', 'one', 2)], [], 2);
  await replica.apply([write('sa', undefined, 3)], [], 3);
  expect(replica.get(bytes('sa'))).toBeUndefined();
  expect(scanned(replica)).toEqual(['sb=one@2']);
  const snapshot = replica.snapshot();
  expect(scanned(snapshot)).toEqual(['sb=one@2']);
  snapshot.close();
  // printf '' | sha256sum
  expect(entryOf(replica, 'sa')).toMatchObject({
    revision: 3,
    removed: true,
    fingerprint: 'e3b0c44298fc1c14',
  });
  expect([...replica.entries()].map(([key, { removed }]) => [text(key), removed])).toEqual([
    ['sa', true],
    ['sb', false],
  ]);
  expect([...replica.entries(bytes('sa'))].map(([key]) => text(key))).toEqual(['sb']);

  await replica.forget([bytes('sa'), bytes('sb'), bytes('sc')]);
  const again = await reopen(replica, folder);
  expect([...again.entries()].map(([key]) => text(key))).toEqual(['sb']);
  expect(newestOf(again)).toEqual(['sb']);
  await again.apply([write('sa', 'new life', 5)], [], 5);
  expect(scanned(again)).toEqual(['sa=new life@5', 'sb=one@2']);
});

test('parts of a record wait for it out of sight, and go when it comes', async () => {
  const { replica, folder } = await newReplica();
  await replica.apply([], [part('v1', 1, 'world', 2), part('v1', 0, 'hello ', 1)], 2);
  const again = await reopen(replica, folder);
  expect(again.chunks(bytes('v1')).map(text)).toEqual(['hello ', 'world']);
  expect(scanned(again)).toEqual([]);
  expect((await again.facts()).usedBytes).toBe(0);
  // The first of the next generation is there already.
  const next = part('v1', 0, 'next', 4);
  await again.apply([write('v1', 'hello world', 3, { isHead: false })], [next], 4);
  expect(entryOf(again, 'v1')).toMatchObject({ revision: 3, chunks: 2 });
  expect(again.chunks(bytes('v1')).map(text)).toEqual(['next']);
  await again.apply([write('v1', 'next', 5, { chunks: 1 })], [], 5);
  expect(entryOf(again, 'v1')).toMatchObject({ revision: 5, chunks: 1 });
  expect(again.chunks(bytes('v1'))).toEqual([]);
  expect(scanned(again)).toEqual(['v1=next@5']);
});

test('the bytes that count are those of the records', async () => {
  const { replica, folder } = await newReplica();
  await replica.apply([write('sa', 'x'.repeat(100), 1), write('sb', 'x'.repeat(10), 2)], [], 2);
  expect((await replica.facts()).usedBytes).toBe(100 + 10 + 2 * 8);
  await replica.apply([write('sa', undefined, 3), write('sb', 'xx', 4)], [], 4);
  const again = await reopen(replica, folder);
  expect((await again.facts()).usedBytes).toBe(2 + 8);
});

test.each([
  ['was just begun', 0],
  ['is being written', 1],
])('a digest that is given while something %s counts from then on', async (_, turns) => {
  const { replica } = await newReplica();
  await replica.bind(ORIGIN);
  await replica.apply([write('sa', '1', 1)], [], 1);
  await replica.apply([], [], 5);
  // As a note of how far this instance is, sent while the store is opened.
  const flushed = replica.flush();
  for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
  replica.summarise(readable({ sa: '1' }));
  await flushed;
  await replica.apply([write('sb', '2', 6)], [], 6);
  expect(text(replica.summary ?? bytes(''))).toBe('{"sa":"1","sb":"2"} 2');
});

test('a new copy has no summary; from the digest that it is given on, each change of a head is in it', async () => {
  const { replica, folder } = await newReplica();
  await replica.apply([write('sa', '1', 1), write('va', 'x', 2, { isHead: false })], [], 2);
  expect(replica.summary).toBeUndefined();
  const again = await reopen(replica, folder);
  expect(again.summary).toBeUndefined();
  again.summarise(readable({ sa: '1' }));
  await again.refreshSummary();
  expect(text(again.summary ?? bytes(''))).toBe('{"sa":"1"} 1');
  await again.apply(
    [
      write('vb', 'x', 3, { isHead: false }),
      write('sb', '1', 4),
      write('sb', '2', 5),
      write('sa', undefined, 6),
      write('sa', '3', 7),
      write('sb', undefined, 8),
    ],
    [],
    8,
  );
  const third = await reopen(again, folder);
  expect(text(third.summary ?? bytes(''))).toBe('{"sa":"3"} 6');
  expect(third.sequence).toBe(6);
  await expect(third.apply([write('sa', '4', 9)], [], 9)).rejects.toThrow(/before summarise/);
  third.summarise(readable({ sa: '3' }));
  await third.apply([write('sa', '4', 9)], [], 9);
  expect(text(third.summary ?? bytes(''))).toBe('{"sa":"4"} 7');
});

test('the newest records are known, as many as it takes to see whether the stream still has them', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  const many = Array.from({ length: 40 }, (_, i) => write(`s${i}`, 'x', i + 1));
  await replica.apply(many, [], 40);
  await replica.apply([write('s20', 'again', 41), write('s0', undefined, 42)], [], 42);
  const again = await reopen(replica, folder);
  const newest = newestOf(again);
  expect(newest).toHaveLength(32);
  expect(newest.slice(0, 3)).toEqual(['s0', 's20', 's39']);
  expect(new Set(newest).size).toBe(32);
  expect(again.newest()[0]?.entry).toMatchObject({ revision: 42, removed: true });
  await again.bind({ ...ORIGIN, epoch: 2 });
  expect(newestOf(again)).toEqual(newest);
  await again.bind({ ...ORIGIN, created: 'another' });
  expect(newestOf(again)).toEqual([]);
  await again.apply([write('s5', 'x', 3)], [], 3);
  expect(newestOf(again)).toEqual(['s5']);
});

test('a position alone is seen at once, and is there again after a close', async () => {
  const { replica, folder } = await newReplica();
  await replica.apply([], [], 17);
  expect(replica.position).toBe(17);
  const again = await reopen(replica, folder);
  expect(again.position).toBe(17);
});

test('up to where nothing lacks is known after a close, and means nothing once the stream is another, or was healed', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  await replica.apply([write('sa', '1', 4)], [], 4, { settled: true });
  await replica.apply([write('sa', '2', 9)], [], 9);
  expect([replica.position, replica.settled]).toEqual([9, 4]);
  const again = await reopen(replica, folder);
  expect([again.position, again.settled]).toEqual([9, 4]);
  await again.apply([], [], 12, { settled: true });
  expect([again.position, again.settled]).toEqual([12, 12]);
  await again.bind(ORIGIN);
  expect(again.settled).toBe(12);
  await again.bind({ ...ORIGIN, epoch: ORIGIN.epoch + 1 });
  expect([again.position, again.settled]).toEqual([12, 0]);
});

test('emptied, it is as new but for who it is, what is wrong, and what it counted', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  replica.summarise(readable());
  await replica.apply([write('sa', '1', 1), write('sb', undefined, 2)], [part('sc', 0, 'x', 3)], 3);
  const alarm = {
    kind: 'recreated',
    message: 'the stream is another',
    instance: replica.instance,
    at: new Date(0),
  } as const;
  await replica.setAlarm(alarm);
  await replica.clear();
  const isEmpty = (one: Replica) => {
    expect([one.origin, one.position, one.summary, one.sequence]).toEqual([undefined, 0, undefined, 2]);
    expect([scanned(one), [...one.entries()], one.newest(), one.chunks(bytes('sc'))]).toEqual([
      [],
      [],
      [],
      [],
    ]);
    expect(one.alarm).toEqual(alarm);
  };
  isEmpty(replica);
  const again = await reopen(replica, folder);
  isEmpty(again);
  expect(again.instance).toBe(replica.instance);
  expect((await again.facts()).usedBytes).toBe(0);
  await again.apply([write('sa', '1', 1)], [], 1);
  expect(again.summary).toBeUndefined();
  await again.setAlarm(undefined);
  expect((await reopen(again, folder)).alarm).toBeUndefined();
});

test('a snapshot stays as it is, whatever is applied meanwhile', async () => {
  const { replica } = await newReplica();
  await replica.apply([write('sa', '1', 1)], [], 1);
  const snapshot = replica.snapshot();
  await replica.apply([write('sa', '2', 2), write('sb', '1', 3)], [], 3);
  expect([snapshot.sequence, scanned(snapshot)]).toEqual([1, ['sa=1@1']]);
  await replica.clear();
  expect(scanned(snapshot)).toEqual(['sa=1@1']);
  snapshot.close();
});

test('a full disk takes nothing of a transaction, and the same goes through when there is room', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  await replica.apply([write('sa', '1', 1)], [], 1);
  await replica.close();
  const full = await openReplica(folder, { ...OPTIONS, minFreeBytes: Number.MAX_SAFE_INTEGER });
  const more = [write('sb', '1', 2), write('sa', '2', 3)];
  expect(await codeOf(full.apply(more, [], 3))).toBe('storage_full');
  expect([full.position, scanned(full)]).toEqual([1, ['sa=1@1']]);
  // What makes it smaller goes through, and so does what it says of itself.
  await full.apply([write('sa', undefined, 4)], [], 4);
  await full.bind({ ...ORIGIN, epoch: 2 });
  const again = await reopen(full, folder);
  await again.apply(more, [], 5);
  expect(scanned(again)).toEqual(['sa=2@3', 'sb=1@2']);
});

test('changes that are asked at once come true one after the other, and a close waits for them', async () => {
  const { replica, folder } = await newReplica();
  const all = [
    ...Array.from({ length: 20 }, (_, i) => replica.apply([write('sa', `${i}`, i + 1)], [], i + 1)),
    replica.bind(ORIGIN),
  ];
  await replica.close();
  await Promise.all(all);
  expect(await codeOf(replica.apply([write('sa', 'late', 99)], [], 99))).toBe('stopped');
  const again = await openReplica(folder);
  expect([scanned(again), again.position, again.origin?.epoch]).toEqual([['sa=19@20'], 20, 1]);
});

test('a copy belongs to one bucket: under the name of another it is refused, until it is empty', async () => {
  const { replica, folder } = await newReplica();
  await replica.belongTo('cofer');
  // Of a stream that it never saw it knows nothing.
  await replica.belongTo('coffer');
  await replica.bind(ORIGIN);
  const again = await reopen(replica, folder);
  await again.belongTo('coffer');
  await expect(again.belongTo('cofer')).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringContaining(
      'a replica of the bucket coffer, and the configuration names the bucket cofer',
    ),
  });
  await again.clear();
  await again.belongTo('cofer');
});

test('a copy remembers the other members, those that were forgotten too, and they are none of its records', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  const member = (digit: string) => ({
    instance: digit.repeat(16),
    life: 0,
    isForgotten: false,
    name: `node-${digit}`,
    version: '1',
    epoch: 2,
    at: new Date(1_000),
  });
  for (const digit of ['f', '1', 'a']) await replica.keepMember(member(digit));
  await replica.keepMember({ ...member('1'), name: 'renamed' });
  await replica.keepMember({ ...member('a'), life: 2, isForgotten: true });
  const again = await reopen(replica, folder);
  const forgotten = { ...member('a'), life: 2, isForgotten: true };
  expect(again.members()).toEqual([{ ...member('1'), name: 'renamed' }, forgotten, member('f')]);
  expect([scanned(again), [...again.entries()], again.chunks(bytes('sa'))]).toEqual([[], [], []]);
});

test('an embedded store is no replica and a replica no embedded store: each is refused and stays as it is', async () => {
  const { replica, folder } = await newReplica();
  await replica.apply([write('sa', '1', 1)], [], 1);
  await replica.close();
  await expect(LmdbStorage.open(folder, OPTIONS)).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringContaining('storage.kind'),
  });
  expect(await codeOf(LmdbReader.open(folder))).toBe('unfit_store');
  expect(scanned(await openReplica(folder))).toEqual(['sa=1@1']);

  const other = await temporaryFolder();
  const embedded = await LmdbStorage.open(other, OPTIONS);
  await embedded.commit({ head: { key: bytes('sa'), bytes: bytes('1') }, expectedRevision: 0 });
  await embedded.close();
  await expect(Replica.open(other, OPTIONS)).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringContaining('coffer storage migrate'),
  });
  const again = await LmdbStorage.open(other, OPTIONS);
  expect(text(again.get(bytes('sa'))?.bytes ?? bytes(''))).toBe('1');
  await again.close();
});

test('killed at any moment, a copy is whole: records, position and summary are of one transaction, none acknowledged is lost', async () => {
  const folder = await temporaryFolder();
  let acknowledged = 0;
  for (let round = 0; round < 6; round++) {
    const child = fork(fileURLToPath(new URL('replica-writer.mjs', import.meta.url)), [folder]);
    const until = acknowledged + 1 + round * 5;
    child.on('message', (n: number) => {
      acknowledged = n;
      if (n >= until) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    const replica = await openReplica(folder);
    const n = replica.position / 10;
    expect(n).toBeGreaterThanOrEqual(acknowledged);
    expect(scanned(replica, 'a')).toEqual([`a=${n}@${n * 10 + 3}`]);
    expect([...replica.scan(bytes('n'))].map(([key]) => text(key))).toEqual([`n${n}`]);
    expect(replica.chunks(bytes('later')).map(text)).toEqual([`part ${n}`]);
    expect(text(replica.summary ?? bytes(''))).toBe(`a=${n} at ${n}`);
    expect([...replica.entries()]).toHaveLength(n + 1);
    expect((await replica.facts()).usedBytes).toBe(20_000 + String(n).length + 2 * 8);
    acknowledged = n;
    await replica.close();
  }
});

test('a copy in whose own rows somebody wrote opens all the same, and takes what does not read so for nothing', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN);
  const into = (...row: number[]): ReplicaWrite => ({
    ...write('', 'xxxx', 4),
    key: Buffer.from(row),
    isHead: false,
  });
  await replica.apply([into(0, 4, 9, 9, 9, 9, 9, 9, 9, 9), into(0, 3, 9)], [], 4);
  const again = await reopen(replica, folder);
  expect(again.members()).toEqual([]);
  await again.apply([write('sa', 'one', 5)], [], 5);
  expect(text(again.get(bytes('sa'))?.bytes ?? Buffer.of())).toBe('one');
});

test('what all have read long ago only grows, and over a heal no further than to where the epoch begins', async () => {
  const { replica, folder } = await newReplica();
  await replica.bind(ORIGIN, 0, 0);
  await replica.outlive(7, 1);
  await replica.outlive(3, 1);
  expect(replica.outlived).toBe(7);
  const again = await reopen(replica, folder);
  expect(again.outlived).toBe(7);
  await again.bind({ ...ORIGIN, epoch: 2 }, 20, 15);
  expect(again.outlived).toBe(7);
  // Set back to before that, and healed: who writes now may not have read what was at that place before.
  // What was found in an epoch says nothing of the next one, which may begin before it is written.
  await Promise.all([again.bind({ ...ORIGIN, epoch: 3 }, 9, 5), again.outlive(8, 2)]);
  expect(again.outlived).toBe(5);
});
