import { expect, test } from 'vitest';

import { MOST_AT_ONCE } from '../src/storage/shared.js';
import { Instances } from './instances.js';
import { admin, bytes, codeOf } from './support.js';

const grants = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    to: [`token:t${n}`],
    actions: ['get'] as const,
    secrets: ['*'],
  }));

test('of a shared store no more grants change at once than go in one piece, and any number in parts', async () => {
  const instances = await Instances.make();
  const [a, b] = await instances.openAll('a', 'b');
  expect(await codeOf(a.engine.applyPolicy(admin, grants(MOST_AT_ONCE + 1)))).toBe('invalid_argument');
  expect((await a.engine.policy(admin)).grants).toEqual([]);
  await a.engine.applyPolicy(admin, grants(MOST_AT_ONCE));
  await a.engine.applyPolicy(admin, grants(MOST_AT_ONCE + 200));
  expect((await b.engine.policy(admin)).grants).toHaveLength(MOST_AT_ONCE + 200);
  // Others than these, though no more of them.
  const others = grants(500).map((grant) => ({ ...grant, secrets: ['other/*'] }));
  expect(await codeOf(b.engine.applyPolicy(admin, others))).toBe('invalid_argument');
});

test('a rotation seals a large policy anew in parts that go in one piece', async () => {
  const instances = await Instances.make();
  const [a] = await instances.openAll('a');
  await a.engine.put(admin, 'db', bytes('x'));
  for (const count of [MOST_AT_ONCE, 1_600, 2_000]) await a.engine.applyPolicy(admin, grants(count));
  let most = 0;
  instances.store.onCommit = (_, { put = [] }) => {
    most = Math.max(most, put.length);
  };
  await a.engine.rotateKeys(admin);
  await expect.poll(async () => (await a.engine.keys(admin)).dataKeys.length, { timeout: 20_000 }).toBe(1);
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThan(MOST_AT_ONCE);
}, 30_000);
