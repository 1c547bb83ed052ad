import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/nats-core';
import { expect, test } from 'vitest';
import { lastOfMember, memberMessage } from '../../packages/engine/src/storage/jetstream/member-message.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, Follower, later, layout, makeBucket, sayOfMember, seal } from './followers.js';

const WAIT = { timeout: 20_000 };
const OTHER = 'f'.repeat(16);
const FORGED = { name: 'x', version: '0', life: 9, epoch: 9, confirmed: 2 ** 53 - 1, awaited: 0 };

async function bucket() {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const open = async (name: string, like?: Follower) =>
    (await Follower.open(server.url, like?.folder, { name })).start();
  return { url: server.url, connection, manager, open };
}

const knows = (one: Follower, other: Follower) => () =>
  one.feed.members.list().find(({ instance }) => instance === other.replica.instance);
const healthy = async (...all: Follower[]) => {
  for (const { feed } of all) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
};
const lifeOf = async (manager: JetStreamManager, { replica }: Follower) =>
  (await lastOfMember(manager, layout, seal, replica.instance))?.said;

/** What is said of a member by somebody who is no instance: each is taken for nothing. */
const forgeries: [string, (connection: NatsConnection, instance: string) => Promise<unknown>][] = [
  [
    'a removal',
    (connection, instance) => {
      const said = headers();
      said.set('KV-Operation', 'DEL');
      return connection.request(layout.member(instance), '', { headers: said, timeout: 5_000 });
    },
  ],
  ['garbage', (connection, instance) => connection.request(layout.member(instance), 'x')],
  [
    'a note that nobody has sealed',
    (connection, instance) =>
      publishMessage(connection, memberMessage(layout, instance, { ...FORGED, at: new Date() })),
  ],
  [
    'that it was forgotten, unsealed',
    (connection, instance) => publishMessage(connection, memberMessage(layout, instance, 7)),
  ],
  [
    'what is sealed of another',
    async (connection, instance) => {
      const { headers: said, data } = seal.seal(memberMessage(layout, OTHER, 7));
      await publishMessage(connection, { subject: layout.member(instance), headers: said, data });
    },
  ],
];

test.each(forgeries)(
  '%s in the place of what a member said changes nothing of it, and is written over again',
  async (_, forge) => {
    const { connection, manager, open } = await bucket();
    const one = await open('one');
    const two = await open('two');
    await two.feed.passed(await one.commit('sa', canary('a')));
    await expect.poll(knows(one, two)).toBeDefined();
    await two.end();
    await forge(connection, two.replica.instance);
    const removed = await one.commit('sa', undefined);
    await expect.poll(() => one.feed.position).toBeGreaterThan(removed);
    expect(knows(one, two)()?.name).toBe('two');
    expect(one.feed.members.level).toBeLessThan(removed);
    expect(one.feed.members.confirmedByAll(removed)).toBe(false);
    await one.end();

    const again = await open('one', one);
    await healthy(again);
    expect(await lifeOf(manager, two)).toMatchObject({ life: 0, note: { name: 'two', confirmed: 0 } });
    const back = await open('two', two);
    await healthy(back);
    expect(back.notices).toEqual([]);
    await expect.poll(() => again.feed.members.confirmedByAll(removed), WAIT).toBe(true);
    expect(again.feed.alarm.current).toBeUndefined();
  },
);

test('who runs writes over what somebody else wrote in its place, and goes on', async () => {
  const { connection, manager, open } = await bucket();
  const one = await open('one');
  const two = await open('two');
  await expect.poll(knows(one, two)).toBeDefined();
  for (const [, forge] of forgeries) await forge(connection, two.replica.instance);
  const sequence = await one.commit('sa', canary('a'));
  await expect.poll(async () => (await lifeOf(manager, two))?.sequence ?? 0, WAIT).toBeGreaterThan(sequence);
  await expect.poll(() => one.feed.members.confirmedByAll(sequence), WAIT).toBe(true);
  expect(knows(one, two)()?.alive).toBe(true);
  expect(two.notices).toEqual([]);
});

test('what somebody writes of members during an alarm leaves nobody out of the heal', async () => {
  const { connection, manager, open } = await bucket();
  const one = await open('one');
  const two = await open('two');
  await two.feed.passed(await one.commit('sa', canary('a')));
  await expect.poll(knows(one, two)).toBeDefined();
  await connection.request('$KV.test.r.hello', 'x');
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.stopsReading, WAIT).toBe(true);
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes('sa')) });
  for (const { replica } of [one, two]) {
    for (const [, forge] of forgeries) await forge(connection, replica.instance);
  }
  const report = await one.heal();
  expect(report).toMatchObject({ restored: 1, absent: [] });
  expect(report.compared.toSorted()).toEqual([one, two].map(({ replica }) => replica.instance).toSorted());
  await healthy(one, two);
  expect(two.text('sa')).toBe(canary('a'));
});

