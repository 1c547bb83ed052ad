import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';

import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import { migrateToEmbedded } from '../../packages/engine/src/migrate/to-embedded.js';
import { migrateToJetStream } from '../../packages/engine/src/migrate/to-jetstream.js';
import { HEADER, Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { admin, bytes, codeOf, createSigner, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { later } from './followers.js';
import { connectTo } from './jetstream-support.js';
import { moveOptions } from './move-options.mjs';

const WAIT = { timeout: 30_000 };

test('what said that a store was moved away, put there again when it is back, ends no instance, and a heal removes it', {
  timeout: 120_000,
}, async () => {
  const cluster = await NatsCluster.start({ size: 1 });
  later(() => cluster.stop());
  const engines = new Engines(cluster, 'back');
  const first = await engines.open('a');
  await first.engine.put(admin, 'db', bytes(canary('one')));
  await first.engine.rotateKeys(admin);
  await first.engine.close();
  const move = moveOptions({
    stateDir: engines.path('a'),
    rootKey: engines.rootKey('root.key'),
    createSigner,
    connect: () => connectTo(cluster.urls),
    bucket: 'back',
  });
  const connection = await connectTo(cluster.urls);
  later(() => connection.close());
  const layout = new Layout('back');
  const subject = layout.record(HEADER_KEY);
  const manager = await jetstreamManager(connection);
  const last = () => manager.streams.getMessage(layout.stream, { last_by_subj: subject });

  await migrateToEmbedded(move);
  const moved = await last();
  const { generation } = moved?.json<{ generation: number }>() ?? { generation: 0 };
  expect(moved?.json()).toMatchObject({ moved: expect.any(String) });
  await migrateToJetStream(move);
  const header = await last();
  expect(header?.json()).toMatchObject({ generation: generation + 1 });
  expect(header?.json()).not.toHaveProperty('moved');
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.put(admin, 'db', bytes(canary('two')));

  const before = await last();
  const said = [
    [HEADER.lineage, `${before?.seq}:${before?.header.get(HEADER.print)}`],
    [HEADER.kind, 'head'],
    [HEADER.print, moved?.header.get(HEADER.print) ?? ''],
  ] as const;
  await publishMessage(connection, { subject, headers: said, data: moved?.data ?? bytes('') });
  for (const { engine, fatal } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.alarm?.kind, WAIT).toBe('damaged');
    expect(await codeOf(engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(store_alarm|stale)$/);
    expect(fatal).toEqual([]);
  }
  // Who moved it away was another instance.
  const { absent: without } = await a.engine.healStorage(admin, { dryRun: true });
  await a.engine.healStorage(admin, { dryRun: false, without });
  for (const { engine, fatal } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
    await expect.poll(async () => text((await engine.get(admin, 'db', 2)).value), WAIT).toBe(canary('two'));
    expect(fatal).toEqual([]);
  }
  expect((await last())?.data).toEqual(header?.data);
  await b.engine.put(admin, 'db', bytes(canary('three')));
});
