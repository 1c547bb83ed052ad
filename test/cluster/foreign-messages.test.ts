import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { expect, test } from 'vitest';

import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { printOf } from '../../packages/engine/src/storage/jetstream/message-seal.js';
import { fingerprintSaid } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, Follower, later, layout, makeBucket } from './followers.js';

const WAIT = { timeout: 20_000 };
const OTHER = 'f'.repeat(16);
/** Above what a number can be told exactly. */
const LINEAGE_TOO_HIGH = `9999999999999999:${OTHER}`;

async function follow(): Promise<{ connection: NatsConnection; one: Follower; two: Follower }> {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  await one.commit('sx', canary('a'));
  await two.feed.passed(one.feed.position);
  return { connection, one, two };
}

/** All subjects of the bucket, without the prefix. */
async function subjects(connection: NatsConnection): Promise<string[]> {
  const manager = await jetstreamManager(connection);
  const { state } = await manager.streams.info(layout.stream, { subjects_filter: '>' });
  return Object.keys(state.subjects ?? {}).map((subject) => subject.replace('$KV.test.', ''));
}

test.each([
  ['a record of no key', 'r.hello', true],
  ['a record that says nothing of itself', `r.${bytes('sz').toString('base64url')}`, true],
  ['a member of no name', 'm.hello', true],
  ['a member’s note that does not parse', `m.${OTHER}`, false],
  ['a mark of an instance that is not there', `w.${OTHER}`, false],
  ['a part of a record that has no number', 'c.c3g.x', true],
  ['what nobody follows', 'somewhere.else', false],
  ['what was set aside, as somebody says', `f.c3g.${OTHER}.0`, false],
])('%s is gone after a heal, which says so, and all goes on', async (_, strange, raises) => {
  const { connection, one, two } = await follow();
  const { seq = 0 } = (await connection.request(`$KV.test.${strange}`, 'x')).json<{ seq?: number }>();
  expect(seq).toBeGreaterThan(0);
  if (raises) {
    for (const { feed } of [one, two])
      await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('damaged');
  }
  expect(await one.heal(true)).toMatchObject({ foreign: 1 });
  expect(await subjects(connection)).toContain(strange);
  // From the moment on in which the alarm is lifted nobody is told any more what was found before.
  const lifted = Promise.all(
    [one, two].map(
      ({ feed }) =>
        new Promise((resolve) => {
          feed.alarm.onChange(() => !feed.alarm.current && resolve(feed.isBeginning));
        }),
    ),
  );
  expect(await one.heal()).toMatchObject({ foreign: 1, restored: 0 });
  expect(await lifted).toEqual([true, true]);
  expect(await subjects(connection)).not.toContain(strange);
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  await two.commit('sx', canary('b'));
  await one.feed.passed(two.feed.position);
  expect(one.text('sx')).toBe(canary('b'));
  expect(one.feed.alarm.current).toBeUndefined();
  expect(await one.heal(true)).toMatchObject({ foreign: 0 });
});

