import { expect, test } from 'vitest';
import { flipBits } from '../support/block-files.mjs';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Follower, later, layout, makeBucket } from './followers.js';

const { stream } = layout;

/** Of three servers one has lost most of what it had, leads, and is what the others believe; they have all. */
async function damagedLeader(names: readonly string[]) {
  const nats = await NatsCluster.start();
  later(() => nats.stop());
  await makeBucket(nats.urls, 3);
  const one = (await Follower.open(nats.urls)).start();
  const two = (await Follower.open(nats.urls)).start();
  for (const name of names) await one.commit(name, canary(name));
  // So that what they have is no more in their journals, from which they would make good what was lost.
  for (const server of nats.servers) await server.stop();
  await nats.resume();
  await nats.settled(stream);
  const leader = await nats.leaderOf(stream);
  const [behind, away] = nats.servers.filter((server) => server !== leader);
  if (!leader || !behind || !away) throw new Error('the stream has no leader');
  // Who has not all that was taken since is not made the leader.
  await behind.kill();
  const { position } = one.feed;
  await expect.poll(() => one.feed.position, { timeout: 60_000 }).toBeGreaterThan(position);
  await leader.kill();
  await away.kill();
  expect(flipBits(leader.messagesOf(stream), 1_000)).toBeGreaterThan(0);
  await Promise.all([leader.start(), behind.start()]);
  await expect.poll(() => nats.leaderOf(stream).catch(() => undefined), { timeout: 60_000 }).toBe(leader);
  await away.start();
  await nats.ready();
  await nats.settled(stream);
  return { nats, leader, followers: [one, two] as const };
}

test('what the server lost that leads comes back by one heal, though the others have it', async () => {
  const names = Array.from({ length: 50 }, (_, index) => `s${index}`);
  const { nats, leader, followers } = await damagedLeader(names);
  const [one, two] = followers;
  for (const follower of followers) {
    await expect.poll(() => follower.feed.alarm.current?.kind, { timeout: 60_000 }).toBe('missing');
  }
  const { restored } = await one.heal(true);
  expect(restored).toBeGreaterThan(0);
  // Whichever servers it meets.
  for (let times = 0; times < 4; times++) expect(await one.heal(true)).toMatchObject({ restored });
  expect(await one.heal()).toMatchObject({ restored });
  for (const follower of followers) {
    await expect.poll(() => follower.feed.problem, { timeout: 60_000 }).toBeUndefined();
    expect(await follower.feed.scrub()).toBe(names.length);
    expect(follower.feed.alarm.current).toBeUndefined();
    for (const name of names) expect(follower.text(name)).toBe(canary(name));
  }
  expect((await nats.leaderOf(stream))?.name).toBe(leader.name);
  await two.commit('safter', canary('after'));
});
