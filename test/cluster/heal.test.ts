import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { HEADER, LINEAGE } from '../../packages/engine/src/storage/jetstream/layout.js';
import { encodeAlarm } from '../../packages/engine/src/storage/jetstream/notes.js';
import { put } from '../../packages/engine/src/storage/jetstream/put.js';
import type { StorageAlarm } from '../../packages/engine/src/storage/shared.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { bytes, Follower, later, layout, makeBucket, putBackTo, sayOfMember } from './followers.js';

async function cluster(size = 1) {
  const nats = await NatsCluster.start({ size });
  later(() => nats.stop());
  return { nats, connection: await makeBucket(nats.urls, size) };
}

const alarmOf = (follower: Follower) => follower.feed.alarm.current?.kind;
const healthy = async (...all: Follower[]) => {
  for (const one of all) await expect.poll(() => one.feed.problem).toBeUndefined();
};

test('what a stream lost that was put back comes back from the instances, and what was removed stays so', async () => {
  const { nats } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a1'));
  await one.commit('sgone', canary('gone'));
  const putBack = await putBackTo(nats);
  await one.commit('sa', canary('a2'));
  await one.commit('sb', canary('b'));
  await one.commit('sbig', canary('big') + 'x'.repeat(4_000));
  const last = await one.commit('sgone', undefined);
  await two.feed.passed(last);
  await putBack();
  await expect.poll(() => alarmOf(one)).toBeDefined();
  await expect.poll(() => alarmOf(two)).toBeDefined();

  const planned = await one.heal(true);
  expect(planned).toMatchObject({ dryRun: true, restored: 3, removed: 1, absent: [], forks: [] });
  expect(planned.compared).toHaveLength(2);
  expect(alarmOf(one)).toBeDefined();
  expect(await one.heal()).toMatchObject({ dryRun: false, restored: 3, removed: 1, forks: [] });

  await healthy(one, two);
  const fresh = await Follower.open(nats.urls);
  await fresh.feed.fill();
  fresh.start();
  await healthy(fresh);
  for (const follower of [one, two, fresh]) {
    expect(follower.text('sa')).toBe(canary('a2'));
    expect(follower.text('sb')).toBe(canary('b'));
    expect(follower.text('sbig')).toBe(canary('big') + 'x'.repeat(4_000));
    expect(follower.text('sgone')).toBeUndefined();
    expect(follower.replica.origin?.epoch).toBe(2);
    // How long the stream was before has nothing to do with how long it is.
    expect(follower.notices).toEqual([]);
  }
  const sequence = await two.commit('sa', canary('a3'));
  await one.feed.passed(sequence);
  expect(one.text('sa')).toBe(canary('a3'));
  expect(await one.feed.scrub()).toBeGreaterThan(0);
  expect(alarmOf(one)).toBeUndefined();
});

test('a stream of which somebody says that it is gone is looked at before it is told what a heal would bring back', async () => {
  const { nats, connection } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  const said = { message: 'it is gone', instance: 'f'.repeat(16), at: new Date(), healer: undefined };
  await put(connection, layout.alarm, encodeAlarm({ kind: 'gone', ...said }));
  await expect.poll(() => alarmOf(one)).toBe('gone');
  expect(await one.heal(true)).toMatchObject({ dryRun: true, restored: 0 });
  await (await jetstreamManager(connection)).streams.delete(layout.stream);
  await expect.poll(() => one.feed.alarm.isOwn).toBe(true);
  expect(await one.heal(true)).toMatchObject({ dryRun: true, restored: 1 });
  expect(await one.heal()).toMatchObject({ dryRun: false, restored: 1 });
  await healthy(one);
});

test('a stream that is gone is made anew from what one instance has, and the others compare themselves with it', async () => {
  const { nats, connection } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await two.feed.passed(await one.commit('sa', canary('a')));
  await two.feed.passed(await one.commit('sb', canary('b')));
  await two.end();
  await one.commit('sb', undefined);
  await (await jetstreamManager(connection)).streams.delete(layout.stream);
  await expect.poll(() => alarmOf(one)).toBe('gone');
  const without = [two.replica.instance];
  expect(await one.heal(false, false, without)).toMatchObject({
    restored: 1,
    compared: [one.replica.instance],
    absent: without,
  });
  await healthy(one);
  const back = (await Follower.open(nats.urls, two.folder)).start();
  await healthy(back);
  expect(back.text('sa')).toBe(canary('a'));
  expect(back.text('sb')).toBeUndefined();
  await back.feed.passed(await one.commit('sc', canary('c')));
  expect([...one.notices, ...back.notices]).toEqual([]);
});

