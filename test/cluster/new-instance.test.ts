import { jetstreamManager } from '@nats-io/jetstream';
import { afterEach, expect, test } from 'vitest';

import { admin } from '../../packages/engine/test/support.js';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { connectTo, newFolder, openStorage, removeFolders } from './jetstream-support.js';

const HEAL = { dryRun: false, giveUpDamaged: false, without: [] };
const WAIT = { timeout: 20_000 };

let cluster: NatsCluster;
afterEach(async () => {
  await cluster?.stop();
  removeFolders();
});

test('an alarm that a new instance met at its start, which was refused, is not raised again by it when the store was healed', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const one = await openStorage(cluster);
  const connection = await connectTo(cluster.urls);
  await expect.poll(() => one.shared.health.problem).toBeUndefined();
  await connection.request(`$KV.test.r.${Buffer.from('sz').toString('base64url')}`, 'x');
  await expect.poll(() => one.shared.alarm?.kind, WAIT).toBe('damaged');
  const folder = newFolder();
  const refused = openStorage(cluster, { folder, instanceName: 'two' });
  await expect(refused).rejects.toThrow(
    /new instance \(two, [0-9a-f]{16}\) was not started.*heal there, and start this one again\. The alarm: message \d+ /,
  );
  await one.shared.heal(HEAL);
  expect(one.shared.alarm).toBeUndefined();

  const told: unknown[] = [];
  one.shared.onAlarm(() => told.push(one.shared.alarm));
  const two = await openStorage(cluster, { folder });
  for (const { shared } of [one, two]) await expect.poll(() => shared.health.problem, WAIT).toBeUndefined();
  expect(told).toEqual([]);
  await two.close();
  await one.close();
  await connection.close();
});

test('a new instance makes no store of its own where the bucket is gone, and there was one: it says so, and comes in when it was healed', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  // The first start of a store that is really new.
  const engines = new Engines(cluster, 'lost');
  const { engine } = await engines.open('one');
  await expect.poll(() => engine.auditCopies?.delivered.seq, WAIT).toBeGreaterThan(0);
  const connection = await connectTo(cluster.urls);
  const manager = await jetstreamManager(connection);
  await manager.streams.delete('KV_lost');
  await expect.poll(() => engine.sharedHealth?.alarm?.kind, WAIT).toBe('gone');

  const refusal = /there was a store in the bucket lost.*KV_lost is not there; no new store was made/;
  await expect(engines.open('two')).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringMatching(refusal),
  });
  await expect(manager.streams.info('KV_lost')).rejects.toThrow();

  await engine.healStorage(admin, HEAL);
  const two = await engines.open('two');
  expect(two.engine.sharedHealth?.alarm).toBeUndefined();
  await connection.close();
});
