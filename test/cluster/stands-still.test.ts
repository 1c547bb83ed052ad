import { cp, rm } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';
import { afterEach, expect, test } from 'vitest';
import type { JetStreamStorage } from '../../packages/engine/src/storage/jetstream/storage.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { NatsServer } from '../support/nats.mjs';
import { Follower, later, layout, makeBucket } from './followers.js';
import {
  ADMITTING,
  connectTo,
  newFolder,
  openStorage,
  removeFolders,
  summariser,
} from './jetstream-support.js';

/** Servers that answer and send nothing, and instances that have long work to do. */

const WAIT = { timeout: 20_000 };
afterEach(removeFolders);

test('where the server that is read at stands still, and says that it is there, the one is read that leads', async () => {
  const server = await NatsServer.start();
  later(() => server.stop());
  const { consumers } = await jetstreamManager(await makeBucket(server.url));
  const one = (await Follower.open(server.url)).start();
  await one.commit('sa', canary('a'));
  // A consumer that is paused goes on to say so.
  const until = new Date(Date.now() + 3_600_000);
  for await (const { name } of consumers.list(layout.stream))
    await consumers.pause(layout.stream, name, until);
  const passed = one.feed.position;
  await expect.poll(() => one.feed.problem?.code, WAIT).toBe('unavailable');
  await expect.poll(() => one.feed.problem, WAIT).toBeUndefined();
  expect(one.feed.position).toBeGreaterThan(passed);
  expect(one.feed.alarm.current).toBeUndefined();
});

test('an instance that compares all that it has with the store stays at its server, however long that takes', async () => {
  await using cluster = await NatsCluster.start({ size: 1 });
  const folder = newFolder();
  const copy = newFolder();
  const put = (storage: JetStreamStorage, name: string) =>
    storage.commit({
      head: { key: Buffer.from(name), bytes: Buffer.from(canary(name)) },
      expectedRevision: 0,
    });
  const other = await openStorage(cluster, { folder });
  other.summarise(summariser);
  for (let index = 0; index < 5; index++) await put(other, `s${index}`);
  await other.close();
  await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
  const again = await openStorage(cluster, { folder, follow: false });
  again.summarise(summariser);
  again.shared.follow(ADMITTING);
  const last = await put(again, 'after');
  const one = await openStorage(cluster);
  await expect.poll(() => one.shared.confirmedByAll(last), WAIT).toBe(true);
  await again.close();
  await rm(folder, { recursive: true });
  await cp(copy, folder, { recursive: true });

  let moved = 0;
  const watched = async (): Promise<NatsConnection> => {
    const connection = await connectTo(cluster.urls);
    const watch = async () => {
      for await (const { type } of connection.status()) if (type === 'reconnect') moved++;
    };
    void watch();
    return connection;
  };
  const back = await openStorage(cluster, { folder, connect: watched, follow: false });
  back.summarise(summariser);
  expect(back.get(Buffer.from('after'))).toBeUndefined();
  let admitted = 0;
  // As who asks a key service that is slow.
  const admit = async (heads: readonly unknown[]) => {
    await wait(1_500 * heads.length);
    admitted += heads.length;
  };
  back.shared.follow({ ...ADMITTING, admit });
  await expect.poll(() => back.shared.health.problem, WAIT).toBeUndefined();
  expect(Buffer.from(back.get(Buffer.from('after'))?.bytes ?? []).toString()).toBe(canary('after'));
  expect({ admitted, moved }).toEqual({ admitted: 6, moved: 0 });
  await back.close();
  await one.close();
}, 60_000);