test('a heal goes on where another instance writes the alarm into the stream just before it announces itself', async () => {
  const { nats, connection } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  await (await jetstreamManager(connection)).streams.delete(layout.stream);
  await expect.poll(() => alarmOf(one)).toBe('gone');
  const own = one.link.connection;
  const alarm = one.feed.alarm.raised;
  if (!own || !alarm) throw new Error('no connection, or no alarm');
  const request = own.request.bind(own);
  let others = 0;
  own.request = async (subject, ...rest) => {
    if (subject === layout.alarm && others++ === 0) {
      await put(connection, subject, encodeAlarm({ ...alarm, healer: undefined }));
    }
    return request(subject, ...rest);
  };
  expect(await one.heal()).toMatchObject({ restored: 1 });
  expect(others).toBeGreaterThan(1);
  await healthy(one);
});

test('a heal where nothing was wrong names who heals, not an instance that there is not, and says it once', async () => {
  const { nats } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await two.feed.passed(await one.commit('sa', canary('a')));
  const said: (StorageAlarm | undefined)[] = [];
  two.feed.alarm.onChange(() => said.push(two.feed.alarm.current));
  await one.heal();
  await healthy(one, two);
  const { instance } = one.replica;
  expect(said).toEqual([
    expect.objectContaining({
      instance,
      healer: instance,
      message: expect.stringMatching(`^instance ${instance} heals the store, [^;]+$`),
    }),
    undefined,
  ]);
});

test('each member is in the report of a heal: as compared, or as one whose word does not count', async () => {
  const { nats, connection } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await two.feed.passed(await one.commit('sa', canary('a')));
  // It has said that it had more than it has, as one does that reads the store anew.
  two.feed.members.own.stop();
  await sayOfMember(connection, two.replica.instance, { confirmed: 1e9 });
  expect(await one.heal(true)).toMatchObject({
    compared: [one.replica.instance],
    absent: [two.replica.instance],
  });
});

test('of a record with two futures the further one wins, and the other is kept', async () => {
  const { nats, connection } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', `1 ${canary('before')}`);
  const putBack = await putBackTo(nats);
  await one.commit('sa', `2 ${canary('lost')}`);
  await one.commit('sb', `1 ${canary('only here')}`);
  await one.end();
  await putBack();
  const other = (await Follower.open(nats.urls)).start();
  await healthy(other);
  await other.commit('sa', `2 ${canary('other')}`);
  await other.commit('sa', `3 ${canary('other')}`);
  const again = (await Follower.open(nats.urls, one.folder)).start();
  await expect.poll(() => alarmOf(again)).toBeDefined();
  await expect.poll(() => alarmOf(other)).toBeDefined();
  const report = await other.heal();
  expect(report).toMatchObject({
    restored: 1,
    setAside: 1,
    forks: [{ key: bytes('sa').toString('hex'), winner: 'stream', other: again.replica.instance }],
  });
  await healthy(again, other);
  expect(again.text('sa')).toBe(`3 ${canary('other')}`);
  expect(other.text('sb')).toBe(`1 ${canary('only here')}`);
  const manager = await jetstreamManager(connection);
  const kept = await manager.streams.getMessage(layout.stream, {
    last_by_subj: `$KV.test.${report.forks[0]?.keptAs}.0`,
  });
  expect(Buffer.from(kept?.data ?? []).toString()).toBe(`2 ${canary('lost')}`);
});

test('what may have been another future, and nobody can tell, is set aside and counted too', async () => {
  const { nats } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', `1 ${canary('before')}`);
  const putBack = await putBackTo(nats);
  await one.commit('sa', `2 ${canary('lost')}`);
  await one.end();
  await putBack();
  const other = (await Follower.open(nats.urls)).start();
  await healthy(other);
  for (let index = 2; index <= 4 * LINEAGE; index++) await other.commit('sa', `${index} ${canary('other')}`);
  const again = (await Follower.open(nats.urls, one.folder)).start();
  await expect.poll(() => alarmOf(other)).toBeDefined();
  for (const dryRun of [true, false]) {
    expect(await other.heal(dryRun)).toMatchObject({ forks: [], setAside: 1 });
  }
  await healthy(again, other);
  expect(await other.heal(true)).toMatchObject({ setAside: 0 });
});

