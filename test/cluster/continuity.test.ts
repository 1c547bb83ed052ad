import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { bytes, commit, Follower, later, layout, makeBucket, putBackTo } from './followers.js';

async function cluster(size: number) {
  const nats = await NatsCluster.start({ size });
  later(() => nats.stop());
  const connection = await makeBucket(nats.urls, size);
  return { nats, connection };
}

const alarmOf = (follower: Follower) => follower.feed.alarm.current?.kind;

test('a stream that was put back is noticed: nothing is taken over any more, and all refuse changes', async () => {
  const { nats } = await cluster(1);
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  const putBack = await putBackTo(nats);
  await one.commit('sa', canary('b'));
  await two.feed.passed(one.feed.position);
  await putBack();
  await expect.poll(() => alarmOf(one)).toBeDefined();
  await expect.poll(() => alarmOf(two)).toBeDefined();
  expect(one.feed.problem?.code).toBe('store_alarm');
  expect(one.text('sa')).toBe(canary('b'));
  await expect(one.feed.passed(1e9)).rejects.toMatchObject({ code: 'store_alarm' });
});

test('a stream that was put back and written on, further than this instance had read, is noticed', async () => {
  const { nats, connection } = await cluster(1);
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  const putBack = await putBackTo(nats);
  await one.commit('sa', canary('b'));
  await one.end();
  await putBack();
  const other = (await Follower.open(nats.urls)).start();
  await expect.poll(() => other.feed.problem).toBeUndefined();
  for (let index = 0; index < 100; index++) await other.commit('sa', canary(index));
  const again = (await Follower.open(nats.urls, one.folder)).start();
  await expect.poll(() => alarmOf(again)).toBe('behind');
  expect(again.text('sa')).toBe(canary('b'));
  // The other one has nothing to find, and hears of it.
  await expect.poll(() => alarmOf(other)).toBe('behind');
  expect(other.feed.alarm.current?.instance).toBe(again.replica.instance);
  await expect(commit(connection, other.replica, 'sb', canary('c'))).resolves.toBeGreaterThan(0);
  await expect.poll(() => other.text('sb')).toBe(canary('c'));
});

test('a record that was overwritten after the stream was put back is noticed by who had another of its place', async () => {
  const { nats } = await cluster(1);
  const writer = (await Follower.open(nats.urls)).start();
  const reader = (await Follower.open(nats.urls)).start();
  await reader.feed.passed(await writer.commit('sa', canary('a')));
  const putBack = await putBackTo(nats);
  await reader.feed.passed(await writer.commit('sa', canary('b')));
  await reader.end();
  await writer.end();
  await putBack();
  const other = (await Follower.open(nats.urls)).start();
  await expect.poll(() => other.feed.problem).toBeUndefined();
  for (let index = 0; index < 6; index++) await other.commit('sa', canary(index));
  for (let index = 0; index < 20; index++) await other.commit(`s${index}`, canary(index));
  const again = (await Follower.open(nats.urls, reader.folder)).start();
  await expect.poll(() => alarmOf(again)).toBe('fork');
});

test('a stream that is not there any more is noticed, and one that was made anew', async () => {
  const { nats, connection } = await cluster(1);
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  const manager = await jetstreamManager(connection);
  await manager.streams.delete(layout.stream);
  await expect.poll(() => alarmOf(one)).toBe('gone');
  await one.end();
  await makeBucket(nats.urls);
  const again = (await Follower.open(nats.urls, one.folder)).start();
  expect(again.feed.problem?.code).toBe('store_alarm');
  expect(again.text('sa')).toBe(canary('a'));

  const two = (await Follower.open(nats.urls)).start();
  await two.commit('sa', canary('b'));
  await manager.streams.delete(layout.stream);
  await makeBucket(nats.urls);
  await expect.poll(() => alarmOf(two)).toMatch(/gone|recreated/);
});

test('a record that is missing in the middle is noticed by who had it last', async () => {
  const { nats, connection } = await cluster(1);
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  await one.commit('sb', canary('b'));
  await one.end();
  const manager = await jetstreamManager(connection);
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes('sa')) });
  const again = (await Follower.open(nats.urls, one.folder)).start();
  await expect.poll(() => alarmOf(again)).toBe('missing');
});

test('an alarm outlives the instance that found it, and a stream that was put back before it', async () => {
  const { nats, connection } = await cluster(1);
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  const beforeLoss = await putBackTo(nats);
  await one.commit('sb', canary('b'));
  await beforeLoss();
  await expect.poll(() => alarmOf(one)).toBe('behind');
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const said = () => manager.streams.getMessage(layout.stream, { last_by_subj: layout.alarm });
  await expect.poll(() => said().catch(() => null)).not.toBeNull();
  await one.end();
  await beforeLoss();
  await expect.poll(() => said().catch(() => undefined)).toBeNull();
  const again = (await Follower.open(nats.urls, one.folder)).start();
  expect(again.feed.problem?.code).toBe('store_alarm');
  await expect.poll(said).not.toBeNull();
});

test('a leader that was deposed and does not know it raises no alarm', async () => {
  const { nats } = await cluster(3);
  const leader = await nats.leaderOf(layout.stream);
  if (!leader) throw new Error('no leader');
  const one = (await Follower.open(leader.url)).start();
  await one.commit('sa', canary('a'));
  // This instance hears of what the others commit in the meantime, and then talks to the deposed one only.
  const others = nats.servers.filter((server) => server !== leader).map(({ url }) => url);
  const two = (await Follower.open(others)).start();
  await two.feed.passed(one.feed.position);
  nats.isolate(leader);
  let last = 0;
  await expect
    .poll(async () => {
      last = await two.commit('sb', canary('b')).catch(() => 0);
      return last;
    })
    .toBeGreaterThan(0);
  await two.end();
  const behind = (await Follower.open(leader.url, two.folder)).start();
  await expect.poll(() => behind.feed.problem?.code).toBe('unavailable');
  const until = performance.now() + 3_000;
  await expect.poll(() => performance.now() > until).toBe(true);
  expect(alarmOf(behind)).toBeUndefined();
  expect(alarmOf(one)).toBeUndefined();
  nats.mend();
  await expect.poll(() => behind.feed.problem, { timeout: 60_000 }).toBeUndefined();
  expect(behind.text('sb')).toBe(canary('b'));
  await expect.poll(() => one.text('sb'), { timeout: 60_000 }).toBe(canary('b'));
});

test('a server that is paused for long is no reason for an alarm, and all goes on when it is back', async () => {
  const { nats } = await cluster(1);
  const [server] = nats.servers;
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  await expect.poll(() => one.beats.age()).toBeLessThan(500);
  server?.pause();
  await expect.poll(() => one.feed.problem?.code).toBe('unavailable');
  expect(() => one.beats.require(one.beats.mark())).toThrow(/not heard/);
  server?.resume();
  await expect.poll(() => one.feed.problem).toBeUndefined();
  expect(alarmOf(one)).toBeUndefined();
  await one.commit('sa', canary('b'));
});
