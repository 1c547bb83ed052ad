import { expect, it } from 'vitest';

import { admin, bytes, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { textOf } from './audit-instances.js';
import { type ClusterEngine, Engines } from './engines.js';
import { connectTo } from './jetstream-support.js';

it('a data key is destroyed when the stream of audit logs holds what opens the copies under it, however long that is away', async () => {
  await using cluster = await NatsCluster.start({ size: 1, auth: 'open' });
  const engines = new Engines(cluster, 'kept');
  const gate = await cluster.gate('audit');
  const jetstream = {
    connect: (use?: 'store' | 'audit') => connectTo(use === 'audit' ? gate.urls : cluster.urls),
  };
  const open = () => Promise.all(['a', 'b'].map((name) => engines.open(name, jetstream)));
  const close = (all: ClusterEngine[]) => Promise.all(all.map(({ engine }) => engine.close()));
  const done = (asked: Promise<unknown>) =>
    asked.then(
      () => 'done',
      ({ code }) => code,
    );
  const keysOf = async ({ engine }: ClusterEngine) =>
    (await engine.keys(admin)).dataKeys.map(({ id, records }) => [id, records > 0]);

  const before = await open();
  const [a, b] = before as [ClusterEngine, ClusterEngine];
  const value = canary('kept');
  await expect.poll(() => done(a.engine.put(admin, 'x', bytes(value)))).toBe('done');
  await expect.poll(() => done(b.engine.get(admin, 'x'))).toBe('done');
  await expect.poll(() => before.map(({ engine }) => engine.auditCopies?.pending)).toEqual([0, 0]);
  const chains = (await a.engine.auditInstances(admin)).chains.map(({ chain }) => chain);
  expect(chains).toHaveLength(2);

  // The store goes on, and the audit logs' stream is away.
  gate.break();
  await a.engine.rotateKeys(admin);
  // Of the one that does it.
  const problems = () =>
    Promise.all(before.map(async ({ engine }) => (await engine.rotation(admin))?.problem?.code));
  await expect.poll(() => problems().catch(String)).toContain('audit');
  expect(await keysOf(a)).toEqual([
    [1, false],
    [2, true],
  ]);
  expect(before.flatMap(({ notices }) => notices).join('\n')).toContain(
    'the data key 1 is kept, since copies of audit logs are under it',
  );

  // Nobody has the old key in its memory any more but by the ring.
  await close(before);
  const [again, other] = (await open()) as [ClusterEngine, ClusterEngine];
  await expect.poll(() => done(again.engine.get(admin, 'x'))).toBe('done');
  expect((await keysOf(again)).map(([id]) => id)).toEqual([1, 2]);
  gate.mend();
  await expect.poll(() => keysOf(again).catch(String)).toEqual([[2, true]]);

  // One that never had it reads what is under it.
  await close([again, other]);
  const last = await engines.open('c', jetstream);
  await expect.poll(() => done(last.engine.get(admin, 'x'))).toBe('done');
  expect(text((await last.engine.get(admin, 'x')).value)).toBe(value);
  await expect.poll(() => last.engine.auditCopies?.pending).toBe(0);
  for (const chain of chains) {
    const copied = await textOf(last.engine.audit(admin, { instance: chain }));
    expect(copied).not.toContain('unreadable');
    const lines = copied.split('\n').filter(Boolean);
    expect(lines.map((line) => JSON.parse(line).seq)).toEqual(lines.map((_, index) => index + 1));
    expect(lines.length).toBeGreaterThan(3);
  }
});