test('a heal that was broken off is begun again, by another instance too; two at a time do not work', async () => {
  const { nats } = await cluster();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  const putBack = await putBackTo(nats);
  for (let index = 0; index < 50; index++) await one.commit(`s${index}`, canary(index));
  await two.feed.passed(one.feed.position);
  await putBack();
  await expect.poll(() => alarmOf(one)).toBeDefined();
  await expect.poll(() => alarmOf(two)).toBeDefined();
  const both = await Promise.allSettled([one.heal(), two.heal()]);
  expect(both.filter(({ status }) => status === 'fulfilled').length).toBeLessThanOrEqual(1);
  await expect
    .poll(async () => {
      if (one.feed.problem?.code === 'store_alarm') await two.heal().catch(() => {});
      return one.feed.problem;
    })
    .toBeUndefined();
  await healthy(two);
  for (let index = 0; index < 50; index++) expect(two.text(`s${index}`)).toBe(canary(index));
});

test('an instance whose disk is lost too takes over what another one had', async () => {
  const { nats } = await cluster(3);
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  const three = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a1'));
  const putBack = await putBackTo(nats);
  await three.feed.passed(await one.commit('sa', canary('a2')));
  await three.feed.passed(await one.commit('sb', canary('b')));
  await one.end();
  await two.end();
  await putBack();
  await expect.poll(() => alarmOf(three), { timeout: 60_000 }).toBeDefined();
  const report = await three.heal(false, false, [one.replica.instance, two.replica.instance]);
  expect(report.absent).toHaveLength(2);
  const fresh = await Follower.open(nats.urls);
  await fresh.feed.fill();
  fresh.start();
  const late = (await Follower.open(nats.urls, two.folder)).start();
  await healthy(three, fresh, late);
  for (const follower of [three, fresh, late]) {
    expect(follower.text('sa')).toBe(canary('a2'));
    expect(follower.text('sb')).toBe(canary('b'));
  }
});

test('parts of a record that it has no use for are removed when it is written anew, whatever the record says', async () => {
  const { nats, connection } = await cluster();
  const manager = await jetstreamManager(connection);
  const one = (await Follower.open(nats.urls)).start();
  const text = canary('big') + 'x'.repeat(5_000);
  await one.commit('sbig', text);
  const last = (subject: string) => manager.streams.getMessage(layout.stream, { last_by_subj: subject });
  const parts = Number((await last(layout.record(bytes('sbig'))))?.header.get(HEADER.chunks));
  await put(connection, layout.chunk(bytes('sbig'), parts + 2), bytes('nobody counts it'));
  await put(connection, layout.record(bytes('sbig')), bytes('x'));
  await expect.poll(() => alarmOf(one)).toBe('damaged');
  expect(await one.heal()).toMatchObject({ restored: 1 });
  await healthy(one);
  const removed = async (part: number) =>
    (await last(layout.chunk(bytes('sbig'), part)))?.header.get(HEADER.operation) === 'DEL';
  // It goes into one message by now.
  for (const part of [0, parts - 1, parts + 2]) expect(await removed(part)).toBe(true);
  expect(one.text('sbig')).toBe(text);
});

test('a record that is damaged in the stream is written anew by who has it, and set aside on demand where nobody has', async () => {
  const { nats, connection } = await cluster();
  const manager = await jetstreamManager(connection);
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  const text = canary('big') + 'x'.repeat(5_000);
  await two.feed.passed(await one.commit('sbig', text));
  await two.end();
  await manager.streams.purge(layout.stream, { filter: layout.chunk(bytes('sbig'), 2) });
  await one.feed.scrub();
  await expect.poll(() => alarmOf(one)).toBe('damaged');
  expect(await one.heal(false, false, [two.replica.instance])).toMatchObject({ restored: 1, damaged: [] });
  await healthy(one);
  const back = (await Follower.open(nats.urls, two.folder)).start();
  await healthy(back);
  expect(back.text('sbig')).toBe(text);

  await back.end();
  await one.commit('slost', canary('lost') + 'x'.repeat(5_000));
  await one.end();
  await manager.streams.purge(layout.stream, { filter: layout.chunk(bytes('slost'), 2) });
  const last = (await Follower.open(nats.urls, two.folder)).start();
  await expect.poll(() => alarmOf(last)).toBeDefined();
  const without = [one.replica.instance];
  await expect(last.heal(false, false, without)).rejects.toThrow('--give-up-damaged');
  const report = await last.heal(false, true, without);
  expect(report.damaged).toMatchObject([{ key: bytes('slost').toString('hex') }]);
  await healthy(last);
  expect(last.text('slost')).toBeUndefined();
  expect(last.text('sbig')).toBe(text);
  const kept = await manager.streams.getMessage(layout.stream, {
    last_by_subj: `$KV.test.${report.damaged[0]?.keptAs}.0`,
  });
  expect(Buffer.from(kept?.data ?? []).toString()).toContain(canary('lost'));
  expect(await last.feed.scrub()).toBeGreaterThan(0);
  expect(alarmOf(last)).toBeUndefined();
});
