import { afterAll, beforeAll, expect, test } from 'vitest';

import { NatsCluster } from '../support/cluster.mjs';
import { bytes, Follower, later, makeBucket } from './followers.js';
import { openStorage, removeFolders } from './jetstream-support.js';

let cluster: NatsCluster;

beforeAll(async () => {
  cluster = await NatsCluster.start({ size: 1, auth: 'open', direct: true });
});

afterAll(async () => {
  await cluster?.stop();
  removeFolders();
});

test('nobody waits any more for a sequence when the wait was given up', async () => {
  const connection = await makeBucket(cluster.urls[0] ?? '');
  later(() => connection.close());
  const one = (await Follower.open(cluster.urls[0] ?? '')).start();
  const sequence = await one.commit('sx', 'a');
  const end = new AbortController();
  const waits = Array.from({ length: 100 }, () => one.feed.passed(sequence + 1_000, end.signal));
  const all = Promise.allSettled(waits);
  expect(one.feed.waiting).toBe(100);
  end.abort(new Error('given up'));
  expect((await all).every(({ status }) => status === 'rejected')).toBe(true);
  expect(one.feed.waiting).toBe(0);
  await one.commit('sx', 'b');
});

test('a position far beyond the end of the stream is refused at once, and one that is to come after a second', async () => {
  const storage = await openStorage(cluster, { bucket: 'reached' });
  const sequence = await storage.commit({
    head: { key: bytes('sx'), bytes: bytes('a') },
    expectedRevision: 0,
  });
  const [stream] = storage.shared.position.split('-');
  const began = performance.now();
  const far = storage.shared.reached(`${stream}-1-999999999999999`);
  await expect(far).rejects.toMatchObject({ code: 'stale' });
  expect(performance.now() - began).toBeLessThan(500);
  const near = Array.from({ length: 3_000 }, () =>
    storage.shared.reached(`${stream}-1-${sequence + 10_000}`),
  );
  const refused = await Promise.allSettled(near);
  expect(refused.every(({ status }) => status === 'rejected')).toBe(true);
  await storage.shared.reached(`${stream}-1-${sequence}`);
  await storage.close();
});
