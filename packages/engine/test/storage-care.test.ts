import { describe, expect, test } from 'vitest';
import { auditEntries } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, token } from './support.js';

describe('a store that is not shared', () => {
  test('says how full it is, to who administers everything', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('value'));
    const { facts, shared } = await engine.storageStatus(admin);
    expect(shared).toBeUndefined();
    expect(facts).toMatchObject({ writable: true });
    expect(facts.usedBytes).toBeGreaterThan(0);
  });

  test('has nothing of what several instances need, and says so', async () => {
    const { engine } = await openEngine();
    for (const act of [
      () => engine.setStorageReplicas(admin, 3),
      () => engine.forgetMember(admin, '0123456789abcdef'),
      () => engine.healStorage(admin, { dryRun: true }),
      () => engine.setAside(admin, { remove: true }),
    ]) {
      await expect(act()).rejects.toMatchObject({
        code: 'unfit_store',
        message: expect.stringContaining('is for one in NATS JetStream'),
      });
    }
    expect([engine.position, engine.sharedHealth, engine.stale]).toEqual([undefined, undefined, undefined]);
    await engine.reached('3-77');
  });

  test('lets nobody else look at it or mend it, and the log has each attempt', async () => {
    const { engine, stateDir } = await openEngine();
    const stranger = token('0123456789abcdef');
    expect(await codeOf(engine.storageStatus(stranger))).toBe('access_denied');
    expect(await codeOf(engine.setStorageReplicas(stranger, 3))).toBe('access_denied');
    expect(await codeOf(engine.forgetMember(stranger, '0123456789abcdef'))).toBe('access_denied');
    expect(await codeOf(engine.healStorage(stranger, { dryRun: false }))).toBe('access_denied');
    expect(await codeOf(engine.setAside(stranger, { remove: true }))).toBe('access_denied');
    expect(await codeOf(engine.healStorage(admin, { dryRun: true }))).toBe('unfit_store');
    expect(await codeOf(engine.healStorage(admin, { dryRun: false, without: ['b', 'c'] }))).toBe(
      'unfit_store',
    );
    await engine.close();
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action.startsWith('storage-'));
    expect(
      entries.map(({ action, authorized, error, target, phase }) => [
        action,
        authorized,
        error,
        target,
        phase,
      ]),
    ).toEqual([
      ['storage-status', false, undefined, undefined, undefined],
      ['storage-replicas', false, undefined, '3', undefined],
      ['storage-forget', false, undefined, '0123456789abcdef', undefined],
      ['storage-heal', false, undefined, undefined, undefined],
      ['storage-set-aside', false, undefined, 'remove', undefined],
      ['storage-heal', true, undefined, 'dry run', undefined],
      ['storage-heal', true, 'unfit_store', 'dry run', 'outcome'],
      ['storage-heal', true, undefined, 'without b, c', undefined],
      ['storage-heal', true, 'unfit_store', 'without b, c', 'outcome'],
    ]);
    const [begun, ended] = entries.slice(-2);
    expect(ended?.intent).toBe(begun?.seq);
  });
});
