import { expect, test } from 'vitest';

import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { Follower, later, layout, makeBucket } from './followers.js';

test('notes that no instance wrote stop nobody, neither who follows nor who begins to', async () => {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  const one = (await Follower.open(server.url)).start();
  await one.commit('sx', canary('a'));
  for (const subject of [layout.member('f'.repeat(16)), layout.lease('work'), layout.alarm]) {
    for (const said of ['x', 'null', '{}']) await connection.request(subject, said);
  }
  await one.commit('sx', canary('b'));
  expect(one.text('sx')).toBe(canary('b'));
  expect(one.feed.alarm.current).toBeUndefined();
  await one.end();

  const again = (await Follower.open(server.url, one.folder)).start();
  await again.commit('sx', canary('c'));
  expect(again.text('sx')).toBe(canary('c'));
  expect(again.feed.alarm.current).toBeUndefined();
});
