import { setTimeout as wait } from 'node:timers/promises';
import type { Msg } from '@nats-io/nats-core';
import { expect, onTestFinished, test } from 'vitest';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { admin, bytes, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { connectTo } from './jetstream-support.js';

/** Two instances, and somebody else who may use the account's subjects. */
async function withStranger(bucket: string) {
  const cluster = await NatsCluster.start({ size: 1 });
  onTestFinished(() => cluster.stop());
  const engines = new Engines(cluster, bucket);
  const a = await engines.open('a');
  const b = await engines.open('b');
  const stranger = await connectTo(cluster.urls);
  onTestFinished(() => stranger.close());
  await expect.poll(() => a.engine.sharedHealth?.problem).toBeUndefined();
  await a.engine.put(admin, 'precious', bytes(canary('precious')));
  const value = (engine: typeof a.engine) =>
    engine.get(admin, 'precious').then(
      (found) => text(found.value),
      ({ code }: { code: string }) => code,
    );
  await expect.poll(() => value(b.engine)).toBe(canary('precious'));
  return { a, b, stranger, layout: new Layout(bucket), value };
}

test('what is no question is not answered, and takes nobody the connection', async () => {
  const { a, b, stranger, layout, value } = await withStranger('questions');
  const instance = a.engine.sharedHealth?.instance ?? '';
  const heard: Msg[] = [];
  stranger.subscribe('answers', { callback: (_, message) => void heard.push(message) });
  const nonsense = ['null', '', 'x', '[]', '1', '{}', '{"ask":"record"}', '{"ask":"record","key":7,"from":0}']
    .concat(
      '{"ask":"record","key":"czE","from":-1}',
      '{"ask":"entries","after":7}',
      '{"ask":"entries","after":"?"}',
    )
    .concat(`{"ask":"state","x":"${'x'.repeat(10_000)}"}`);
  for (let round = 0; round < 10; round++) {
    for (const question of nonsense) {
      stranger.publish(layout.peers, question, { reply: 'answers' });
      stranger.publish(layout.peer(instance), question, { reply: 'answers' });
    }
    await stranger.flush();
    await wait(20);
    for (const { engine } of [a, b]) expect(engine.sharedHealth?.connected).toBe(true);
  }
  expect(heard).toEqual([]);
  await a.engine.put(admin, 'precious', bytes(canary('next')));
  expect(await value(a.engine)).toBe(canary('precious'));
  expect(await a.engine.healStorage(admin, { dryRun: true })).toMatchObject({ absent: [], forks: [] });
});
