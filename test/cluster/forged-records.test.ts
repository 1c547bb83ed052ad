import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import type { MsgHdrs, NatsConnection } from '@nats-io/nats-core';
import { beforeEach, expect, test } from 'vitest';
import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { printOf } from '../../packages/engine/src/storage/jetstream/message-seal.js';
import { fingerprintSaid, type Outgoing } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, Follower, later, layout, makeBucket } from './followers.js';

/** What somebody can do who may publish to the bucket and has no key. */

const WAIT = { timeout: 20_000 };
let server: NatsServer;
let connection: NatsConnection;
let manager: JetStreamManager;
let one: Follower;
let two: Follower;

beforeEach(async () => {
  server = await NatsServer.start();
  later(() => server.stop());
  connection = await makeBucket(server.url);
  manager = await jetstreamManager(connection, { checkAPI: false });
  one = (await Follower.open(server.url)).start();
  two = (await Follower.open(server.url)).start();
});

const found = async (key: string) => {
  const message = await manager.streams.getMessage(layout.stream, {
    last_by_subj: layout.record(bytes(key)),
  });
  if (!message) throw new Error(`${key} is not there`);
  return message;
};

/** What it says of itself, and what follows on it. */
const saidBy = (headers: MsgHdrs): [string, string][] =>
  Object.values(HEADER).flatMap((name): [string, string][] =>
    headers.has(name) ? [[name, headers.get(name)]] : [],
  );
const behind = ({ seq, header }: { seq: number; header: MsgHdrs }): [string, string] => [
  HEADER.lineage,
  `${seq}:${fingerprintSaid(header)}`,
];

async function publish(message: Outgoing): Promise<void> {
  expect(await publishMessage(connection, message)).toBeDefined();
}

async function alarmed(kind: string): Promise<void> {
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe(kind);
}

/** The store is as it was, and takes changes. */
async function healthy(): Promise<void> {
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  await two.commit('2next', canary('next'));
  await one.feed.passed(two.feed.position);
  expect(one.text('2next')).toBe(canary('next'));
  expect(await one.heal(true)).toMatchObject({ restored: 0, removed: 0, foreign: 0 });
}

async function committed(): Promise<void> {
  await one.commit('s', `1 ${canary('head')}`, 1_000, { put: { 's/v': canary('value') } });
  await two.feed.passed(one.feed.position);
}

const REMOVAL = { data: bytes(''), print: printOf(bytes('')) };

test.each([
  ['a head', 's', 'head'],
  ['a value', 's/v', 'side'],
])(
  'the removal of %s that no instance wrote is taken over by nobody, and a heal brings it back',
  async (_, key, kind) => {
    await committed();
    const before = one.text(key);
    const headers: [string, string][] = [
      [HEADER.operation, 'DEL'],
      [HEADER.kind, kind],
      [HEADER.print, REMOVAL.print],
      behind(await found(key)),
    ];
    await publish({ subject: layout.record(bytes(key)), headers, data: REMOVAL.data });
    await alarmed('damaged');
    for (const follower of [one, two]) expect(follower.text(key)).toBe(before);
    // One that is made of what is there now has nothing to hold it against, and counts for nothing.
    const three = await Follower.open(server.url);
    await three.feed.fill();
    three.start();
    await expect.poll(() => three.feed.alarm.isOwn, WAIT).toBe(true);
    expect(await one.heal()).toMatchObject({
      foreign: 1,
      restored: 1,
      removed: 0,
    });
    await healthy();
    for (const follower of [one, two]) expect(follower.text(key)).toBe(before);
    await expect.poll(() => three.text(key), WAIT).toBe(before);
  },
);

test.each([
  ['bytes that no instance wrote', undefined],
  ['bytes that no instance wrote, under the seal of another record', 's/v'],
])('%s are taken over by nobody in the place of a value, and a heal brings it back', async (_, of) => {
  await committed();
  const garbage = bytes(canary('garbage'));
  const seal = of && (await found(of)).header.get(HEADER.seal);
  const headers: [string, string][] = [
    [HEADER.kind, 'side'],
    [HEADER.print, printOf(garbage)],
    ...(seal ? [[HEADER.seal, seal] as [string, string]] : []),
    behind(await found('s/v')),
  ];
  await publish({ subject: layout.record(bytes('s/v')), headers, data: garbage });
  await alarmed('damaged');
  for (const follower of [one, two]) expect(follower.text('s/v')).toBe(canary('value'));
  expect(await one.heal()).toMatchObject({ foreign: 1, restored: 1 });
  await healthy();
  expect(two.text('s/v')).toBe(canary('value'));
});

