import { expect, it } from 'vitest';

import { admin, bytes, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { Engines, healthy, valueAt } from './engines.js';
import { putBackTo } from './followers.js';

const GRANT = { to: ['token:*'], actions: ['get' as const], secrets: ['ci/*'] };
const OTHER = { to: ['token:*'], actions: ['get' as const], secrets: ['open/*'] };

it('what was revoked and deleted in a future that loses does not come back in the one that wins', {
  timeout: 120_000,
}, async () => {
  const engines = await Engines.start('futures');
  const loser = await engines.open('loser');
  await loser.engine.applyPolicy(admin, [GRANT, OTHER]);
  for (const name of ['deleted', 'kept', 'version']) await loser.engine.put(admin, name, bytes(canary(name)));
  await loser.engine.putAndActivate(admin, 'version', bytes(canary('version two')));
  const revoked = await loser.engine.createToken(admin, { name: 'revoked' });
  const good = await loser.engine.createToken(admin, { name: 'good' });
  const putBack = await putBackTo(engines.cluster);
  await healthy(loser);
  await loser.engine.revokeToken(admin, revoked.info.id);
  await loser.engine.revoke(admin, { jti: 'AAAABBBB' });
  const made = await loser.engine.createToken(admin, { name: 'made in the future that loses' });
  await loser.engine.applyPolicy(admin, [OTHER]);
  await loser.engine.delete(admin, 'deleted');
  await loser.engine.deleteVersion(admin, 'version', 1);
  await loser.engine.put(admin, 'kept', bytes(canary('lost')));
  await loser.engine.close();
  await putBack();

  const winner = await engines.open('winner');
  await healthy(winner);
  const late = await engines.open('late');
  for (let number = 0; number < 12; number++) {
    await winner.engine.createToken(admin, { name: `more ${number}` });
    await winner.engine.put(admin, 'deleted', bytes(canary(`deleted ${number}`)));
  }
  await winner.engine.putAndActivate(admin, 'version', bytes(canary('version three')));
  await winner.engine.putAndActivate(admin, 'kept', bytes(canary('second')));
  await winner.engine.putAndActivate(admin, 'kept', bytes(canary('third')));
  expect(winner.engine.authenticateToken(revoked.token)).toBeDefined();
  const again = await engines.open('loser');
  await expect.poll(() => winner.engine.sharedHealth?.alarm, { timeout: 60_000 }).toBeDefined();

  const planned = await winner.engine.healStorage(admin, { dryRun: true });
  const taken = [
    { what: 'token', target: revoked.info.id },
    { what: 'identity', target: 'token AAAABBBB' },
    { what: 'grant', target: expect.stringContaining('ci/*') },
    { what: 'secret', target: 'deleted' },
    { what: 'version', target: 'version', version: 1 },
  ];
  expect(planned.taken).toHaveLength(taken.length);
  expect(planned.taken).toEqual(expect.arrayContaining(taken));
  const report = await winner.engine.healStorage(admin, { dryRun: false });
  expect(report.taken).toEqual(planned.taken);
  expect(report.forks).toEqual(expect.arrayContaining([expect.objectContaining({ secret: 'kept' })]));
  for (const one of [winner, again, late]) {
    await healthy(one);
    expect(one.engine.authenticateToken(revoked.token)).toBeUndefined();
    expect(one.engine.authenticateToken(made.token)).toBeUndefined();
    expect(one.engine.authenticateToken(good.token)).toBeDefined();
    expect((await one.engine.revocations(admin)).map(({ value }) => value)).toEqual(['AAAABBBB']);
    expect((await one.engine.policy(admin)).grants.map(({ secrets }) => secrets)).toEqual([['open/*']]);
    expect(await valueAt(one, 'deleted')).toBe('not_found');
    expect(await valueAt(one, 'version')).toBe(canary('version three'));
    expect(await valueAt(one, 'version', 1)).toBe('not_found');
    expect(await valueAt(one, 'kept')).toBe(canary('third'));
    expect(one.fatal).toEqual([]);
  }
  const aside = await winner.engine.setAside(admin, { remove: false });
  expect(aside.records).toBeGreaterThanOrEqual(report.forks.length);
  expect(await winner.engine.setAside(admin, { remove: true })).toEqual({ ...aside, removed: true });
  expect(await late.engine.setAside(admin, { remove: false })).toMatchObject({ records: 0, bytes: 0 });
  await again.engine.put(admin, 'deleted', bytes(canary('again')));
  await again.engine.revokeToken(admin, good.info.id);
  await expect.poll(() => valueAt(winner, 'deleted')).toBe(canary('again'));
  await expect.poll(() => winner.engine.authenticateToken(good.token)).toBeUndefined();
  const log: string[] = [];
  for await (const piece of winner.engine.audit(admin, {})) log.push(text(piece));
  const byServer = log
    .join('')
    .split('\n')
    .filter((line) => line.includes('"revoke-token"') && line.includes(revoked.info.id));
  expect(byServer).toHaveLength(1);
  expect((await winner.engine.healStorage(admin, { dryRun: true })).taken).toEqual([]);
  for (const one of [winner, again, late]) expect(one.engine.sharedHealth?.alarm).toBeUndefined();
});
