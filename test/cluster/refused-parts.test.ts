import { jetstreamManager } from '@nats-io/jetstream';
import { headers, type Msg, type NatsConnection } from '@nats-io/nats-core';
import { expect, test } from 'vitest';
import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { NATS_HEADER, type Outgoing } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { requireCameTrue } from '../../packages/engine/src/storage/jetstream/stray.js';
import { admin } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { Engines, healthy, valueAt } from './engines.js';
import { type Beside, bytes, Follower, later, layout, makeBucket, messagesOf, seal } from './followers.js';
import { connectTo } from './jetstream-support.js';

/** Parts of a change that the server has refused, which somebody has overheard and puts into the bucket by themselves. */

const WAIT = { timeout: 30_000 };

/** As an instance sent it, without what the server is to look at. */
const alone = ({ subject, headers: said, data }: Outgoing): Outgoing => ({
  subject,
  headers: said.filter(([name]) => name !== NATS_HEADER.expected),
  data,
});

async function followers(): Promise<{
  connection: NatsConnection;
  one: Follower;
  two: Follower;
  url: string;
}> {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  const one = (await Follower.open(server.url)).start();
  const two = (await Follower.open(server.url)).start();
  await one.commit('s', `1 ${canary('head')}`, 1_000, { put: { 's/v': canary('value') } });
  await two.feed.passed(one.feed.position);
  return { connection, one, two, url: server.url };
}

/** What one would have sent beside a head that another has changed first. */
function refused({ replica }: Follower, key: string, beside: Beside): Outgoing {
  const { messages } = messagesOf(replica, 's', `2 ${canary('refused')}`, 1_000, beside);
  const part = messages.find(({ subject }) => subject === layout.record(bytes(key)));
  if (!part) throw new Error('there is no such part');
  return alone(part);
}

async function whole(one: Follower, two: Follower): Promise<void> {
  for (const { feed } of [one, two]) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  await two.commit('next', `1 ${canary('next')}`);
  await one.feed.passed(two.feed.position);
  for (const follower of [one, two]) {
    expect(follower.text('s/v')).toBe(canary('value'));
    expect(follower.text('s/w')).toBeUndefined();
  }
  expect(await one.heal(true)).toMatchObject({ restored: 0, removed: 0, foreign: 0 });
}

test.each([
  ['the removal of a value', 's/v', { remove: ['s/v'] }, 1],
  ['what was to replace a value', 's/v', { put: { 's/v': canary('anew') } }, 1],
  ['a value that nobody has', 's/w', { put: { 's/w': canary('more') } }, 0],
])(
  '%s is taken over by nobody, however often its head was changed since, and a heal takes it out',
  async (_, key, beside, restored) => {
    const { connection, one, two, url } = await followers();
    const overheard = refused(one, key, beside);
    for (let change = 2; change < 14; change++) await two.commit('s', `${change} ${canary('head')}`);
    expect(await publishMessage(connection, overheard)).toBeDefined();
    for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('fork');
    expect([one.text('s/v'), two.text('s/v')]).toEqual([canary('value'), canary('value')]);
    // One that is filled with it cannot tell, and counts for nothing.
    const three = await Follower.open(url);
    await three.feed.fill();
    three.start();
    await expect.poll(() => three.replica.origin?.epoch, WAIT).toBe(1);
    expect(await one.heal()).toMatchObject({ foreign: 1, restored, removed: 0 });
    await whole(one, two);
    await expect.poll(() => three.text('s/v'), WAIT).toBe(canary('value'));
    expect(three.text('s/w')).toBeUndefined();
  },
);

test('beside a head that is gone from the stream, nobody is said to have put it there', async () => {
  const { connection, one } = await followers();
  const revision = (await publishMessage(connection, refused(one, 's/v', { remove: ['s/v'] }))) ?? 0;
  const manager = await jetstreamManager(connection);
  await manager.streams.purge(layout.stream, { filter: layout.record(bytes('s')) });
  const beside = { head: bytes('s'), fingerprint: '0'.repeat(16) };
  const look = requireCameTrue([{ key: bytes('s/v'), revision, lineage: [], beside }], {
    manager,
    layout,
    seal,
    confirmed: (ask) => ask(),
    requireSame: async () => {},
    isInUse: () => true,
  });
  await expect(look).rejects.toMatchObject({
    kind: 'missing',
    message: `the record to which the one at sequence ${revision} belongs has gone from the stream`,
  });
});

test('put there while the store is healed it ends the heal, and the next one takes it out', async () => {
  const { connection, one, two } = await followers();
  const overheard = refused(one, 's/v', { remove: ['s/v'] });
  const said: Outgoing['headers'] = [
    [HEADER.operation, 'DEL'],
    [HEADER.kind, 'head'],
  ];
  await publishMessage(connection, { subject: layout.record(bytes('s')), headers: said, data: bytes('') });
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('damaged');
  // Its head is brought back when all that is there was read.
  one.bringingBack = async () => void (await publishMessage(connection, overheard));
  await expect(one.heal()).rejects.toMatchObject({ code: 'conflict' });
  one.bringingBack = () => {};
  expect(await one.heal()).toMatchObject({ restored: 1 });
  await whole(one, two);
});

