import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { lastOfMember } from '../../packages/engine/src/storage/jetstream/member-message.js';
import { encodeChange } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { Sweeper } from '../../packages/engine/src/storage/jetstream/sweeper.js';
import { BACKGROUND } from '../../packages/engine/src/storage/shared.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, Follower, later, layout, makeBucket, sayOfMember, seal } from './followers.js';
import { connectTo, openStorage, removeFolders } from './jetstream-support.js';

async function bucket() {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  const manager = await jetstreamManager(connection);
  const last = (subject: string) => manager.streams.getMessage(layout.stream, { last_by_subj: subject });
  return {
    server,
    connection,
    manager,
    /** Whether the stream has anything of a record. */
    has: async (key: string) => (await last(layout.record(bytes(key)))) !== null,
    hasPart: async (key: string, index: number) => (await last(layout.chunk(bytes(key), index))) !== null,
    /** Forgets a record as a sweeper does, or somebody who may write to the bucket. */
    purge: (key: string) => manager.streams.purge(layout.stream, { filter: layout.record(bytes(key)) }),
  };
}

/** One that remembers no head that was removed for longer than it must. */
const open = async (url: string, like?: Follower) =>
  (await Follower.open(url, like?.folder, { rememberedMs: 0 })).start();

/** Gives it the work of the background. */
async function onDuty(follower: Follower): Promise<Follower> {
  const lease = follower.feed.leases.lease(BACKGROUND);
  await expect.poll(() => lease.held).toBe(true);
  return follower;
}

const knowsAll = (follower: Follower, revision: number) =>
  expect.poll(() => follower.feed.members.level).toBeGreaterThanOrEqual(revision);

const alarmOf = (follower: Follower) => follower.feed.alarm.current?.message;

test('what every member knows to be removed is forgotten, first in the stream and then in each replica', async () => {
  const { server, has, hasPart } = await bucket();
  const one = await onDuty(await open(server.url));
  const two = await open(server.url);
  await one.commit('sa', canary('a'), undefined, { put: { 'va/1': canary('one') } });
  await one.commit('sb', 'long '.repeat(1_000));
  await one.commit('sc', canary('stays'), undefined, { put: { 'vc/1': canary('stays too') } });
  await one.commit('sa', undefined, undefined, { remove: ['va/1'] });
  const removed = await one.commit('sb', undefined);
  await knowsAll(one, removed);
  expect(await has('sa')).toBe(true);
  expect(await hasPart('sb', 0)).toBe(true);
  await one.feed.scrub();
  for (const key of ['sa', 'va/1', 'sb']) expect(await has(key)).toBe(false);
  for (const index of [0, 1, 2, 3, 4]) expect(await hasPart('sb', index)).toBe(false);
  await knowsAll(two, removed);
  for (const each of [one, two]) {
    expect(each.replica.entry(bytes('sa'))?.removed).toBe(true);
    await each.feed.scrub();
    expect([...each.replica.entries()].map(([key]) => String(key))).toEqual(['sc', 'vc/1']);
    expect(alarmOf(each)).toBeUndefined();
  }
  // A new life needs nothing of the one before.
  await two.feed.passed(await one.commit('sa', canary('new life')));
  expect(two.text('sa')).toBe(canary('new life'));
  expect(two.text('vc/1')).toBe(canary('stays too'));
});

test.each([
  ['a value', 'an instance that refused it', 'va/1'],
  ['a secret', 'a new instance that took it over', 'sb'],
])(
  '%s that was removed and forgotten stays so when somebody puts its message there again, and %s heals',
  async (_, who, key) => {
    const { server, connection, manager } = await bucket();
    const one = await onDuty(await open(server.url));
    const two = await open(server.url);
    await one.commit('sa', canary('a'), undefined, { put: { 'va/1': canary('one') } });
    await one.commit('sb', canary('b'));
    const old = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.record(bytes(key)) });
    if (!old) throw new Error('it is not there');
    await one.commit('sa', canary('a'), undefined, { remove: ['va/1'] });
    const removed = await one.commit('sb', undefined);
    for (const each of [one, two]) await knowsAll(each, removed);
    await one.feed.scrub();
    for (const each of [one, two]) {
      await each.feed.scrub();
      expect([...each.replica.entries()].map(([entry]) => String(entry))).toEqual(['sa']);
    }
    const headers = Object.values(HEADER).flatMap((name) =>
      old.header.has(name) ? [[name, old.header.get(name)] as const] : [],
    );
    await publishMessage(connection, { subject: old.subject, headers, data: old.data });
    for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind).toBe('fork');
    for (const each of [one, two]) expect(each.text(key)).toBeUndefined();
    // A new instance takes it for what it says: what it has it has from there.
    const three = await Follower.open(server.url);
    await three.feed.fill();
    three.start();
    await expect.poll(() => three.replica.origin?.epoch).toBe(1);
    expect(three.text(key)).toBeDefined();
    const healer = who.startsWith('a new') ? three : one;
    expect(await healer.heal()).toMatchObject({ foreign: 1, restored: 0 });
    for (const { feed } of [one, two, three]) await expect.poll(() => feed.problem).toBeUndefined();
    for (const each of [one, two, three]) expect(each.text(key)).toBeUndefined();
    await two.feed.passed(await one.commit('sb', canary('new life')));
    expect(two.text('sb')).toBe(canary('new life'));
  },
);

