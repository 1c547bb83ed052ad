import { cp, rm } from 'node:fs/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { bytes, Follower, later, layout, makeBucket } from './followers.js';

async function bucket() {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  return { server, connection, manager: await jetstreamManager(connection) };
}

/** The folder of one that has ended, as it is now. @returns what puts it back */
async function copyOf(folder: TemporaryFolder): Promise<() => Promise<void>> {
  const copy = new TemporaryFolder();
  later(() => copy[Symbol.dispose]());
  await cp(folder.path, copy.path, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
  return async () => {
    await rm(folder.path, { recursive: true });
    await cp(copy.path, folder.path, { recursive: true });
  };
}

const purge = ({ streams }: Awaited<ReturnType<typeof jetstreamManager>>, key: string) =>
  streams.purge(layout.stream, { filter: layout.record(bytes(key)) });

test('an instance whose folder was put back from a copy compares all that it has with the store, and says so', async () => {
  const { server, manager } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  for (const key of ['sa', 'sb', 'sc']) await two.feed.passed(await one.commit(key, canary(key)));
  await two.end();
  const putBack = await copyOf(two.folder);
  const again = (await Follower.open(server.url, two.folder)).start();
  await one.commit('sa', undefined);
  const removed = await one.commit('sb', undefined);
  await expect.poll(() => one.feed.members.level).toBeGreaterThanOrEqual(removed);
  expect(again.text('sb')).toBeUndefined();
  // Both removals are forgotten, and one of the two begins a new life.
  await purge(manager, 'sa');
  await purge(manager, 'sb');
  await again.end();
  await one.replica.forget([bytes('sb')]);
  await one.commit('sb', canary('second life'));
  await putBack();
  const back = await Follower.open(server.url, two.folder);
  expect(back.text('sa')).toBe(canary('sa'));
  back.start();
  await expect.poll(() => back.feed.problem).toBeUndefined();
  expect(back.text('sa')).toBeUndefined();
  expect(back.text('sb')).toBe(canary('second life'));
  expect(back.text('sc')).toBe(canary('sc'));
  expect(back.notices).toEqual([expect.stringContaining('put back from a copy')]);
  expect(one.feed.alarm.current).toBeUndefined();
  await back.feed.passed(await one.commit('sc', canary('c')));
  expect(back.text('sc')).toBe(canary('c'));
});

test('one that only missed some seconds is no reason to compare anything', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  await two.feed.passed(await one.commit('sa', canary('a')));
  // What it says of itself counts beats too, which are not on its disk with every one.
  await expect.poll(() => one.feed.members.level).toBeGreaterThan(one.replica.mark);
  await two.end();
  await one.commit('sa', canary('b'));
  const back = (await Follower.open(server.url, two.folder)).start();
  await expect.poll(() => back.text('sa')).toBe(canary('b'));
  expect(back.notices).toEqual([]);
});

test('a new instance that was killed while it read the store begins again', async () => {
  const { server } = await bucket();
  const one = (await Follower.open(server.url)).start();
  await one.commit('sa', canary('a'));
  const killed = await Follower.open(server.url);
  const half = {
    key: bytes('sz'),
    bytes: bytes(canary('deleted meanwhile')),
    revision: 2,
    isHead: true,
    lineage: [],
  };
  await killed.replica.apply([half], [], 2);
  await killed.end();
  const again = await Follower.open(server.url, killed.folder);
  await again.feed.fill();
  expect(again.text('sz')).toBeUndefined();
  expect(again.text('sa')).toBe(canary('a'));
  again.start();
  await expect.poll(() => again.feed.problem).toBeUndefined();
  expect(again.notices).toEqual([]);
});
