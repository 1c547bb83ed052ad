import { expect, it } from 'vitest';

import { admin, bytes, codeOf, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { later, putBackTo } from './followers.js';

it('engines bring back what a power cut took from all servers: values, and that a token was revoked', {
  timeout: 180_000,
}, async () => {
  const cluster = await NatsCluster.start({ size: 3 });
  later(() => cluster.stop());
  const engines = new Engines(cluster, 'power-cut');
  const a = await engines.open('a');
  const b = await engines.open('b');
  const value = async (engine: typeof a.engine, name: string, version = 0) =>
    engine.get(admin, name, version).then((found) => text(found.value), codeOfError);
  await a.engine.applyPolicy(admin, [{ to: ['token:*'], actions: ['get'], secrets: ['*'] }]);
  await a.engine.put(admin, 'db', bytes(canary('one')));
  await a.engine.put(admin, 'gone', bytes(canary('gone')));
  const { info, token } = await a.engine.createToken(admin, { name: 'ci' });
  await expect.poll(() => value(b.engine, 'gone')).toBe(canary('gone'));
  expect(a.engine.authenticateToken(token)).toBeDefined();

  const putBack = await putBackTo(cluster);
  // The servers were held for the copy.
  await expect.poll(() => a.engine.sharedHealth?.problem, { timeout: 60_000 }).toBeUndefined();
  expect(await a.engine.put(admin, 'db', bytes(canary('two')))).toBe(2);
  await a.engine.put(admin, 'new', bytes(canary('new')));
  await a.engine.delete(admin, 'gone');
  await a.engine.revokeToken(admin, info.id);
  await expect.poll(() => value(b.engine, 'gone')).toBe('not_found');
  await expect.poll(() => value(b.engine, 'db', 2)).toBe(canary('two'));
  await putBack();

  await expect.poll(() => a.engine.sharedHealth?.alarm, { timeout: 60_000 }).toBeDefined();
  await expect.poll(() => b.engine.sharedHealth?.alarm, { timeout: 60_000 }).toBeDefined();
  expect(await codeOf(b.engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(store_alarm|stale)$/);
  const report = await a.engine.healStorage(admin, { dryRun: false });
  expect(report).toMatchObject({ absent: [], forks: [] });
  for (const { engine, fatal } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.problem, { timeout: 60_000 }).toBeUndefined();
    await expect.poll(() => value(engine, 'db', 2)).toBe(canary('two'));
    expect(await value(engine, 'new')).toBe(canary('new'));
    expect(await value(engine, 'gone')).toBe('not_found');
    expect(engine.authenticateToken(token)).toBeUndefined();
    expect(fatal).toEqual([]);
  }
  await b.engine.put(admin, 'db', bytes(canary('three')));
  await expect.poll(() => value(a.engine, 'db', 3)).toBe(canary('three'));
});

const codeOfError = (error: { code: string }) => error.code;