test('what was under way all the while is no old message, though something was removed in between', async () => {
  const { server, connection, manager, has } = await bucket();
  const one = await onDuty(await open(server.url));
  const two = await open(server.url);
  await two.feed.passed(await one.commit('sa', canary('a')));
  const { position } = two.replica;
  const change = { head: { key: bytes('sb'), bytes: bytes(canary('b')) } };
  const nothing = { entry: () => undefined, generation: () => 0 };
  const { messages } = encodeChange(change, { layout, seal, position, ...nothing, partBytes: 1_000 });
  const ended = two.feed.members.own.hold();
  const removed = await one.commit('sa', undefined);
  await two.feed.passed(removed);
  const noted = async () => (await lastOfMember(manager, layout, seal, two.replica.instance))?.sequence ?? 0;
  await expect.poll(noted).toBeGreaterThan(removed);
  for (const each of [one, two]) await each.feed.scrub();
  expect(await has('sa')).toBe(true);
  for (const message of messages) await publishMessage(connection, message);
  for (const each of [one, two]) await expect.poll(() => each.text('sb')).toBe(canary('b'));
  for (const each of [one, two]) expect(alarmOf(each)).toBeUndefined();
  ended();
  await knowsAll(one, removed);
  await one.feed.scrub();
  expect(await has('sa')).toBe(false);
});

test('nothing is forgotten that a member has not heard of, until that member is forgotten', async () => {
  const { server, has } = await bucket();
  const one = await onDuty(await open(server.url));
  const two = await open(server.url);
  await two.feed.passed(await one.commit('sa', canary('a')));
  await two.end();
  const { instance } = two.replica;
  const removed = await one.commit('sa', undefined);
  const told = () => one.feed.members.list().find((member) => member.instance === instance);
  await expect.poll(() => told()?.alive, { timeout: 60_000 }).toBe(false);
  await one.feed.scrub();
  expect(await has('sa')).toBe(true);
  await one.feed.members.forget(instance);
  await knowsAll(one, removed);
  await one.feed.scrub();
  expect(await has('sa')).toBe(false);
  // It begins anew, and knows of no life that ended.
  const back = await open(server.url, two);
  await expect.poll(() => back.feed.problem).toBeUndefined();
  expect(back.text('sa')).toBeUndefined();
  expect(alarmOf(back)).toBeUndefined();
}, 90_000);

test('an instance that is new holds nothing back, though it has read nothing yet', async () => {
  const { server, has, manager } = await bucket();
  const one = await onDuty(await open(server.url));
  await one.commit('sa', canary('a'));
  const removed = await one.commit('sa', undefined);
  await knowsAll(one, removed);
  const young = await Follower.open(server.url);
  // As far as it gets before it reads.
  await young.feed.members.join({ upTo: one.feed.position, epoch: 1 });
  const { state } = await manager.streams.info(layout.stream);
  await one.feed.passed(state.last_seq);
  await one.feed.scrub();
  expect(await has('sa')).toBe(false);
  expect(alarmOf(one)).toBeUndefined();
});

test('a head that was removed is remembered for a month, and what was beside it is not', async () => {
  const { server, has, hasPart } = await bucket();
  const one = await onDuty((await Follower.open(server.url)).start());
  await one.commit('sa', 'long '.repeat(1_000), undefined, { put: { 'va/1': canary('one') } });
  const removed = await one.commit('sa', undefined, undefined, { remove: ['va/1'] });
  await knowsAll(one, removed);
  await one.feed.scrub();
  expect(await has('va/1')).toBe(false);
  expect(await hasPart('sa', 4)).toBe(false);
  expect(await has('sa')).toBe(true);
});

test('who has not the work of the background sweeps nothing', async () => {
  const { server, has } = await bucket();
  const one = await open(server.url);
  await one.commit('sa', canary('a'));
  await knowsAll(one, await one.commit('sa', undefined));
  await one.feed.scrub();
  expect(await has('sa')).toBe(true);
});

test('a new life that began in the meantime is not swept with the end of the one before, by one or by two', async () => {
  const { server, manager, has } = await bucket();
  const one = await onDuty(await open(server.url));
  await one.commit('sa', canary('a'));
  await one.commit('sb', canary('b'));
  const ended = await one.commit('sb', undefined);
  const removed = await one.commit('sa', undefined);
  await one.commit('sa', canary('new life'));
  const { members, leases } = one.feed;
  const { replica } = one;
  const sweeper = new Sweeper({ layout, replica, members, leases });
  const removal = (key: string, sequence: number) => {
    return { subject: layout.record(bytes(key)), sequence, at: 0, isHead: true };
  };
  const ripe = [removal('sa', removed), removal('sb', ended)];
  const sweep = () => sweeper.sweep(manager, { ripe, oldestLeft: Number.POSITIVE_INFINITY }, () => true);
  await Promise.all([sweep(), sweep()]);
  expect(await has('sa')).toBe(true);
  expect(await has('sb')).toBe(false);
  await one.feed.scrub();
  expect(one.text('sa')).toBe(canary('new life'));
  expect(alarmOf(one)).toBeUndefined();
});