test('instances that an alarm stops go on saying that they are there, and never over that one was forgotten', async () => {
  const { connection, manager, open } = await bucket();
  const one = await open('one');
  const two = await open('two');
  const three = await open('three');
  await three.feed.passed(await one.commit('sa', canary('a')));
  for (const other of [two, three]) await expect.poll(knows(one, other)).toBeDefined();
  await expect.poll(async () => (await lifeOf(manager, two))?.note?.confirmed ?? 0).toBeGreaterThan(0);
  await connection.request('$KV.test.r.hello', 'x');
  for (const { feed } of [one, two, three]) {
    await expect.poll(() => feed.alarm.stopsReading, WAIT).toBe(true);
  }
  await three.end();
  const before = await lifeOf(manager, two);
  // Who says nothing is away after 3.5 seconds.
  await expect.poll(() => knows(one, three)()?.alive, WAIT).toBe(false);
  expect(knows(one, two)()?.alive).toBe(true);
  expect(knows(two, one)()?.alive).toBe(true);
  const said = await lifeOf(manager, two);
  expect(said?.sequence).toBeGreaterThan(before?.sequence ?? 0);
  expect(said?.note).toMatchObject({ confirmed: before?.note?.confirmed, since: before?.sequence });

  await sayOfMember(connection, two.replica.instance, 0);
  const mark = await lifeOf(manager, two);
  await expect.poll(() => knows(one, two)(), WAIT).toBeUndefined();
  const beats = async () => (await manager.streams.info(layout.stream)).state.last_seq;
  const then = await beats();
  await expect.poll(beats, WAIT).toBeGreaterThan(then);
  expect(await lifeOf(manager, two)).toEqual(mark);
});

test('that a member was forgotten means nothing when it is back, though it is said again; nor does what it said before', async () => {
  const { connection, manager, open } = await bucket();
  const one = await open('one');
  const two = await open('two');
  const { instance } = two.replica;
  await two.feed.passed(await one.commit('sa', canary('a')));
  await expect.poll(knows(one, two)).toBeDefined();
  await two.end();
  await expect.poll(() => knows(one, two)()?.alive, WAIT).toBe(false);
  const asItIs = async () => {
    const found = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.member(instance) });
    const said = headers();
    for (const name of found?.header.keys() ?? []) {
      if (!name.startsWith('Nats-')) said.set(name, found?.header.get(name) ?? '');
    }
    return () => connection.request(layout.member(instance), found?.data, { headers: said, timeout: 5_000 });
  };
  const note = await asItIs();
  await one.feed.members.forget('two');
  const mark = await asItIs();
  expect(await lifeOf(manager, two)).toMatchObject({ life: 0, note: undefined });

  // Nobody is a member again by what he said before, and it is written over.
  await note();
  await one.commit('sb', canary('b'));
  expect(knows(one, two)()).toBeUndefined();
  await one.end();
  const again = await open('one', one);
  await healthy(again);
  expect(await lifeOf(manager, two)).toMatchObject({ life: 0, note: undefined });

  const back = await open('two', two);
  await healthy(back);
  expect(back.notices).toEqual([expect.stringContaining('was forgotten')]);
  await expect.poll(knows(again, back), WAIT).toBeDefined();
  expect(await lifeOf(manager, back)).toMatchObject({ life: 1, note: { name: 'two' } });
  await again.feed.passed(await back.commit('sc', canary('c')));

  // The mark counts neither for who runs nor for who starts, nor does a heal leave anybody out for it.
  await mark();
  await again.commit('sb', canary('c'));
  expect(knows(again, back)()).toBeDefined();
  await expect.poll(async () => (await lifeOf(manager, back))?.life, WAIT).toBe(1);
  await back.end();
  await mark();
  const third = await open('two', back);
  await healthy(third);
  expect(third.notices).toEqual([]);
  await mark();
  expect((await again.heal(true)).compared.toSorted()).toEqual(
    [again, third].map(({ replica }) => replica.instance).toSorted(),
  );
});

