import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { readLast } from '../../packages/engine/src/storage/jetstream/last.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, commit, Follower, later, layout, makeBucket } from './followers.js';

async function bucket() {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  return { server, connection, manager: await jetstreamManager(connection) };
}

test('a record that is missing among many is found by comparing them all', async () => {
  const { server, manager } = await bucket();
  const one = (await Follower.open(server.url)).start();
  for (let index = 0; index < 100; index++) await one.commit(`s${index}`, canary(index));
  const removed = await one.commit('s50', undefined);
  expect(await one.feed.scrub()).toBe(100);
  expect(one.feed.problem).toBeUndefined();
  // That what was removed is forgotten is as it should be, when all have heard of it.
  await expect.poll(() => one.feed.members.level).toBeGreaterThanOrEqual(removed);
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes('s50')) });
  expect(await one.feed.scrub()).toBe(99);
  expect(one.feed.alarm.current).toBeUndefined();
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes('s3')) });
  await one.feed.scrub();
  await expect.poll(() => one.feed.alarm.current?.kind).toBe('missing');
  expect(one.text('s3')).toBe(canary(3));
});

test('a value of which a part is missing is found', async () => {
  const { server, manager } = await bucket();
  const one = (await Follower.open(server.url)).start();
  await one.commit('sbig', canary('big') + 'x'.repeat(5_000));
  expect(await one.feed.scrub()).toBe(1);
  await manager.streams.purge(layout.stream, { filter: layout.chunk(bytes('sbig'), 2) });
  await one.feed.scrub();
  await expect.poll(() => one.feed.alarm.current?.kind).toBe('damaged');
});

test('what a damaged server has not delivered is read again', async () => {
  const { server, connection } = await bucket();
  const one = (await Follower.open(server.url)).start();
  await one.commit('sa', canary('a'));
  await one.end();
  const away = await Follower.open(server.url, one.folder);
  await commit(connection, away.replica, 'sb', canary('hole'));
  const last = await commit(connection, away.replica, 'sc', canary('c'));
  await away.replica.apply([], [], last);
  await away.end();
  const again = (await Follower.open(server.url, one.folder)).start();
  await expect.poll(() => again.text('sb')).toBe(canary('hole'));
  expect(again.text('sc')).toBe(canary('c'));
  await expect.poll(() => again.feed.problem).toBeUndefined();
});

test('a reading of what the stream has comes to its end while more is written than is read', async () => {
  const { connection, manager } = await bucket();
  const write = (name: string) => connection.request(layout.record(bytes(name)), '');
  const names = Array.from({ length: 500 }, (_, index) => `s${index}`);
  for (const name of names) await write(name);
  const there = { connection, manager, stream: layout.stream, filters: [layout.all] };
  const read = new Set<string>();
  for await (const drops of readLast({ ...there, asItWas: true })) {
    for (const { subject } of drops) read.add(subject);
    // Before more is asked for, so that there is always something left.
    for (let more = 0; more <= drops.length; more++) await write(`more${read.size}.${more}`);
    expect(read.size).toBeLessThan(2_000);
  }
  for (const name of names) expect(read).toContain(layout.record(bytes(name)));
});
