import { jetstreamManager } from '@nats-io/jetstream';
import { deferred, type NatsConnection } from '@nats-io/nats-core';
import { expect, test } from 'vitest';

import { CofferError } from '../../packages/engine/src/errors.js';
import { fingerprint } from '../../packages/engine/src/storage/jetstream/messages.js';
import { encodeAlarm } from '../../packages/engine/src/storage/jetstream/notes.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Follower, later, layout, makeBucket, putBackTo, sayOfMember } from './followers.js';

/** Three instances that have the same, and have said so. */
async function three() {
  const nats = await NatsCluster.start({ size: 1 });
  later(() => nats.stop());
  const connection = await makeBucket(nats.urls);
  const [one, two, away] = [await start(nats), await start(nats), await start(nats)];
  for (const key of ['sa', 'sgone', 'sold']) await one.commit(key, `1 ${canary('before')}`);
  await confirmed(one, away, one.feed.position);
  return { nats, connection, one, two, away };
}

const start = async (nats: NatsCluster, before?: Follower) =>
  (await Follower.open(nats.urls, before?.folder)).start();

/** The stream says that an instance has all up to there. */
async function confirmed(seenAt: Follower, instance: Follower, position: number): Promise<void> {
  const members = () => seenAt.feed.members.list();
  const said = () => members().find((one) => one.instance === instance.replica.instance)?.confirmed;
  await expect.poll(said, { timeout: 30_000 }).toBeGreaterThanOrEqual(position);
}

const alarmOf = ({ feed }: Follower) => feed.alarm.current?.kind;
const healthy = async (...all: Follower[]) => {
  for (const { feed } of all) await expect.poll(() => feed.problem, { timeout: 30_000 }).toBeUndefined();
};

async function keptBeside(connection: NatsConnection): Promise<string[]> {
  const manager = await jetstreamManager(connection, { checkAPI: false });
  const { state } = await manager.streams.info(layout.stream, { subjects_filter: '$KV.test.f.>' });
  const texts = Object.keys(state.subjects ?? {}).map(async (subject) => {
    const found = await manager.streams.getMessage(layout.stream, { last_by_subj: subject });
    return Buffer.from(found?.data ?? []).toString();
  });
  return Promise.all(texts);
}

test('what only an instance had that was away during a heal raises the alarm when it comes back, and the next heal brings it back', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  await one.end();
  await two.end();
  const putBack = await putBackTo(nats);
  await away.commit('sonly', `1 ${canary('only here')}`);
  await away.commit('sbig', `1 ${canary('big')}${'x'.repeat(4_000)}`);
  await away.commit('sa', `2 ${canary('lost')}`);
  await away.commit('sgone', undefined);
  await away.end();
  await putBack();

  const healer = await start(nats, one);
  const other = await start(nats, two);
  const without = [away.replica.instance];
  expect(await healer.heal(false, false, without)).toMatchObject({ absent: without, forks: [] });
  await healthy(healer, other);
  await healer.commit('sa', `2 ${canary('other')}`);
  await healer.commit('sa', `3 ${canary('further')}`);

  const back = await start(nats, away);
  await expect.poll(() => alarmOf(back), { timeout: 30_000 }).toBe('missing');
  await expect.poll(() => alarmOf(healer)).toBe('missing');
  expect(back.feed.alarm.raised?.message).toContain(
    `instance ${back.replica.instance} was away while the store was healed, and has 4 records`,
  );
  expect(back.text('sonly')).toBe(`1 ${canary('only here')}`);
  expect(back.replica.origin?.epoch).toBe(1);
  await expect(back.heal()).rejects.toThrow(`at another instance (`);

  const report = await healer.heal();
  expect(report).toMatchObject({ restored: 2, removed: 1, absent: [] });
  expect(report.compared).toContain(back.replica.instance);
  expect(report.forks).toMatchObject([{ winner: 'stream', other: back.replica.instance }]);
  await healthy(healer, other, back);
  for (const follower of [healer, other, back]) {
    await expect.poll(() => follower.text('sonly')).toBe(`1 ${canary('only here')}`);
    await expect.poll(() => follower.text('sbig')).toContain(canary('big'));
    await expect.poll(() => follower.text('sa')).toBe(`3 ${canary('further')}`);
    await expect.poll(() => follower.text('sgone')).toBeUndefined();
    expect(follower.replica.origin?.epoch).toBe(3);
  }
  expect(await keptBeside(connection)).toEqual([`2 ${canary('lost')}`]);

  await healer.feed.passed(await back.commit('sonly', `2 ${canary('goes on')}`));
  await back.end();
  const again = await start(nats, back);
  await healthy(again, healer);
  expect(await again.heal(true)).toMatchObject({ restored: 0, removed: 0, forks: [] });
});