test('an instance that is forgotten while it runs compares all that it has, and begins a new life', async () => {
  const { connection, manager, open } = await bucket();
  const one = await open('one');
  const two = await open('two');
  await two.feed.passed(await one.commit('sa', canary('a')));
  await sayOfMember(connection, two.replica.instance, 0);
  await expect.poll(async () => (await lifeOf(manager, two))?.life, WAIT).toBe(1);
  await healthy(two);
  expect(two.notices).toEqual([expect.stringContaining('was forgotten')]);
  await two.feed.passed(await one.commit('sa', canary('b')));
  expect(two.text('sa')).toBe(canary('b'));
  await expect.poll(knows(one, two), WAIT).toBeDefined();
});

test('a new instance that cannot seal yet holds back what it may not have, for as long as it is heard, and is no member', async () => {
  const { url, open } = await bucket();
  const one = await open('one');
  await one.commit('sa', canary('a'));
  const young = await Follower.open(url);
  await young.feed.fill();
  expect(young.text('sa')).toBe(canary('a'));
  const removed = await one.commit('sa', undefined);
  expect(one.feed.members.confirmedByAll(removed)).toBe(false);
  expect(one.feed.members.level).toBeLessThan(removed);
  expect(one.feed.members.epochLevel).toBeGreaterThan(0);
  expect(knows(one, young)()).toBeUndefined();
  expect(one.replica.members()).toEqual([]);
  expect(await one.heal(true)).toMatchObject({ absent: [] });
  await expect.poll(() => one.feed.members.level, WAIT).toBeGreaterThanOrEqual(removed);
  expect(one.feed.members.confirmedByAll(removed)).toBe(true);
});

test('an instance that fills its replica anew leaves what it said when it could seal', async () => {
  const { url, manager, open } = await bucket();
  const one = await open('one');
  const two = await open('two');
  await two.feed.passed(await one.commit('sa', canary('a')));
  await expect.poll(knows(one, two)).toBeDefined();
  await two.end();
  const said = await lifeOf(manager, two);
  const filling = await Follower.open(url, two.folder);
  await filling.feed.fill();
  expect(await lifeOf(manager, two)).toEqual(said);
  const back = filling.start();
  await healthy(back);
  expect((await lifeOf(manager, two))?.sequence).toBeGreaterThan(said?.sequence ?? 0);
});

test('a new instance that was silent since it has read the store compares all that it has', async () => {
  const { url, manager, open } = await bucket();
  const one = await open('one');
  await one.commit('sa', canary('a'));
  await one.commit('sb', canary('b'));
  const young = await Follower.open(url);
  await young.feed.fill();
  const removed = await one.commit('sa', undefined);
  await expect.poll(() => one.feed.members.level, WAIT).toBeGreaterThanOrEqual(removed);
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes('sa')) });
  await one.replica.forget([bytes('sa')]);
  const alarms: unknown[] = [];
  young.feed.alarm.onChange(() => alarms.push(young.feed.alarm.current));
  young.start();
  await healthy(young);
  expect(young.text('sa')).toBeUndefined();
  expect(young.text('sb')).toBe(canary('b'));
  await expect.poll(knows(one, young), WAIT).toBeDefined();
  await young.feed.scrub();
  expect(alarms).toEqual([]);
});

test('thousands of members that somebody invents hold the sweep back for a time, and no heal', async () => {
  const { connection, manager, open } = await bucket();
  const one = await open('one');
  const removed = await one.commit('sa', undefined);
  await expect.poll(() => one.feed.members.level, WAIT).toBeGreaterThanOrEqual(removed);
  const all = Array.from({ length: 3_000 }, (_, index) => index.toString(16).padStart(16, '0'));
  const said = { ...FORGED, life: 0, epoch: 1, at: new Date() };
  for (const instance of all) {
    const { subject, data } = memberMessage(layout, instance, said);
    connection.publish(subject, data);
  }
  // Of those beyond the first thousand nobody looks how far they say that they are.
  await expect.poll(() => one.feed.members.level, WAIT).toBe(0);
  expect(one.feed.members.list()).toHaveLength(1);
  expect(one.replica.members()).toEqual([]);
  // They may be of instances whose first start was refused: nobody is sent to look for a stranger.
  expect(await one.heal()).toMatchObject({ foreign: 0, absent: [] });
  const filter = { subjects_filter: layout.member('*') };
  const { state } = await manager.streams.info(layout.stream, filter);
  expect(Object.keys(state.subjects ?? {})).toEqual([layout.member(one.replica.instance)]);
  await healthy(one);
  await expect.poll(() => one.feed.members.level, WAIT).toBeGreaterThanOrEqual(removed);
}, 60_000);