test.each([
  ['as soon as a heal has ended', false],
  ['as soon as a heal has ended, and its end once more', true],
])('put there %s, when all compare what they have, it is taken over by nobody', async (_, again) => {
  const { connection, one, two } = await followers();
  const overheard = refused(one, 's/v', { remove: ['s/v'] });
  for (let change = 2; change < 14; change++) await two.commit('s', `${change} ${canary('head')}`);
  const nobodys: Outgoing['headers'] = [[HEADER.kind, 'head']];
  await publishMessage(connection, {
    subject: layout.record(bytes('x')),
    headers: nobodys,
    data: bytes('x'),
  });
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('damaged');
  let ended = 0;
  const put = async ({ data }: Msg) => {
    if (ended++ > 0) return;
    // What the server has not taken by then is refused with it.
    const { streams } = await jetstreamManager(connection);
    const isThere = () =>
      streams.getMessage(layout.stream, { last_by_subj: layout.meta }).then((found) => found?.data.length);
    await expect.poll(isThere, { interval: 1 }).toBe(data.length);
    await publishMessage(connection, overheard);
    if (again) await publishMessage(connection, { subject: layout.meta, headers: [], data });
  };
  connection.subscribe(layout.meta, { callback: (_error, message) => void put(message) });
  await connection.flush();
  const healed = one.heal().catch(() => {});
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('fork');
  expect([one.text('s/v'), two.text('s/v')]).toEqual([canary('value'), canary('value')]);
  await expect.poll(() => one.heal(), WAIT).toMatchObject({ restored: 1, foreign: 1 });
  await healed;
  await whole(one, two);
});

test('an instance that was away takes over what the stream has left of changes that came true', async () => {
  const { one, two, url } = await followers();
  const names = Array.from({ length: 40 }, (_, index) => `a${index}`);
  for (const name of names) {
    await one.commit(name, `1 ${canary(name)}`, 1_000, {
      put: { [`${name}/1`]: canary('first'), [`${name}/2`]: canary('second') },
    });
  }
  await two.feed.passed(one.feed.position);
  await two.end();
  // Of some of them so often that their heads do not name it any more.
  for (const [index, name] of names.entries()) {
    await one.commit(name, `2 ${canary(name)}`, 1_000, {
      put: { [`${name}/2`]: canary('anew'), [`${name}/3`]: canary('third') },
      remove: [`${name}/1`],
    });
    for (let change = 3; change < 3 + (index % 12); change++)
      await one.commit(name, `${change} ${canary(name)}`);
  }
  const again = (await Follower.open(url, two.folder)).start();
  await again.feed.untilSettled(one.feed.position);
  for (const name of names) {
    expect(again.text(name)).toBe(one.text(name));
    expect([1, 2, 3].map((side) => again.text(`${name}/${side}`))).toEqual([
      undefined,
      canary('anew'),
      canary('third'),
    ]);
  }
  expect(again.feed.alarm.current).toBeUndefined();
  expect(one.feed.alarm.current).toBeUndefined();
});

test('the removal of a version that was refused, put there when that version is active, takes nothing away', async () => {
  const engines = await Engines.start('test');
  const gate = await engines.cluster.gate('one');
  // Who has found it reads no more.
  const one = await engines.open('one', { connect: () => connectTo(gate.urls), allowStale: true });
  const two = await engines.open('two', { allowStale: true });
  await healthy(one, two);
  const first = canary('first');
  for (const value of [first, canary('second')]) await one.engine.put(admin, 's', Buffer.from(value));
  await one.engine.activate(admin, 's', 2);
  await expect.poll(() => valueAt(two, 's', 2), WAIT).toBe(canary('second'));

  const stranger = await connectTo(engines.cluster.urls);
  const heard: Msg[] = [];
  stranger.subscribe('$KV.test.r.>', {
    callback: (_, message) => {
      const said = message.headers;
      if (said?.get(HEADER.operation) === 'DEL' && said.get(HEADER.kind) === 'side') heard.push(message);
    },
  });
  await stranger.flush();
  gate.cut(undefined, 'back');
  await two.engine.activate(admin, 's', 1);
  const answer = one.engine.deleteVersion(admin, 's', 1).then(
    () => 'done',
    ({ code }: { code: string }) => code,
  );
  await expect.poll(() => heard.length, WAIT).toBe(1);
  gate.break();
  gate.mend();
  expect(await answer).toBe('active_version');
  for (let i = 0; i < 12; i++) await two.engine.put(admin, 's', Buffer.from(canary(`more ${i}`)));
  await expect.poll(() => valueAt(one, 's'), WAIT).toBe(first);

  const [removal] = heard as [Msg];
  const said = headers();
  for (const name of Object.values(HEADER)) {
    const value = removal.headers?.get(name);
    if (value) said.set(name, value);
  }
  await stranger.request(removal.subject, removal.data, { headers: said, timeout: 5_000 });
  for (const { engine } of [one, two]) {
    await expect.poll(() => engine.sharedHealth?.problem?.code, WAIT).toBe('store_alarm');
  }
  expect([await valueAt(one, 's', 1), await valueAt(two, 's', 1)]).toEqual([first, first]);
  const report = await one.engine.healStorage(admin, { dryRun: false });
  expect(report).toMatchObject({ restored: 1, removed: 0, foreign: 1, damaged: [] });
  await healthy(one, two);
  for (const at of [one, two]) await expect.poll(() => valueAt(at, 's', 1), WAIT).toBe(first);
  await stranger.close();
}, 120_000);