test('an instance that was away believes nobody else that a heal has set aside what it had', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  await one.end();
  await two.end();
  const putBack = await putBackTo(nats);
  const lost = `2 ${canary('lost')}`;
  await away.commit('sa', lost);
  await away.end();
  await putBack();
  const healer = await start(nats, one);
  await healer.heal(false, false, [away.replica.instance, two.replica.instance]);
  await healthy(healer);
  await healer.commit('sa', `2 ${canary('other')}`);
  await healer.commit('sa', `3 ${canary('further')}`);
  const forged = layout.fork(Buffer.from('sa'), fingerprint(Buffer.from(lost)), 0);
  await connection.request(forged, lost);

  const back = await start(nats, away);
  await expect.poll(() => alarmOf(back), { timeout: 30_000 }).toBe('fork');
  const report = await healer.heal(false, false, [two.replica.instance]);
  expect(report).toMatchObject({ foreign: 1, forks: [{ other: back.replica.instance }] });
  await healthy(healer, back);
  expect(await keptBeside(connection)).toEqual([lost]);
});

test('an instance that was away for long, and has nothing of its own, raises no alarm, however much was changed and removed', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  await away.end();
  for (let index = 2; index < 14; index++) await one.commit('sa', `${index} ${canary(index)}`);
  await one.commit('sgone', undefined);
  await one.commit('sold', undefined);
  await one.commit('sold', `2 ${canary('another life')}`);
  await two.feed.passed(one.feed.position);
  await one.heal(false, false, [away.replica.instance]);
  await healthy(one, two);
  const back = await start(nats, away);
  await healthy(back);
  expect(back.replica.origin?.epoch).toBe(2);
  expect(back.text('sa')).toBe(`13 ${canary(13)}`);
  expect(back.text('sgone')).toBeUndefined();
  expect(back.text('sold')).toBe(`2 ${canary('another life')}`);
  expect(alarmOf(one)).toBeUndefined();
  expect(await keptBeside(connection)).toEqual([]);
});

test('an instance that had a part of what was lost and brought back has nothing of its own', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  const putBack = await putBackTo(nats);
  await healthy(one, two, away);
  for (const number of [2, 3]) await away.feed.passed(await one.commit('sa', `${number} ${canary(number)}`));
  await away.feed.passed(await one.commit('snew', `1 ${canary('new')}`));
  await away.end();
  for (const number of [4, 5]) await two.feed.passed(await one.commit('sa', `${number} ${canary(number)}`));
  await two.feed.passed(await one.commit('snew', undefined));
  await putBack();
  for (const here of [one, two]) await expect.poll(() => alarmOf(here), { timeout: 30_000 }).toBeDefined();
  expect(await one.heal(false, false, [away.replica.instance])).toMatchObject({ restored: 1, removed: 1 });
  const back = await start(nats, away);
  await healthy(one, two, back);
  for (const follower of [one, two, back]) {
    expect(follower.text('sa')).toBe(`5 ${canary(5)}`);
    expect(follower.text('snew')).toBeUndefined();
  }
  expect(await keptBeside(connection)).toEqual([]);
});

test('an instance that comes back makes way for a heal, and is a part of it', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  await away.end();
  await two.feed.passed(await one.commit('sa', `2 ${canary('after')}`));
  await one.heal(false, false, [away.replica.instance]);
  await healthy(one, two);
  const announced = { kind: 'missing', message: 'a heal', instance: 'f'.repeat(16), at: new Date() } as const;
  const note = encodeAlarm({ ...announced, healer: 'f'.repeat(16) });
  await connection.request(layout.alarm, note);
  const back = await start(nats, away);
  await expect.poll(() => back.feed.problem?.message, { timeout: 30_000 }).toContain('heals the store');
  expect(back.text('sa')).toBe(`1 ${canary('before')}`);
  expect(back.replica.origin?.epoch).toBe(1);
  const report = await one.heal();
  expect(report.compared).toContain(back.replica.instance);
  await healthy(one, two, back);
  expect(back.text('sa')).toBe(`2 ${canary('after')}`);
});