test('an instance that was down while it was swept comes back, and forgets it too', async () => {
  const { server, has } = await bucket();
  const one = await onDuty(await open(server.url));
  const two = await open(server.url);
  await one.commit('sa', canary('a'));
  const removed = await one.commit('sa', undefined);
  await knowsAll(one, removed);
  await two.end();
  await one.feed.scrub();
  expect(await has('sa')).toBe(false);
  const back = await open(server.url, two);
  await expect.poll(() => back.feed.problem).toBeUndefined();
  await expect.poll(() => back.replica.entry(bytes('sa'))).toBeUndefined();
  expect(alarmOf(back)).toBeUndefined();
  expect(back.notices).toEqual([]);
  await one.feed.scrub();
  await back.feed.passed(await one.commit('sa', canary('new life')));
  expect(back.text('sa')).toBe(canary('new life'));
});

test('a member that all had lost sight of is no reason for an alarm over what was swept before it was back', async () => {
  const { server, has, connection } = await bucket();
  const one = await onDuty(await open(server.url));
  await one.commit('sa', canary('a'));
  const removed = await one.commit('sa', undefined);
  await knowsAll(one, removed);
  await one.feed.scrub();
  expect(await has('sa')).toBe(false);
  await sayOfMember(connection, 'f'.repeat(16), { name: 'lost', epoch: 0 });
  await expect.poll(() => one.feed.members.level).toBe(0);
  expect(await one.feed.scrub()).toBe(0);
  expect(alarmOf(one)).toBeUndefined();
  // That one may have what was removed: here it is still known.
  expect(one.replica.entry(bytes('sa'))?.removed).toBe(true);
});

test('that somebody else has removed the mark of a removal is noticed while not every member knew of it', async () => {
  const { server, purge } = await bucket();
  const one = await onDuty(await open(server.url));
  const two = await open(server.url);
  await two.feed.passed(await one.commit('sa', canary('a')));
  await two.end();
  await one.commit('sa', undefined);
  await purge('sa');
  await one.feed.scrub();
  await expect.poll(() => one.feed.alarm.current?.kind).toBe('missing');
  expect(alarmOf(one)).toMatch(/was removed is not in the stream any more, and not every instance had it/);
  expect(one.replica.entry(bytes('sa'))?.removed).toBe(true);
});

test('a secret that is changed again and again takes no more room than before', async () => {
  const { server, manager } = await bucket();
  const one = await onDuty(await open(server.url));
  const two = await open(server.url);
  await one.commit('sa', canary('head'), undefined, { put: { 'va/0': canary('value') } });
  let version = 0;
  const change = async (times: number) => {
    let last = 0;
    for (const end = version + times; version < end; version++) {
      const beside = { put: { [`va/${version + 1}`]: canary('value') }, remove: [`va/${version}`] };
      last = await one.commit('sa', canary('head'), undefined, beside);
    }
    await knowsAll(one, last);
    await knowsAll(two, last);
    await one.feed.scrub();
    for (const each of [one, two]) await each.feed.scrub();
    const { messages, bytes: size } = (await manager.streams.info(layout.stream)).state;
    return { messages, size, entries: [one, two].map(({ replica }) => [...replica.entries()].length) };
  };
  const before = await change(10);
  const after = await change(300);
  expect(before.entries).toEqual([2, 2]);
  expect(after.entries).toEqual([2, 2]);
  // Lineages and numbers grow by some bytes.
  expect(after.messages).toBe(before.messages);
  expect(after.size).toBeLessThan(before.size + 1_000);
});

test('when thousands of records were removed they are swept soon', async () => {
  const server = await NatsServer.start();
  later(() => server.stop());
  later(removeFolders);
  const storage = await openStorage({ urls: [server.url] });
  later(() => storage.close());
  const lease = storage.shared.lease(BACKGROUND);
  await expect.poll(() => lease.held).toBe(true);
  const sides = (round: number) => Array.from({ length: 700 }, (_, n) => bytes(`side-${round}-${n}`));
  let revision = 0;
  for (let round = 1; round <= 10; round++) {
    revision = await storage.commit({
      head: { key: bytes('head'), bytes: bytes(canary('head')) },
      expectedRevision: revision,
      put: sides(round).map((key) => ({ key, bytes: bytes(canary('side')) })),
      remove: round > 1 ? sides(round - 1) : [],
      divisible: true,
    });
  }
  const { streams } = await jetstreamManager(await connectTo([server.url]));
  const messages = async () => (await streams.info(layout.stream)).state.messages;
  // 7,000 were written, and all but the last 700 removed, of which the last thousands wait for more.
  await expect.poll(messages, { timeout: 30_000 }).toBeLessThan(3_500);
  expect([...storage.scan(bytes('side-'))]).toHaveLength(700);
  expect(storage.shared.alarm).toBeUndefined();
});
