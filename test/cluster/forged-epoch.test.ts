import { jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import { headers, type NatsConnection } from '@nats-io/nats-core';
import { expect, test } from 'vitest';
import { encodeAlarm, encodeMeta, parseMeta } from '../../packages/engine/src/storage/jetstream/notes.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { bytes, Follower, later, layout, makeBucket } from './followers.js';

/** Who may write to the bucket, and has no key of the store. */
async function stranger() {
  const nats = await NatsCluster.start({ size: 1 });
  later(() => nats.stop());
  const connection = await makeBucket(nats.urls);
  const manager = await jetstreamManager(connection);
  const last = async (subject: string): Promise<StoredMsg> => {
    const found = await manager.streams.getMessage(layout.stream, { last_by_subj: subject });
    if (!found) throw new Error(`nothing under ${subject}`);
    return found;
  };
  return { nats, connection, last };
}

/** As it was, but for what belongs to the batch that it came in. */
async function putBack(connection: NatsConnection, { subject, data, header }: StoredMsg): Promise<void> {
  const said = headers();
  for (const name of header.keys()) if (!name.startsWith('Nats-')) said.set(name, header.get(name));
  const answer = await connection.request(subject, data, { headers: said, timeout: 5_000 });
  expect(answer.json()).toMatchObject({ seq: expect.any(Number) });
}

const alarmOf = (follower: Follower) => follower.feed.alarm.current;
const healthy = async (...all: Follower[]) => {
  for (const one of all) await expect.poll(() => one.feed.problem).toBeUndefined();
};

/** What a stranger says that it is. */
const epoch = (number: number, seal?: string) =>
  encodeMeta({ format: 1, incarnation: Buffer.alloc(16, 7), epoch: number, seal });

test('what was put back while a false heal held all instances, under an epoch of its own, is taken over by none of them', async () => {
  const { nats, connection, last } = await stranger();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('before'));
  const before = await last(layout.record(bytes('sa')));
  await two.feed.passed(await one.commit('sa', canary('after')));

  const alarm = { kind: 'missing', message: 'nothing', instance: 'f'.repeat(16), at: new Date() } as const;
  await connection.request(layout.alarm, encodeAlarm({ ...alarm, healer: 'f'.repeat(16) }));
  for (const all of [one, two]) await expect.poll(() => all.feed.alarm.stopsReading).toBe(true);
  await putBack(connection, before);
  await connection.request(layout.meta, epoch(2, 'ab'.repeat(32)));
  const lifted = headers();
  lifted.set('KV-Operation', 'DEL');
  await connection.request(layout.alarm, '', { headers: lifted, timeout: 5_000 });

  for (const all of [one, two]) {
    await expect.poll(() => alarmOf(all)?.kind).toBe('damaged');
    expect(alarmOf(all)).toMatchObject({ instance: all.replica.instance });
    expect(alarmOf(all)?.message).toContain('no heal has begun');
    expect(all.text('sa')).toBe(canary('after'));
    expect(all.replica.origin?.epoch).toBe(1);
  }
  // All know of it, and one that comes back, too.
  await two.end();
  const again = (await Follower.open(nats.urls, two.folder)).start();
  await expect.poll(async () => (await last(layout.alarm)).data.length).toBeGreaterThan(0);
  expect([alarmOf(again)?.kind, again.text('sa')]).toEqual(['damaged', canary('after')]);

  expect(await one.heal()).toMatchObject({ restored: 1 });
  await healthy(one, again);
  for (const all of [one, again]) {
    expect(all.text('sa')).toBe(canary('after'));
    expect(all.replica.origin?.epoch).toBe(2);
  }
  expect(parseMeta((await last(layout.meta)).data).seal).toMatch(/^[0-9a-f]{64}$/);
  await again.feed.passed(await one.commit('sb', canary('b')));
});

test('an epoch that no heal has begun, and what says none, is an alarm, and the next heal overwrites it', async () => {
  const { nats, connection, last } = await stranger();
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  await two.feed.passed(await one.commit('sa', canary('a')));
  const newer = encodeMeta({ format: 99, incarnation: Buffer.alloc(16, 7), epoch: 1 });
  for (const written of [epoch(7), Buffer.from('x'), newer, Buffer.from('{"format":99}')]) {
    const before = one.replica.origin?.epoch ?? 0;
    await connection.request(layout.meta, written);
    for (const all of [one, two]) await expect.poll(() => alarmOf(all)?.kind).toBe('damaged');
    await expect.poll(async () => (await last(layout.alarm)).data.length).toBeGreaterThan(0);
    await one.heal();
    await healthy(one, two);
    expect([two.replica.origin?.epoch, two.text('sa')]).toEqual([before + 1, canary('a')]);
  }
});

test('a new instance takes an epoch for its own only when it has the key to look at its seal', async () => {
  const { nats, connection, last } = await stranger();
  const one = (await Follower.open(nats.urls)).start();
  await one.commit('sa', canary('a'));
  await one.heal();
  await healthy(one);
  const sealed = await last(layout.meta);

  const fresh = await Follower.open(nats.urls);
  await fresh.feed.fill();
  expect([fresh.text('sa'), fresh.replica.origin?.epoch]).toEqual([canary('a'), 0]);
  fresh.start();
  await healthy(fresh);
  expect(fresh.replica.origin?.epoch).toBe(2);

  await fresh.end();
  await connection.request(layout.meta, epoch(7));
  await expect.poll(() => alarmOf(one)?.kind).toBe('damaged');
  const late = await Follower.open(nats.urls);
  await late.feed.fill();
  late.start();
  await expect.poll(() => alarmOf(late)?.kind).toBe('damaged');
  expect(late.replica.origin?.epoch).toBe(0);
  const back = (await Follower.open(nats.urls, fresh.folder)).start();
  await expect.poll(() => alarmOf(back)?.kind).toBe('damaged');
  await one.heal();
  await healthy(one, late, back);
  for (const all of [one, late, back]) {
    expect([all.text('sa'), all.replica.origin?.epoch]).toEqual([canary('a'), 3]);
  }
  expect((await last(layout.meta)).seq).toBeGreaterThan(sealed.seq);
});