test('a heal waits for an instance that takes over what an earlier one made of the stream, until it has stopped', {
  timeout: 120_000,
}, async () => {
  const { nats, one, two, away } = await three();
  await away.end();
  await two.feed.passed(await one.commit('sa', `2 ${canary('after')}`));
  await one.heal(false, false, [away.replica.instance]);
  await healthy(one, two);
  const back = await Follower.open(nats.urls, away.folder);
  const held = deferred<void>();
  later(() => held.resolve());
  let isAsked = false;
  back.admission = () => {
    isAsked = true;
    return held;
  };
  back.start();
  await expect.poll(() => isAsked, { timeout: 30_000 }).toBe(true);
  let isHealed = false;
  const healing = one.heal().then(() => {
    isHealed = true;
  });
  await expect.poll(() => back.feed.alarm.current?.healer, { timeout: 30_000 }).toBe(one.replica.instance);
  // A heal that waits for nobody takes two seconds.
  const until = performance.now() + 5_000;
  await expect.poll(() => isHealed || performance.now() > until, { timeout: 30_000 }).toBe(true);
  expect(isHealed).toBe(false);
  expect(back.replica.origin?.epoch).toBe(1);
  held.resolve();
  await healing;
  await healthy(one, two, back);
  for (const follower of [one, two, back]) {
    expect(follower.replica.origin?.epoch).toBe(3);
    expect(follower.text('sa')).toBe(`2 ${canary('after')}`);
  }
});

test('taking over what a heal made of the stream is begun again where it was broken off', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  // More than comes at once.
  const value = (life: number, index: number) => `${life} ${canary(index)}${'x'.repeat(60_000)}`;
  for (let index = 0; index < 80; index++) await one.commit(`s${index}`, value(1, index), 100_000);
  await confirmed(one, away, one.feed.position);
  await away.end();
  for (let index = 0; index < 80; index++) await one.commit(`s${index}`, value(2, index), 100_000);
  await one.commit('s79', undefined);
  await two.feed.passed(one.feed.position);
  await one.heal(false, false, [away.replica.instance]);
  await healthy(one, two);
  const broken = await Follower.open(nats.urls, away.folder);
  broken.admission = () => {
    if (broken.text('s0')?.startsWith('2')) throw new CofferError('unavailable', 'a disk that is slow');
  };
  broken.start();
  await expect.poll(() => broken.feed.problem?.message, { timeout: 30_000 }).toContain('a disk that is slow');
  expect(broken.replica.origin?.epoch).toBe(1);
  await broken.end();
  const removed = await one.commit('s40', undefined);
  await two.feed.passed(removed);
  // It has not taken over yet that it is removed, and nobody forgets it.
  expect(one.feed.members.confirmedByAll(removed)).toBe(false);
  // What the stream loses meanwhile is missed by it, too.
  const manager = await jetstreamManager(connection, { checkAPI: false });
  await manager.streams.purge(layout.stream, { filter: layout.record(Buffer.from('s41')) });
  const back = await start(nats, away);
  await expect.poll(() => alarmOf(back), { timeout: 30_000 }).toBe('missing');
  expect(await one.heal()).toMatchObject({ restored: 1 });
  await healthy(back, one);
  for (let index = 0; index < 79; index++) {
    expect(back.text(`s${index}`)).toBe(index === 40 ? undefined : value(2, index));
  }
  expect(back.text('s79')).toBeUndefined();
});

test('a record that is older than what an instance has is not taken over, though it says that it came after', {
  timeout: 120_000,
}, async () => {
  const { nats, connection, one, two, away } = await three();
  await away.feed.passed(await one.commit('sa', `5 ${canary('newest')}`));
  await confirmed(one, away, one.feed.position);
  await away.end();
  await two.feed.passed(await one.commit('sa', `4 ${canary('an old one')}`));
  await one.heal(false, false, [away.replica.instance]);
  await healthy(one, two);
  const back = await start(nats, away);
  await expect.poll(() => alarmOf(back), { timeout: 30_000 }).toBe('missing');
  expect(back.text('sa')).toBe(`5 ${canary('newest')}`);
  expect(await one.heal()).toMatchObject({ restored: 1 });
  await healthy(one, two, back);
  for (const follower of [one, two, back]) expect(follower.text('sa')).toBe(`5 ${canary('newest')}`);
  expect(await keptBeside(connection)).toEqual([`4 ${canary('an old one')}`]);

  // Nor by one that was forgotten, and begins anew.
  await back.end();
  await two.feed.passed(await one.commit('sa', `3 ${canary('older yet')}`));
  await sayOfMember(connection, back.replica.instance, 0);
  const forgotten = await start(nats, back);
  await expect.poll(() => forgotten.feed.alarm.raised?.message, { timeout: 30_000 }).toContain('forgotten');
  expect(forgotten.text('sa')).toBe(`5 ${canary('newest')}`);
});
