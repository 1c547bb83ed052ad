import { describe, expect, it } from 'vitest';

import { auditEntries, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, text } from './support.js';

const FULL = { storage: { minFreeBytes: Number.MAX_SAFE_INTEGER } };

describe('a disk with less room than is to stay free', () => {
  it('refuses what makes the store grow and nothing else, until there is room', async () => {
    const { engine: before, folder, stateDir } = await openEngine();
    await before.put(admin, 'a', bytes('one'));
    await before.put(admin, 'a', bytes('two'));
    await before.close();

    const { engine, fatal } = await openEngine(folder, FULL);
    const changes = [
      engine.put(admin, 'a', bytes('three')),
      engine.put(admin, 'b', bytes('one')),
      engine.createVersion(admin, 'a', 9, bytes('nine')),
      engine.createToken(admin, { name: 'x' }),
      engine.applyPolicy(admin, [{ to: ['token:a'], actions: ['get'], secrets: ['*'] }]),
    ];
    expect(await Promise.all(changes.map(codeOf))).toEqual(changes.map(() => 'storage_full'));
    expect(await engine.list(admin)).toEqual([{ name: 'a', versions: [1, 2], activeVersion: 1 }]);
    expect(text((await engine.get(admin, 'a', 2)).value)).toBe('two');
    expect(await engine.listTokens(admin)).toEqual([]);
    expect((await engine.policy(admin)).grants).toEqual([]);
    expect([engine.stopped, fatal]).toEqual([undefined, []]);
    const outcomes = (await auditEntries(stateDir))
      .filter(({ phase }) => phase === 'outcome')
      .slice(-changes.length);
    expect(outcomes.map(({ error }) => error)).toEqual(changes.map(() => 'storage_full'));
    await engine.deleteVersion(admin, 'a', 2);
    expect((await engine.info(admin, 'a')).versions).toEqual([1]);
    await engine.close();

    const { engine: after } = await openEngine(folder);
    expect(await after.put(admin, 'a', bytes('three'))).toBe(3);
    expect(await after.put(admin, 'b', bytes('one'))).toBe(1);
    expect(await verifyLog(auditPath(stateDir), after)).toMatchObject({ openIntents: [] });
  });

  it('does not keep a token from being revoked, nor a grant from being taken away', async () => {
    const { engine: before, folder } = await openEngine();
    const { token, info } = await before.createToken(admin, { name: 'leaked' });
    await before.applyPolicy(admin, [{ to: ['token:a'], actions: ['get'], secrets: ['*'] }]);
    await before.close();
    const { engine } = await openEngine(folder, FULL);
    await engine.revokeToken(admin, info.id);
    expect(engine.authenticateToken(token)).toBeUndefined();
    await engine.applyPolicy(admin, []);
    expect((await engine.policy(admin)).grants).toEqual([]);
  });

  it('does not keep a mapping from being removed, of which others stay', async () => {
    const component = `component:A${'A'.repeat(55)}/M${'C'.repeat(55)}`;
    const { engine: before, folder } = await openEngine();
    await before.mapEntity(admin, component, ['a', 'b']);
    await before.close();
    const { engine } = await openEngine(folder, FULL);
    await engine.unmapEntity(admin, component, ['a']);
    expect(await codeOf(engine.mapEntity(admin, component, ['c']))).toBe('storage_full');
    expect(await engine.mappings(admin)).toEqual([{ principal: component, names: ['b'] }]);
  });

  it('takes deletions that are asked together with what is refused', async () => {
    const { engine: before, folder } = await openEngine();
    for (const name of ['a', 'b']) await before.put(admin, name, Buffer.alloc(10_000, 1));
    await before.close();
    const { engine } = await openEngine(folder, FULL);
    const outcomes = await Promise.allSettled([
      engine.put(admin, 'c', Buffer.alloc(100_000, 1)),
      engine.delete(admin, 'a'),
      engine.delete(admin, 'b'),
    ]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
    expect(await engine.list(admin)).toEqual([]);
  });

  it('makes no new store, and leaves nothing in the way of one', async () => {
    const { engine, folder } = await openEngine();
    await engine.close();
    const fresh = `${folder}/fresh`;
    expect(await codeOf(openEngine(fresh, FULL))).toBe('storage_full');
    const { engine: made } = await openEngine(fresh);
    expect(await made.put(admin, 'a', bytes('one'))).toBe(1);
  });
});

describe('a quota', () => {
  it('refuses what goes beyond it, and room that was given back is there again', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'small', bytes('v'));
    await engine.close();
    const limited = { storage: { minFreeBytes: 0, quotaBytes: 60_000 } };
    const { engine: full } = await openEngine(folder, limited);
    const large = (fill: number) => Buffer.alloc(20_000, fill);
    expect(await full.put(admin, 'a', large(1))).toBe(1);
    expect(await full.put(admin, 'a', large(2))).toBe(2);
    expect(await codeOf(full.put(admin, 'a', large(3)))).toBe('storage_full');
    expect((await full.info(admin, 'a')).versions).toEqual([1, 2]);
    await full.deleteVersion(admin, 'a', 2);
    expect(await full.put(admin, 'a', large(3))).toBe(3);
    await full.close();
    const { engine: reopened } = await openEngine(folder, limited);
    expect(await codeOf(reopened.put(admin, 'a', large(4)))).toBe('storage_full');
    await reopened.delete(admin, 'a');
    expect(await reopened.put(admin, 'a', large(4))).toBe(1);
  });

  it('refuses one change and takes another that fits, though both were asked at once', async () => {
    const { engine: before, folder } = await openEngine();
    await before.close();
    const { engine } = await openEngine(folder, { storage: { minFreeBytes: 0, quotaBytes: 30_000 } });
    const [large, small] = await Promise.allSettled([
      engine.put(admin, 'large', Buffer.alloc(100_000)),
      engine.put(admin, 'small', bytes('v')),
    ]);
    expect(large).toMatchObject({ status: 'rejected', reason: { code: 'storage_full' } });
    expect(small).toMatchObject({ status: 'fulfilled', value: 1 });
  });
});
