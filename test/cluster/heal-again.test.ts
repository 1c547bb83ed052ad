import { jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/nats-core';
import { expect, test } from 'vitest';
import { CofferError } from '../../packages/engine/src/errors.js';
import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Follower, later, layout, makeBucket, sayOfMember } from './followers.js';

/** Two instances that have the same. */
async function two() {
  const nats = await NatsCluster.start({ size: 1 });
  later(() => nats.stop());
  const connection = await makeBucket(nats.urls);
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const one = (await Follower.open(nats.urls)).start();
  const other = (await Follower.open(nats.urls)).start();
  for (const key of ['sa', 'sb']) await other.feed.passed(await one.commit(key, `1 ${canary(key)}`));
  const knows = () => one.feed.members.list().some(({ instance }) => instance === other.replica.instance);
  await expect.poll(knows).toBe(true);
  return { nats, connection, manager, one, other };
}

const healthy = async (...all: Follower[]) => {
  for (const { feed } of all) await expect.poll(() => feed.problem, { timeout: 30_000 }).toBeUndefined();
};

test('a heal that no instance could take over is made again by any of them, from what all of them have', {
  timeout: 120_000,
}, async () => {
  const { manager, one, other } = await two();
  const refuse = () => {
    throw new CofferError('tampered', 'a record does not open');
  };
  one.admission = refuse;
  other.admission = refuse;
  await expect(one.heal()).rejects.toThrow();
  for (const { feed } of [one, other]) {
    await expect.poll(() => feed.alarm.isOwn, { timeout: 30_000 }).toBe(true);
  }
  expect([one, other].map(({ replica }) => replica.origin?.epoch)).toEqual([1, 1]);
  await manager.streams.purge(layout.stream, { filter: layout.record(Buffer.from('sb')) });

  one.admission = () => {};
  other.admission = () => {};
  const report = await one.heal();
  expect(report).toMatchObject({ restored: 1, removed: 0, forks: [], absent: [] });
  expect(report.compared.toSorted()).toEqual([one.replica.instance, other.replica.instance].toSorted());
  await healthy(one, other);
  for (const { replica } of [one, other]) expect(replica.origin?.epoch).toBe(3);
  expect(other.text('sb')).toBe(`1 ${canary('sb')}`);
});

test('what nobody that is there has taken over is not healed again without those that are away', {
  timeout: 120_000,
}, async () => {
  const { one, other } = await two();
  one.admission = () => {
    throw new CofferError('tampered', 'a record does not open');
  };
  await expect(one.heal()).rejects.toThrow();
  await expect.poll(() => other.replica.origin?.epoch, { timeout: 30_000 }).toBe(2);
  await expect.poll(() => one.feed.alarm.isOwn, { timeout: 30_000 }).toBe(true);
  one.admission = () => {};
  await expect(one.heal()).rejects.toThrow(`at another instance (${other.replica.instance})`);
  await other.end();
  await expect(one.heal()).rejects.toThrow(`coffer storage heal --without ${other.replica.instance}`);
  await one.heal(false, false, [other.replica.instance]);
  await healthy(one);
  expect(one.replica.origin?.epoch).toBe(3);
});

test('an instance that answers is not left out of a heal unless it was named, and no heal compares nobody', {
  timeout: 120_000,
}, async () => {
  const { connection, manager, one, other } = await two();
  await connection.request('$KV.test.r.hello', 'x');
  for (const { feed } of [one, other]) {
    await expect.poll(() => feed.alarm.current, { timeout: 20_000 }).toBeDefined();
  }
  await manager.streams.purge(layout.stream, { filter: layout.record(Buffer.from('sb')) });
  const { instance } = other.replica;
  await sayOfMember(connection, instance, 0);
  await expect(one.heal()).rejects.toThrow(`coffer storage heal --without ${instance}`);
  await sayOfMember(connection, one.replica.instance, 0);
  const nobody = one.heal(false, false, [instance, one.replica.instance]);
  await expect(nobody).rejects.toThrow('nobody is there whose copy of the store could be compared');
  await sayOfMember(connection, one.replica.instance, { life: 1 });
  expect(await one.heal(false, false, [instance])).toMatchObject({
    restored: 1,
    compared: [one.replica.instance],
  });
  await healthy(one, other);
  expect(other.text('sb')).toBe(`1 ${canary('sb')}`);
});

test('a head that somebody else wrote again as something beside one is made a head again by one heal', {
  timeout: 120_000,
}, async () => {
  const { connection, manager, one, other } = await two();
  const subject = layout.record(Buffer.from('sa'));
  const now = await manager.streams.getMessage(layout.stream, { last_by_subj: subject });
  const said = headers();
  said.set(HEADER.kind, 'side');
  said.set(HEADER.print, now?.header.get(HEADER.print) ?? '');
  await connection.request(subject, now?.data, { headers: said, timeout: 5_000 });
  for (const { feed } of [one, other]) {
    await expect.poll(() => feed.alarm.isOwn, { timeout: 20_000 }).toBe(true);
  }
  expect(await one.heal()).toMatchObject({ restored: 1, forks: [], damaged: [] });
  await healthy(one, other);
  expect(other.replica.entry(Buffer.from('sa'))?.isHead).toBe(true);
  expect(await one.heal(true)).toMatchObject({ restored: 0, forks: [] });
});