test.each([
  ['a value that was sealed anew since', { put: { 's/v': canary('anew') } }, canary('anew')],
  ['a value that was removed since', { remove: ['s/v'] }, undefined],
])('%s is not taken for what it was, when somebody puts its message there again', async (_, beside, now) => {
  await committed();
  const old = await found('s/v');
  // The head says the same, as where records are sealed anew under another key.
  await one.commit('s', `1 ${canary('head')}`, 1_000, beside);
  await two.feed.passed(one.feed.position);
  await publish({ subject: old.subject, headers: saidBy(old.header), data: old.data });
  await alarmed('fork');
  for (const follower of [one, two]) expect(follower.text('s/v')).toBe(now);
  expect(await one.heal()).toMatchObject({ foreign: 0, restored: now ? 1 : 0, removed: now ? 0 : 1 });
  await healthy();
  expect(two.text('s/v')).toBe(now);
});

test('a head that was removed stays so, when somebody puts its last message there again', async () => {
  await committed();
  const old = await found('s');
  await one.commit('s', undefined, 1_000, { remove: ['s/v'] });
  await two.feed.passed(one.feed.position);
  await publish({ subject: old.subject, headers: saidBy(old.header), data: old.data });
  await alarmed('fork');
  expect(await one.heal()).toMatchObject({ restored: 0, removed: 1 });
  await healthy();
  for (const follower of [one, two]) expect(follower.text('s')).toBeUndefined();
  await one.commit('s', `2 ${canary('new life')}`);
  await two.feed.passed(one.feed.position);
  expect(two.text('s')).toBe(`2 ${canary('new life')}`);
});

test('the removal of a former life that somebody puts there again removes nothing of a later one', async () => {
  await committed();
  await one.commit('s', undefined, 1_000, { remove: ['s/v'] });
  const removal = await found('s');
  await one.commit('s', `11 ${canary('new life')}`, 1_000, { put: { 's/w': canary('new value') } });
  // So many changes that its first state is not remembered any more.
  for (let change = 12; change < 21; change++) await one.commit('s', `${change} ${canary('new life')}`);
  await two.feed.passed(one.feed.position);
  await publish({ subject: removal.subject, headers: saidBy(removal.header), data: removal.data });
  await alarmed('fork');
  expect(await one.heal()).toMatchObject({ restored: 1, removed: 0 });
  await healthy();
  for (const follower of [one, two]) {
    expect(follower.text('s')).toBe(`20 ${canary('new life')}`);
    expect(follower.text('s/w')).toBe(canary('new value'));
  }
});

test('an old message that somebody puts there again while a new instance joins is not what the heal takes', async () => {
  await committed();
  const old = await found('s/v');
  await one.commit('s', `1 ${canary('head')}`, 1_000, { put: { 's/v': canary('anew') } });
  await two.feed.passed(one.feed.position);
  await publish({ subject: old.subject, headers: saidBy(old.header), data: old.data });
  await alarmed('fork');
  const three = await Follower.open(server.url);
  await three.feed.fill();
  three.start();
  await expect.poll(() => three.replica.origin?.epoch, WAIT).toBe(1);
  expect(three.text('s/v')).toBe(canary('value'));
  expect(await one.heal()).toMatchObject({ restored: 1, removed: 0 });
  await healthy();
  for (const follower of [one, two]) expect(follower.text('s/v')).toBe(canary('anew'));
  await expect.poll(() => three.text('s/v'), WAIT).toBe(canary('anew'));
});

test.each([
  ['a removal', undefined],
  ['a record', canary('forged')],
])(
  '%s that no instance wrote, with which a new replica was filled, does not stay there when a genuine message hides it',
  async (_, forged) => {
    await committed();
    const genuine = await found('s');
    await one.end();
    await two.end();
    const data = bytes(forged ?? '');
    const headers: [string, string][] = [
      [HEADER.kind, 'head'],
      [HEADER.print, printOf(data)],
      behind(genuine),
    ];
    if (forged === undefined) headers.push([HEADER.operation, 'DEL']);
    await publish({ subject: genuine.subject, headers, data });
    const three = await Follower.open(server.url);
    await three.feed.fill();
    expect(three.text('s')).toBe(forged);
    await publish({ subject: genuine.subject, headers: saidBy(genuine.header), data: genuine.data });
    three.start();
    await expect.poll(() => three.text('s'), WAIT).toBe(`1 ${canary('head')}`);
    await expect.poll(() => three.feed.problem, WAIT).toBeUndefined();
    expect(three.replica.origin?.epoch).toBe(1);
  },
);

test('a new replica that was filled with what no instance wrote says so before it follows', async () => {
  await committed();
  const [oldest] = [one.feed.position];
  await one.end();
  await two.end();
  const headers: [string, string][] = [
    [HEADER.kind, 'head'],
    [HEADER.print, printOf(bytes('9'))],
  ];
  await publish({ subject: layout.record(bytes('forged')), headers, data: bytes('9') });
  const three = await Follower.open(server.url);
  await three.feed.fill();
  expect(three.feed.position).toBeGreaterThan(oldest as number);
  three.start();
  await expect.poll(() => three.feed.alarm.current?.kind, WAIT).toBe('damaged');
  expect(three.replica.origin?.epoch).toBe(0);
  expect(three.feed.problem).toMatchObject({ code: 'store_alarm' });
});
