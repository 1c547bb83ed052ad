import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { Regression } from '../../packages/engine/src/storage/jetstream/admission.js';
import { lastNote } from '../../packages/engine/src/storage/jetstream/continuity.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Follower, later, layout, makeBucket } from './followers.js';

async function cluster() {
  const nats = await NatsCluster.start({ size: 1 });
  later(() => nats.stop());
  const connection = await makeBucket(nats.urls);
  const manager = await jetstreamManager(connection);
  return { nats, connection, manager };
}

const open = async (nats: NatsCluster, name: string, folder?: Follower['folder']) =>
  (await Follower.open(nats.urls, folder, { name })).start();
const healthy = async (...all: Follower[]) => {
  for (const one of all) await expect.poll(() => one.feed.problem).toBeUndefined();
};
const knows = (one: Follower, other: Follower) =>
  one.feed.members.list().some(({ instance }) => instance === other.replica.instance);
const refusal = (heal: Promise<unknown>) =>
  heal.then(
    () => {
      throw new Error('it was not refused');
    },
    ({ code, message }: { code: string; message: string }) => ({ code, message }),
  );

test('nothing is healed while a member is away that nobody has named, and the refusal says what to type', async () => {
  const { nats, manager } = await cluster();
  const one = await open(nats, 'one');
  const two = await open(nats, 'two');
  const other = await open(nats, 'two');
  const ids = [two.replica.instance, other.replica.instance];
  await expect.poll(() => knows(one, two) && knows(one, other)).toBe(true);
  await one.commit('sa', canary('a'));
  await two.end();
  await other.end();

  expect((await one.heal(true)).absent.toSorted()).toEqual(ids.toSorted());
  const { code, message } = await refusal(one.heal());
  expect(code).toBe('conflict');
  for (const id of ids) expect(message).toContain(`${id} (two)`);
  const [, named = ''] = /coffer storage heal --without ([0-9a-f ]{33})$/.exec(message) ?? [];
  expect(named.split(' ').toSorted()).toEqual(ids.toSorted());
  expect(await lastNote(manager, layout.stream, layout.alarm)).toBeUndefined();
  expect(one.feed.problem).toBeUndefined();

  const [first = '', second = ''] = ids;
  const half = await refusal(one.heal(false, true, [first]));
  expect(half.message).toContain(`${second} (two)`);
  expect(half.message).not.toContain(`${first} (two)`);
  expect(half.message).toMatch(/coffer storage heal --give-up-damaged --without [0-9a-f ]{33}$/);
  expect(await refusal(one.heal(false, false, ['three']))).toMatchObject({ code: 'not_found' });

  expect((await one.heal(false, false, named.split(' '))).absent).toHaveLength(2);
  await healthy(one);
});

test('who is away is known after a restart, when the stream is gone, and to all in the one that is made anew', async () => {
  const { nats, manager } = await cluster();
  const one = await open(nats, 'one');
  const two = await open(nats, 'two');
  await two.feed.passed(await one.commit('sa', canary('a')));
  await expect.poll(() => one.replica.members().length).toBe(1);
  await two.end();
  await manager.streams.delete(layout.stream);
  await expect.poll(() => one.feed.alarm.current?.kind).toBe('gone');
  await one.end();

  const again = await open(nats, 'one', one.folder);
  await expect.poll(() => again.feed.alarm.current?.kind).toBe('gone');
  expect((await refusal(again.heal())).message).toContain(two.replica.instance);
  await expect(manager.streams.info(layout.stream)).rejects.toThrow('stream not found');
  expect((await again.heal(false, false, ['two'])).absent).toEqual([two.replica.instance]);
  await healthy(again);
  const fresh = await open(nats, 'fresh');
  await healthy(fresh);
  await expect.poll(() => knows(fresh, two)).toBe(true);
  expect(again.feed.members.confirmedByAll(1)).toBe(false);

  const back = await open(nats, 'two', two.folder);
  await healthy(back);
  expect(back.text('sa')).toBe(canary('a'));
  await expect.poll(() => again.feed.members.confirmedByAll(1)).toBe(true);
});

test('of two members of one name the one that is away is forgotten, of several that are, one is to be chosen', async () => {
  const { nats } = await cluster();
  const one = await open(nats, 'one');
  const lost = await open(nats, 'two');
  const alsoLost = await open(nats, 'two');
  const here = await open(nats, 'two');
  for (const all of [lost, alsoLost, here]) await expect.poll(() => knows(one, all)).toBe(true);
  const { members } = one.feed;
  await expect(members.forget('two')).rejects.toMatchObject({ code: 'conflict', message: /alive/ });
  await lost.end();
  await alsoLost.end();
  const away = () => members.list().filter(({ alive }) => !alive).length;
  await expect.poll(away).toBe(2);
  const { code, message } = await refusal(members.forget('two'));
  expect(code).toBe('conflict');
  expect(message).toContain(lost.replica.instance);
  expect(message).toContain(alsoLost.replica.instance);
  expect(message).not.toContain(here.replica.instance);
  await members.forget(lost.replica.instance);
  await members.forget('two');
  expect([lost, alsoLost, here].map((all) => knows(one, all))).toEqual([false, false, true]);
  await expect.poll(() => here.feed.members.list().length).toBe(2);
  const kept = () => here.replica.members().filter(({ isForgotten }) => !isForgotten);
  await expect.poll(() => kept().length).toBe(1);
  await expect(members.forget('two')).rejects.toMatchObject({ code: 'conflict', message: /alive/ });

  // Nor do they come back with a restart.
  await one.end();
  const again = await open(nats, 'one', one.folder);
  await healthy(again);
  expect(again.feed.members.list()).toHaveLength(2);
});

test('an instance of whom nothing was heard for long is not forgotten while it answers', async () => {
  const { nats } = await cluster();
  const one = await open(nats, 'one');
  const two = await open(nats, 'two');
  await expect.poll(() => knows(one, two)).toBe(true);
  const { instance } = two.replica;
  two.feed.members.own.stop();
  const { members } = one.feed;
  const isAway = () => members.list().some((member) => member.instance === instance && !member.alive);
  await expect.poll(isAway, { timeout: 10_000 }).toBe(true);
  for (const named of [instance, 'two'])
    await expect(members.forget(named)).rejects.toMatchObject({ code: 'conflict', message: /alive/ });
  expect(knows(one, two)).toBe(true);
  await two.end();
  await members.forget('two');
  expect(knows(one, two)).toBe(false);
});

test('an alarm that a heal lifts while an instance looks at it is not raised again', async () => {
  const { nats, connection, manager } = await cluster();
  const one = await open(nats, 'one');
  const two = await open(nats, 'two');
  await two.feed.passed(await one.commit('sa', canary('a')));
  await expect.poll(() => knows(one, two)).toBe(true);
  await two.end();
  const slow = await Follower.open(nats.urls, two.folder, { name: 'two' });
  await slow.feed.alarm.raise(new Regression('missing', 'something was'));
  let looks = 0;
  const streams = new Proxy(manager.streams, {
    get(target, name) {
      if (name !== 'getMessage') return Reflect.get(target, name);
      return async (...asked: Parameters<typeof target.getMessage>) => {
        const found = await target.getMessage(...asked);
        if (++looks === 1) await one.heal(false, false, ['two']);
        return found;
      };
    },
  });
  await slow.feed.alarm.standBy({ ...manager, streams }, connection, async () => false);
  expect(looks).toBeGreaterThan(1);
  await healthy(one);
  expect((await lastNote(manager, layout.stream, layout.alarm))?.data).toBeUndefined();
});
