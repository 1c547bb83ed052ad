import { expect, test } from 'vitest';

import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import { migrateToEmbedded } from '../../packages/engine/src/migrate/to-embedded.js';
import { migrateToJetStream } from '../../packages/engine/src/migrate/to-jetstream.js';
import { admin, bytes, codeOf, createSigner } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { Engines, healthy, valueAt } from './engines.js';
import { connectTo } from './jetstream-support.js';
import { moveOptions } from './move-options.mjs';

const WAIT = { timeout: 30_000 };

test('what said that a store was moved away, put there again when it is back, ends no instance, and a heal removes it', {
  timeout: 120_000,
}, async () => {
  const engines = await Engines.start('back');
  const first = await engines.open('a');
  await first.engine.put(admin, 'db', bytes(canary('one')));
  await first.engine.rotateKeys(admin);
  await first.engine.close();
  const move = moveOptions({
    stateDir: engines.path('a'),
    rootKey: engines.rootKey('root.key'),
    createSigner,
    connect: () => connectTo(engines.cluster.urls),
    bucket: 'back',
  });
  const { layout, last, follow } = await engines.stranger();
  const subject = layout.record(HEADER_KEY);

  await migrateToEmbedded(move);
  const moved = await last(subject);
  const { generation } = moved?.json<{ generation: number }>() ?? { generation: 0 };
  expect(moved?.json()).toMatchObject({ moved: expect.any(String) });
  await migrateToJetStream(move);
  const header = await last(subject);
  expect(header?.json()).toMatchObject({ generation: generation + 1 });
  expect(header?.json()).not.toHaveProperty('moved');
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.put(admin, 'db', bytes(canary('two')));

  await follow(HEADER_KEY, moved?.data ?? bytes(''));
  for (const { engine, fatal } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.alarm?.kind, WAIT).toBe('damaged');
    expect(await codeOf(engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(store_alarm|stale)$/);
    expect(fatal).toEqual([]);
  }
  // Who moved it away was another instance.
  const { absent: without } = await a.engine.healStorage(admin, { dryRun: true });
  await a.engine.healStorage(admin, { dryRun: false, without });
  for (const one of [a, b]) {
    await healthy(one);
    await expect.poll(() => valueAt(one, 'db', 2), WAIT).toBe(canary('two'));
    expect(one.fatal).toEqual([]);
  }
  expect((await last(subject))?.data).toEqual(header?.data);
  await b.engine.put(admin, 'db', bytes(canary('three')));
});
