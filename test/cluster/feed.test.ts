import { expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, commit, Follower, later, makeBucket } from './followers.js';

async function bucket() {
  const server = await NatsServer.start();
  later(() => server.stop());
  return { server, connection: await makeBucket(server.url) };
}

test('what is committed is in the replica, and was admitted before, when its sequence has passed', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const first = await one.commit('sx', canary('a'));
  expect(one.text('sx')).toBe(canary('a'));
  const second = await one.commit('sx', canary('b'));
  expect(one.text('sx')).toBe(canary('b'));
  expect(one.admitted.map(({ before, revision }) => [before?.revision, revision])).toEqual([
    [undefined, first],
    [first, second],
  ]);
  expect(one.feed.problem).toBeUndefined();
  expect(one.feed.mark?.revision).toBe(second - 1);
});

test('a value in parts arrives whole, and again when it is replaced by one with more parts or fewer', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  for (const length of [10, 2_500, 90_000, 3_000]) {
    const value = canary(length) + 'x'.repeat(length);
    await one.commit('sbig', value);
    expect(one.text('sbig')).toBe(value);
  }
});

test('a new replica is filled with all that is there before anybody follows', async () => {
  const { server, connection } = await bucket();
  const one = await Follower.open(server.url);
  for (let index = 0; index < 500; index++) await commit(connection, one.replica, `s${index}`, canary(index));
  await one.feed.fill();
  expect([...one.replica.scan(bytes('s'))]).toHaveLength(500);
  expect(one.feed.problem?.code).toBe('unavailable');
});

test('a beat says how fresh the replica is; without the server it grows old and changes are refused', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  await expect.poll(() => one.beats.age()).toBeLessThan(500);
  one.beats.require(one.beats.mark());
  await server.pause();
  await expect.poll(() => one.feed.problem?.code).toBe('unavailable');
  await expect.poll(() => one.beats.age()).toBeGreaterThan(1_000);
  expect(() => one.beats.require(one.beats.mark())).toThrow(/not heard from the store/);
  await server.restart();
  await expect.poll(() => one.feed.problem).toBeUndefined();
  expect(one.beats.age()).toBeLessThan(1_000);
});

test('an instance that was away takes over what was committed meanwhile, and only that', async () => {
  const { server, connection } = await bucket();
  const first = (await Follower.open(server.url)).start();
  await first.commit('sa', canary('a'));
  await first.commit('sb', canary('b'));
  await first.end();
  const again = await Follower.open(server.url, first.folder);
  const sequence = await commit(connection, again.replica, 'sa', undefined);
  again.start();
  await again.feed.passed(sequence);
  expect(again.text('sa')).toBeUndefined();
  expect(again.replica.entry(bytes('sa'))?.removed).toBe(true);
  expect(again.admitted.map(({ key }) => Buffer.from(key).toString())).toEqual(['sa']);
});
