import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test, vi } from 'vitest';
import { HEADER } from '../../packages/engine/src/storage/jetstream/layout.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { bytes, Follower, later, layout, makeBucket, putBackTo } from './followers.js';

/** What somebody can do who has seen messages of a stream that was put back and healed since. */

const WAIT = { timeout: 30_000 };

async function store() {
  const nats = await NatsCluster.start({ size: 1 });
  later(() => nats.stop());
  const connection = await makeBucket(nats.urls);
  const manager = await jetstreamManager(connection, { checkAPI: false, timeout: 1_000 });
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  /** The message of a record as it is now, and what puts it there again. */
  const seen = async (key: string) => {
    const subject = layout.record(bytes(key));
    // What is asked while the connection has not found back to the server is lost.
    const last = () => manager.streams.getMessage(layout.stream, { last_by_subj: subject });
    const found = await vi.waitFor(last, WAIT);
    if (!found) throw new Error(`${key} is not there`);
    const headers = Object.values(HEADER).flatMap((name) =>
      found.header.has(name) ? [[name, found.header.get(name)] as const] : [],
    );
    const again = () => publishMessage(connection, { subject, headers, data: found.data });
    return { sequence: found.seq, again };
  };
  const alarmed = async () => {
    for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBeDefined();
  };
  const healthy = async (...all: Follower[]) => {
    for (const { feed } of all) await expect.poll(() => feed.problem, WAIT).toBeUndefined();
  };
  return { nats, manager, one, two, seen, alarmed, healthy };
}

test('a value of a future that was lost, and came back, does not go back to what it was there before', {
  timeout: 120_000,
}, async () => {
  const { nats, manager, one, two, seen, alarmed, healthy } = await store();
  await one.commit('s', `1 ${canary('head')}`, 1_000, { put: { 's/v': canary('first') } });
  await two.feed.passed(one.feed.position);
  const putBack = await putBackTo(nats);
  // So many that it names nothing of what the stream has when it is put back.
  for (let change = 0; change < 12; change++) {
    await one.commit('s', `1 ${canary('head')}`, 1_000, { put: { 's/v': canary(`change ${change}`) } });
  }
  const old = await seen('s/v');
  await one.commit('s', `1 ${canary('head')}`, 1_000, { put: { 's/v': canary('last') } });
  await two.feed.passed(one.feed.position);
  await putBack();
  await alarmed();
  await one.heal();
  await healthy(one, two);
  expect(two.text('s/v')).toBe(canary('last'));
  expect((await manager.streams.info(layout.stream)).state.last_seq).toBeLessThan(old.sequence - 1);
  await old.again();
  for (const { feed } of [one, two]) await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('fork');
  for (const each of [one, two]) expect(each.text('s/v')).toBe(canary('last'));
  expect(await one.heal()).toMatchObject({ restored: 1, removed: 0 });
  await healthy(one, two);
  for (const each of [one, two]) expect(each.text('s/v')).toBe(canary('last'));
});

test('the future that lost a heal does not win the next one, when somebody puts its message there again', {
  timeout: 120_000,
}, async () => {
  const { nats, one, two, seen, healthy } = await store();
  const three = (await Follower.open(nats.urls)).start();
  await one.commit('s', `1 ${canary('head')}`);
  for (const { feed } of [two, three]) await feed.passed(one.feed.position);
  await three.end();
  const putBack = await putBackTo(nats);
  for (let other = 0; other < 10; other++) await one.commit(`o${other}`, `1 ${canary('other')}`);
  await one.commit('s', `2 ${canary('one future')}`);
  await two.feed.passed(one.feed.position);
  const folders = [one.folder, two.folder];
  await one.end();
  await two.end();
  await putBack();
  const four = (await Follower.open(nats.urls, three.folder)).start();
  await healthy(four);
  await four.commit('s', `2 ${canary('other future')}`);
  const lost = await seen('s');
  const [again, also] = [
    (await Follower.open(nats.urls, folders[0])).start(),
    (await Follower.open(nats.urls, folders[1])).start(),
  ];
  for (const { feed } of [again, also, four]) await expect.poll(() => feed.alarm.current, WAIT).toBeDefined();
  expect(await again.heal()).toMatchObject({ forks: [{ winner: again.replica.instance }] });
  await healthy(again, also, four);
  for (const each of [again, also, four]) expect(each.text('s')).toBe(`2 ${canary('one future')}`);
  await lost.again();
  for (const { feed } of [again, also, four])
    await expect.poll(() => feed.alarm.current?.kind, WAIT).toBe('fork');
  expect(await again.heal()).toMatchObject({ restored: 1, forks: [] });
  await healthy(again, also, four);
  for (const each of [again, also, four]) expect(each.text('s')).toBe(`2 ${canary('one future')}`);
});
