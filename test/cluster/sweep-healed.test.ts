import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { BACKGROUND } from '../../packages/engine/src/storage/shared.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { bytes, Follower, later, layout, makeBucket, putBackTo } from './followers.js';

async function store() {
  const nats = await NatsCluster.start({ size: 1 });
  later(() => nats.stop());
  const { streams } = await jetstreamManager(await makeBucket(nats.urls), { checkAPI: false });
  const isThere = async (key: string) => {
    const found = await streams.getMessage(layout.stream, { last_by_subj: layout.record(bytes(key)) });
    return found !== null && !found.header?.get('KV-Operation');
  };
  return { nats, isThere, streams };
}

async function onDuty(follower: Follower): Promise<Follower> {
  const lease = follower.feed.leases.lease(BACKGROUND);
  await expect.poll(() => lease.held).toBe(true);
  return follower;
}

/** Both know of it, the stream has forgotten it, and so have they. */
async function sweep(one: Follower, two: Follower, removed: number): Promise<void> {
  for (const each of [one, two]) {
    await expect.poll(() => each.feed.members.level).toBeGreaterThanOrEqual(removed);
  }
  await expect.poll(() => one.feed.leases.holds(BACKGROUND)).toBe(true);
  await one.feed.scrub();
  for (const each of [one, two]) await each.feed.scrub();
}

test('a heal of a stream that was put back brings nothing back that was deleted, though its marks were swept', async () => {
  const { nats, isThere } = await store();
  const one = await onDuty((await Follower.open(nats.urls)).start());
  const two = (await Follower.open(nats.urls)).start();
  await one.commit('sa', `1 ${canary('a')}`, undefined, { put: { 'sa/1': canary('one') } });
  await one.commit('sb', `1 ${canary('b')}`, undefined, { put: { 'sb/1': canary('deleted') } });
  await two.feed.passed(one.feed.position);
  const putBack = await putBackTo(nats);
  await one.commit('sb', undefined, undefined, { remove: ['sb/1'] });
  const beside = { put: { 'sa/2': canary('two') }, remove: ['sa/1'] };
  await sweep(one, two, await one.commit('sa', `2 ${canary('a')}`, undefined, beside));
  for (const { replica } of [one, two]) {
    expect([...replica.entries()].map(([key]) => String(key))).toEqual(['sa', 'sa/2', 'sb']);
  }
  await putBack();
  await expect.poll(() => one.feed.alarm.current).toBeDefined();
  await expect.poll(() => two.feed.alarm.current).toBeDefined();
  expect(await isThere('sb/1')).toBe(true);
  expect((await one.heal()).forks).toEqual([]);
  for (const each of [one, two]) {
    await expect.poll(() => each.feed.problem).toBeUndefined();
    expect([...each.replica.scan(bytes('s'))].map(([key]) => String(key))).toEqual(['sa', 'sa/2']);
    expect(each.text('sa')).toBe(`2 ${canary('a')}`);
  }
  for (const key of ['sa/1', 'sb', 'sb/1']) expect(await isThere(key)).toBe(false);
});

test('a heal takes no new life for the past of one that was swept, nor brings that one back', async () => {
  const { nats } = await store();
  const one = await onDuty((await Follower.open(nats.urls, undefined, { rememberedMs: 0 })).start());
  const two = (await Follower.open(nats.urls, undefined, { rememberedMs: 0 })).start();
  await one.commit('sa', `5 ${canary('first life')}`);
  await one.commit('sb', `5 ${canary('deleted')}`);
  await one.commit('sb', undefined);
  const removed = await one.commit('sa', undefined);
  await expect.poll(() => one.feed.members.level).toBeGreaterThanOrEqual(removed);
  await one.feed.scrub();
  await one.feed.scrub();
  // The other one still knows of both removals.
  expect(two.replica.entry(bytes('sa'))?.removed).toBe(true);
  await one.commit('sa', `9 ${canary('new life')}`);
  expect(await one.heal()).toMatchObject({ restored: 0, forks: [] });
  for (const each of [one, two]) {
    await expect.poll(() => each.feed.problem).toBeUndefined();
    await expect.poll(() => each.text('sa')).toBe(`9 ${canary('new life')}`);
    expect(each.text('sb')).toBeUndefined();
  }
});

test('a member that was away since before a heal holds the sweep back until it has compared itself', async () => {
  const { nats, isThere, streams } = await store();
  const one = await onDuty((await Follower.open(nats.urls, undefined, { rememberedMs: 0 })).start());
  const two = (await Follower.open(nats.urls, undefined, { rememberedMs: 0 })).start();
  await two.feed.passed(await one.commit('sa', `1 ${canary('a')}`));
  // What it says that it has is of the time before the heal, and more than the stream will have for a while.
  for (let index = 0; index < 5; index++)
    await two.feed.passed(await one.commit(`s${index}`, `1 ${canary(index)}`));
  const { instance } = two.replica;
  await two.end();
  await streams.delete(layout.stream);
  await expect.poll(() => one.feed.alarm.current?.kind).toBe('gone');
  await one.heal(false, false, [instance]);
  await expect.poll(() => one.feed.problem).toBeUndefined();
  const removed = await one.commit('sa', undefined);
  await expect.poll(() => one.replica.flush()).toBeGreaterThan(removed);
  await one.feed.scrub();
  expect(one.feed.members.level).toBeLessThan(removed);
  expect(one.feed.members.confirmedByAll(removed)).toBe(false);
  const back = (await Follower.open(nats.urls, two.folder, { rememberedMs: 0 })).start();
  await expect.poll(() => back.feed.problem).toBeUndefined();
  expect(back.text('sa')).toBeUndefined();
  await sweep(one, back, removed);
  expect([...one.replica.entries()].map(([key]) => String(key))).not.toContain('sa');
  expect(await isThere('sa')).toBe(false);
  for (const each of [one, back]) expect(each.feed.alarm.current).toBeUndefined();
});
