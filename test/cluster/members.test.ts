import { expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, commit, Follower, later, makeBucket } from './followers.js';

async function bucket() {
  const server = await NatsServer.start();
  later(() => server.stop());
  return { server, connection: await makeBucket(server.url) };
}

const confirmed = (one: Follower, revision: number) => () => one.feed.members.confirmedByAll(revision);

test('what was removed is confirmed by all when the last of them has it', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  await one.commit('sa', canary('a'));
  await expect.poll(() => one.feed.members.list().filter(({ alive }) => alive)).toHaveLength(2);
  const removed = await one.commit('sa', undefined);
  await expect.poll(confirmed(one, removed)).toBe(true);
  await two.end();
  const later = await one.commit('sb', canary('b'));
  const behind = await one.commit('sb', undefined);
  expect(behind).toBeGreaterThan(later);
  expect(one.feed.members.confirmedByAll(behind)).toBe(false);
  const again = (await Follower.open(server.url, two.folder)).start();
  await expect.poll(confirmed(one, behind)).toBe(true);
  await expect.poll(confirmed(again, behind)).toBe(true);
});

test('a member that was forgotten is waited for no more, and compares all that it has when it comes back', async () => {
  const { server, connection } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  const gone = two.replica.instance;
  await two.feed.passed(await one.commit('sa', canary('a')));
  await two.feed.passed(await one.commit('sb', canary('b')));
  await expect(one.feed.members.forget(gone)).rejects.toMatchObject({ code: 'conflict' });
  await expect(one.feed.members.forget('nobody')).rejects.toMatchObject({ code: 'not_found' });
  await two.end();
  const removed = await one.commit('sa', undefined);
  await expect
    .poll(() => one.feed.members.list().find(({ instance }) => instance === gone)?.alive, { timeout: 60_000 })
    .toBe(false);
  await one.feed.members.forget(gone);
  await expect.poll(confirmed(one, removed)).toBe(true);
  // The mark of the removal is swept.
  await sweep(connection, 'sa');
  const back = await Follower.open(server.url, two.folder);
  expect(back.text('sa')).toBe(canary('a'));
  back.start();
  await expect.poll(() => back.feed.problem).toBeUndefined();
  expect(back.text('sa')).toBeUndefined();
  expect(back.text('sb')).toBe(canary('b'));
  await back.feed.passed(await commit(connection, one.replica, 'sb', canary('c')));
  expect(back.text('sb')).toBe(canary('c'));
}, 120_000);

async function sweep(connection: Awaited<ReturnType<typeof makeBucket>>, key: string): Promise<void> {
  const { jetstreamManager } = await import('@nats-io/jetstream');
  const { layout } = await import('./followers.js');
  const manager = await jetstreamManager(connection);
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes(key)) });
}

test('one of two holds a lease; the other has it when the first gives it up, or ends', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  const first = one.feed.leases.lease('work');
  await expect.poll(() => first.held).toBe(true);
  const second = two.feed.leases.lease('work');
  let told = 0;
  second.onChange(() => told++);
  await expect.poll(() => two.beats.age()).toBeLessThan(500);
  expect(second.held).toBe(false);
  first.close();
  expect(first.held).toBe(false);
  await expect.poll(() => second.held).toBe(true);
  expect(told).toBe(1);
  const third = one.feed.leases.lease('work');
  await two.end();
  await expect.poll(() => third.held).toBe(true);
});

test('who cannot reach the stream holds nothing after some seconds, before another takes it', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const held = one.feed.leases.lease('work');
  await expect.poll(() => held.held).toBe(true);
  await server.pause();
  await expect.poll(() => held.held).toBe(false);
  await server.restart();
  const two = (await Follower.open(server.url)).start();
  const other = two.feed.leases.lease('work');
  await expect.poll(() => held.held || other.held).toBe(true);
  expect(held.held && other.held).toBe(false);
});
