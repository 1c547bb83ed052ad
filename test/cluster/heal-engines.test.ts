import { expect, it, onTestFinished } from 'vitest';

import type { CofferError } from '../../packages/engine/src/index.js';
import { admin, bytes, codeOf } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { Engines, healthy, valueAt } from './engines.js';
import { putBackTo } from './followers.js';

it('engines bring back what a power cut took from all servers: values, and that a token was revoked', {
  timeout: 180_000,
}, async () => {
  const engines = await Engines.start('power-cut', 3);
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.applyPolicy(admin, [{ to: ['token:*'], actions: ['get'], secrets: ['*'] }]);
  await a.engine.put(admin, 'db', bytes(canary('one')));
  await a.engine.put(admin, 'gone', bytes(canary('gone')));
  const { info, token } = await a.engine.createToken(admin, { name: 'ci' });
  await expect.poll(() => valueAt(b, 'gone')).toBe(canary('gone'));
  expect(a.engine.authenticateToken(token)).toBeDefined();

  const putBack = await putBackTo(engines.cluster);
  // The servers were held for the copy.
  await healthy(a);
  expect(await a.engine.put(admin, 'db', bytes(canary('two')))).toBe(2);
  await a.engine.put(admin, 'new', bytes(canary('new')));
  await a.engine.delete(admin, 'gone');
  await a.engine.revokeToken(admin, info.id);
  await expect.poll(() => valueAt(b, 'gone')).toBe('not_found');
  await expect.poll(() => valueAt(b, 'db', 2)).toBe(canary('two'));
  await putBack();

  await expect.poll(() => a.engine.sharedHealth?.alarm, { timeout: 60_000 }).toBeDefined();
  await expect.poll(() => b.engine.sharedHealth?.alarm, { timeout: 60_000 }).toBeDefined();
  expect(await codeOf(b.engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(store_alarm|stale)$/);
  // Who found it reads on no further, and says of what grows too old to be answered why.
  const read = ({ engine }: typeof a) =>
    engine.get(admin, 'new').then(String, ({ code, forCaller }: CofferError) => `${code}: ${forCaller}`);
  await expect
    .poll(() => Promise.all([a, b].map(read)), { timeout: 60_000 })
    .toContainEqual(expect.stringMatching(/^stale: the store has raised an alarm: until an administrator/));
  const report = await a.engine.healStorage(admin, { dryRun: false });
  expect(report).toMatchObject({ absent: [], forks: [] });
  for (const one of [a, b]) {
    await healthy(one);
    await expect.poll(() => valueAt(one, 'db', 2)).toBe(canary('two'));
    expect(await valueAt(one, 'new')).toBe(canary('new'));
    expect(await valueAt(one, 'gone')).toBe('not_found');
    expect(one.engine.authenticateToken(token)).toBeUndefined();
    expect(one.fatal).toEqual([]);
  }
  await b.engine.put(admin, 'db', bytes(canary('three')));
  await expect.poll(() => valueAt(a, 'db', 3)).toBe(canary('three'));
});

it('an engine that was killed, and away while the store was healed, brings back the secret that only it had', {
  timeout: 180_000,
}, async () => {
  const engines = await Engines.start('was-away');
  const [a, b, away] = [await engines.open('a'), await engines.open('b'), await engines.open('away')];
  await healthy(a, b, away);
  await a.engine.applyPolicy(admin, [{ to: ['token:*'], actions: ['get'], secrets: ['*'] }]);
  await a.engine.put(admin, 'db', bytes(canary('before')));
  await a.engine.put(admin, 'gone', bytes(canary('gone')));
  const { info, token } = await a.engine.createToken(admin, { name: 'ci' });
  await expect.poll(() => valueAt(away, 'gone')).toBe(canary('gone'));
  await expect.poll(() => away.engine.authenticateToken(token)).toBeDefined();

  const putBack = await putBackTo(engines.cluster);
  await healthy(away);
  await a.engine.close();
  await b.engine.close();
  await away.engine.put(admin, 'acknowledged', bytes(canary('acknowledged')));
  await away.engine.putAndActivate(admin, 'db', bytes(canary('lost')));
  await away.engine.delete(admin, 'gone');
  await away.engine.revokeToken(admin, info.id);
  await away.engine.close();
  await putBack();

  const healer = await engines.open('a');
  const other = await engines.open('b');
  await expect
    .poll(() => healer.engine.healStorage(admin, { dryRun: false, without: ['away'] }).catch(String), {
      timeout: 60_000,
    })
    .toMatchObject({ dryRun: false });
  await healthy(healer, other);
  await healer.engine.putAndActivate(admin, 'db', bytes(canary('second')));
  await healer.engine.putAndActivate(admin, 'db', bytes(canary('third')));
  for (const name of ['x', 'y', 'z']) await healer.engine.createToken(admin, { name });
  expect(healer.engine.authenticateToken(token)).toBeDefined();

  const back = await engines.open('away');
  await expect
    .poll(() => back.engine.sharedHealth?.alarm?.message, { timeout: 60_000 })
    .toContain('was away');
  await expect.poll(() => healer.engine.sharedHealth?.alarm, { timeout: 60_000 }).toBeDefined();
  expect(await codeOf(back.engine.healStorage(admin, { dryRun: false }))).toBe('conflict');
  const report = await healer.engine.healStorage(admin, { dryRun: false });
  expect(report.absent).toEqual([]);
  expect(report.forks).toContainEqual(expect.objectContaining({ secret: 'db' }));
  expect(report.taken).toContainEqual({ what: 'token', target: info.id });
  for (const one of [healer, other, back]) {
    await healthy(one);
    await expect.poll(() => valueAt(one, 'acknowledged')).toBe(canary('acknowledged'));
    expect(await valueAt(one, 'db')).toBe(canary('third'));
    expect(await valueAt(one, 'gone')).toBe('not_found');
    expect(one.engine.authenticateToken(token)).toBeUndefined();
    expect(one.fatal).toEqual([]);
  }
  await back.engine.put(admin, 'acknowledged', bytes(canary('goes on')));
  await back.engine.close();
  const again = await engines.open('away');
  await healthy(again);
  expect(again.engine.sharedHealth?.alarm).toBeUndefined();
});

it('a heal where nothing is wrong stops nothing, who answers is not healed without, and a dry run says what would be refused', {
  timeout: 180_000,
}, async () => {
  const engines = await Engines.start('nothing-wrong');
  const [a, b] = [await engines.open('a'), await engines.open('b')];
  await healthy(a, b);
  await a.engine.put(admin, 'db', bytes(canary('one')));
  await expect.poll(() => valueAt(b, 'db')).toBe(canary('one'));
  // What the first one says of itself before it has a key is not sealed, and is said anew a few seconds later.
  const looked = () => a.engine.healStorage(admin, { dryRun: true });
  await expect.poll(looked, { timeout: 60_000 }).toMatchObject({ foreign: 0, refusal: undefined });
  const heard: unknown[] = [];
  onTestFinished(b.engine.onStoreAlarm(() => heard.push(b.engine.sharedHealth?.alarm)));
  const healed = await a.engine.healStorage(admin, { dryRun: false });
  expect(healed).toMatchObject({ dryRun: false, alarm: undefined, restored: 0, removed: 0, absent: [] });
  console.log(JSON.stringify(healed));
  expect(healed.compared).toHaveLength(2);
  const heal = (without: string[]) => a.engine.healStorage(admin, { dryRun: false, without });
  await expect(heal(['b'])).rejects.toThrow(/^[0-9a-f]{16} \(b\) answers, and what it has counts: /);
  const { layout, last } = await engines.stranger();
  expect([heard, await last(layout.alarm)]).toEqual([[], undefined]);

  await b.engine.close();
  const { refusal } = await looked();
  expect(refusal).toMatchObject({
    code: 'conflict',
    message: expect.stringMatching(/^not all members answer/),
  });
  await expect(heal([])).rejects.toThrow(refusal?.message);
  expect(await last(layout.alarm)).toBeUndefined();
});
