import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, beforeEach, expect, onTestFinished, test } from 'vitest';
import type { CofferError } from '../../packages/engine/src/errors.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import type { JetStreamStorage } from '../../packages/engine/src/storage/jetstream/storage.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { connectTo, openStorage, removeFolders } from './jetstream-support.js';

/** What somebody can do who hears the changes on their way, and may publish where their answers are waited for: he is the first to answer. */

const layout = new Layout('test');
const bytes = (text: string) => Buffer.from(text);
const TIMES = 10;

let cluster: NatsCluster;
let one: JetStreamStorage;
let two: JetStreamStorage;

beforeEach(async () => {
  cluster = await NatsCluster.start({ size: 1 });
  one = await openStorage(cluster);
  two = await openStorage(cluster);
});

afterEach(async () => {
  await Promise.all([one?.close(), two?.close()]);
  await cluster?.stop();
  removeFolders();
});

/** From now on whoever publishes a batch is told this. */
async function answerAll(answer: object, urls = cluster.urls): Promise<() => number> {
  const stranger = await connectTo(urls);
  let count = 0;
  stranger.subscribe(layout.all, {
    callback: (_, { reply, headers }) => {
      if (!reply || headers?.get('Nats-Batch-Commit') !== '1') return;
      count++;
      stranger.publish(reply, JSON.stringify(answer));
    },
  });
  await stranger.flush();
  return () => count;
}

const STORED = { stream: layout.stream, seq: 2 };
const CONFLICT = { error: { code: 400, err_code: 10071, description: 'wrong last sequence: 1' } };

const set = (storage: JetStreamStorage, text: string, expectedRevision: number) =>
  storage.commit({ head: { key: bytes('s'), bytes: bytes(canary(text)) }, expectedRevision }).then(
    () => 'done',
    ({ code }: CofferError) => code,
  );

const read = (storage: JetStreamStorage) => Buffer.from(storage.get(bytes('s'))?.bytes ?? []).toString();
const revisionAt = (storage: JetStreamStorage) => storage.get(bytes('s'))?.revision ?? 0;

/** All that the stream has. */
async function agreed(): Promise<void> {
  const manager = await jetstreamManager(await cluster.connect());
  const { state } = await manager.streams.info(layout.stream);
  const position = () => Math.min(...[one, two].map(({ shared }) => shared.health.replicaSequence));
  await expect.poll(position).toBeGreaterThanOrEqual(state.last_seq);
}

test('of two changes of one head no more than one is told to be stored, whatever somebody answers', async () => {
  expect(await set(one, 'first', 0)).toBe('done');
  await agreed();
  const answered = await answerAll(STORED);
  for (let time = 0; time < TIMES; time++) {
    const revision = revisionAt(one);
    const told = await Promise.all([set(one, `one ${time}`, revision), set(two, `two ${time}`, revision)]);
    await expect.poll(() => Math.min(revisionAt(one), revisionAt(two))).toBeGreaterThan(revision);
    await agreed();
    const done = told.flatMap((outcome, at) => (outcome === 'done' ? [`${at ? 'two' : 'one'} ${time}`] : []));
    expect([[], [read(one)]]).toContainEqual(done.map((text) => canary(text)));
  }
  expect(answered()).toBeGreaterThan(TIMES);
});

test('a change that came true is not told to be overtaken, whatever somebody answers', async () => {
  expect(await set(one, 'first', 0)).toBe('done');
  const answered = await answerAll(CONFLICT);
  for (let time = 0; time < TIMES; time++) {
    expect(await set(one, `later ${time}`, revisionAt(one))).toBe('done');
    expect(read(one)).toBe(canary(`later ${time}`));
  }
  expect(answered()).toBeGreaterThanOrEqual(TIMES);
});

test('a large change is not made where its parts are not shown to be there', async () => {
  await using servers = await NatsCluster.start({ size: 3 });
  const first = await openStorage(servers);
  await first.close();
  const leader = await servers.leaderOf(layout.stream);
  if (!leader) throw new Error('the stream has no leader');
  const storage = await openStorage(servers, { urls: [leader.url] });
  onTestFinished(() => storage.close());
  expect(await set(storage, 'first', 0)).toBe('done');
  await answerAll(STORED, [leader.url]);
  const put = Array.from({ length: 1_000 }, (_, n) => ({
    key: bytes(`v${n}`),
    bytes: bytes(canary(`v${n}`)),
  }));
  const head = { key: bytes('h'), bytes: bytes(canary('h')) };
  // It takes messages, and can store none.
  servers.isolate(leader);
  const large = storage.commit({ head, put, expectedRevision: 0, divisible: true });
  await expect(large).rejects.toMatchObject({
    code: 'unavailable',
    message: expect.stringContaining('does not show it'),
  });
});