test.each([
  ['a record under a key of a replica’s own rows', Buffer.concat([Buffer.of(0, 4), Buffer.alloc(8, 9)]), []],
  ['a record under a key of what it knows of another', Buffer.concat([Buffer.of(0, 2), bytes('sx')]), []],
  ['a record under a key that no replica takes', Buffer.alloc(2_500, 1), []],
  ['a record of more parts than there can be', bytes('sz'), [[HEADER.chunks, '9007199254740991']]],
  ['a head whose lineage no other instance can be told', bytes('sz'), [[HEADER.lineage, LINEAGE_TOO_HIGH]]],
] satisfies [string, Buffer, [string, string][]][])(
  '%s stops nobody for good, and is gone after a heal',
  async (_, key, more) => {
    const { connection, one, two } = await follow();
    const before = two.replica.entry(bytes('sx'));
    const said = [[HEADER.kind, 'head'], [HEADER.print, printOf(bytes('x'))], ...more] as const;
    const subject = layout.record(key);
    expect(await publishMessage(connection, { subject, headers: said, data: bytes('x') })).toBeDefined();
    for (const { feed } of [one, two])
      await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('damaged');
    await two.end();
    const again = (await Follower.open(connection.getServer(), two.folder)).start();
    await expect.poll(() => again.feed.alarm.current?.kind, WAIT).toBe('damaged');
    expect(again.replica.entry(bytes('sx'))).toEqual(before);
    expect(await one.heal()).toMatchObject({ foreign: 1, restored: 0 });
    expect(await subjects(connection)).not.toContain(subject.replace('$KV.test.', ''));
    for (const { feed } of [one, again]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
    await again.commit('sx', canary('b'));
    await one.feed.passed(again.feed.position);
    expect(one.text('sx')).toBe(canary('b'));
  },
);

test('a record that says nothing of itself in the place of one is brought back', async () => {
  const { connection, one, two } = await follow();
  await connection.request(layout.record(bytes('sx')), 'x');
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('damaged');
  expect(await one.heal()).toMatchObject({ foreign: 1, restored: 1 });
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  await two.commit('sx', canary('b'));
  await one.feed.passed(two.feed.position);
  expect(one.text('sx')).toBe(canary('b'));
});

test('a mark that no instance wrote over an own one says nothing, and is gone after a heal, which leaves the others', async () => {
  const { connection, one, two } = await follow();
  await two.commit('sy', canary('y'));
  await one.feed.passed(two.feed.position);
  const { mark } = one.feed;
  const own = layout.mark(one.replica.instance);
  const { seq = 0 } = (await connection.request(own, 'x')).json<{ seq?: number }>();
  await one.feed.passed(seq);
  expect(one.feed.mark).toEqual(mark);
  expect(one.replica.mark).toBe(mark?.revision);
  expect(await one.heal()).toMatchObject({ foreign: 1, restored: 0 });
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  expect(await subjects(connection)).toContain(`w.${two.replica.instance}`);
  await one.end();
  const again = (await Follower.open(connection.getServer(), one.folder)).start();
  await again.commit('sx', canary('b'));
  await two.feed.passed(again.feed.position);
  expect(two.text('sx')).toBe(canary('b'));
  expect(again.feed.alarm.current).toBeUndefined();
  expect(await again.heal(true)).toMatchObject({ foreign: 0 });
});

test('a subject that a server would take for many stops nobody, and a heal does not purge what it covers', async () => {
  const { connection, one, two } = await follow();
  for (const strange of ['r.*', 'r.>', 'm.*', '*', 'l.>'])
    await connection.request(`$KV.test.${strange}`, 'x');
  await one.commit('sx', canary('b'));
  expect(await two.heal()).toMatchObject({ foreign: 0, restored: 0 });
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  await two.commit('sx', canary('c'));
  await one.feed.passed(two.feed.position);
  expect(one.text('sx')).toBe(canary('c'));
  await one.end();
});

test('a lease’s note that does not parse is given up by a heal, and somebody holds the lease again', async () => {
  const { connection, one } = await follow();
  const lease = one.feed.leases.lease('work');
  await expect.poll(() => lease.held, WAIT).toBe(true);
  lease.close();
  await expect.poll(() => lease.held, WAIT).toBe(false);
  await connection.request(layout.lease('work'), 'x');
  expect(await one.heal()).toMatchObject({ foreign: 1 });
  const again = one.feed.leases.lease('work');
  await expect.poll(() => again.held, WAIT).toBe(true);
  again.close();
});

test('an alarm that says nothing, in the place of one, keeps nobody from hearing of it, nor from a heal', async () => {
  const { connection, one, two } = await follow();
  await connection.request('$KV.test.r.hello', 'x');
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.isOwn, WAIT).toBe(true);
  for (const said of ['x', '{"kind":"damaged"}']) await connection.request(layout.alarm, said);
  const manager = await jetstreamManager(connection);
  const alarm = async () =>
    (await manager.streams.getMessage(layout.stream, { last_by_subj: layout.alarm }))?.string();
  await expect.poll(alarm, WAIT).toContain('not one of ours');
  await connection.request(layout.alarm, 'x');
  await one.heal();
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
});

test.each(['one of its parts', 'what it says that it is composed of'])(
  'a long record of which somebody overwrites %s is brought back',
  async (what) => {
    const { connection, one, two } = await follow();
    const value = canary('long').padEnd(3_000, '.');
    await one.commit('sl', value);
    await two.feed.passed(one.feed.position);
    const manager = await jetstreamManager(connection);
    const subject = layout.record(bytes('sl'));
    if (what === 'one of its parts') await connection.request(layout.chunk(bytes('sl'), 1), 'x');
    else {
      const found = await manager.streams.getMessage(layout.stream, { last_by_subj: subject });
      const ours = [HEADER.kind, HEADER.print, HEADER.chunks].map(
        (name) => [name, found?.header.get(name) ?? ''] as const,
      );
      const lineage = [HEADER.lineage, `${found?.seq}:${fingerprintSaid(found?.header)}`] as const;
      const headers = [...ours, lineage];
      expect(await publishMessage(connection, { subject, headers, data: Buffer.alloc(32) })).toBeDefined();
    }
    expect(await one.heal()).toMatchObject({ restored: 1, damaged: [] });
    for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
    expect(await one.heal(true)).toMatchObject({ restored: 0 });
    const three = (await Follower.open(connection.getServer())).start();
    await three.feed.passed(one.feed.position);
    expect(three.text('sl')).toBe(value);
  },
);
