import { afterAll, beforeAll, expect, test } from 'vitest';
import { admin, bytes, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';

// The stream keeps the last message of each subject: who reads on meets a gap where a change was that another one has replaced.

let cluster: NatsCluster;
beforeAll(async () => {
  cluster = await NatsCluster.start({ size: 1, direct: true });
});
afterAll(() => cluster?.stop());

/** So much that it does not come in one piece. */
const MUCH = Buffer.alloc(400_000, 'x');
const PIECES = 24;

test('an instance that reads on gives nobody what was before a change that he saw, though that change was replaced meanwhile', async () => {
  const engines = new Engines(cluster, 'replaced');
  const { engine: one } = await engines.open('one', { allowStale: true });
  const { engine: away } = await engines.open('two', { allowStale: true });
  for (const value of ['1', '2', '3']) await one.put(admin, 'x', bytes(canary(value)));
  await away.reached(one.position ?? '');
  await away.close();

  await one.activate(admin, 'x', 2);
  const seen = one.position ?? '';
  for (let piece = 0; piece < PIECES; piece++) await one.put(admin, `much/${piece}`, MUCH);
  await one.activate(admin, 'x', 3);

  const { engine: two } = await engines.open('two', { allowStale: true });
  await two.reached(seen);
  const { version, value } = await two.get(admin, 'x');
  expect([version, text(value)]).toEqual([3, canary('3')]);
});
