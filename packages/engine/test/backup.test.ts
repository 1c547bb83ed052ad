import { copyFile, readdir, readFile, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { StoreHeader } from '../src/header/store-header.js';
import {
  type CofferError,
  type Engine,
  LmdbStorage,
  type Principal,
  parseRootKey,
  writeBackup,
} from '../src/index.js';
import { auditEntries, auditPath, verifyLog } from './audit-file.js';
import { backupOf, backupTo, restoreIn, secretsOf, verifyIn } from './backup-support.js';
import { admin, bytes, codeOf, identity, openEngine, text, token } from './support.js';

/** A store with some of everything. */
async function populate(engine: Engine): Promise<{ live: string; revoked: string }> {
  for (const name of ['prod/db', 'prod/api', 'ünïcode/☃', 'gone']) {
    for (const value of ['one', 'two', 'three']) await engine.put(admin, name, bytes(`${value} of ${name}`));
  }
  await engine.put(admin, 'empty', Buffer.alloc(0));
  await engine.put(admin, 'large', Buffer.alloc(300_000, 'large'));
  await engine.activate(admin, 'prod/db', 3);
  await engine.deleteVersion(admin, 'prod/db', 2);
  await engine.delete(admin, 'gone');
  const live = await engine.createToken(admin, { name: 'live' });
  const revoked = await engine.createToken(admin, { name: 'revoked' });
  await engine.revokeToken(admin, revoked.info.id);
  await engine.applyPolicy(admin, [
    { to: [`token:${live.info.id}`], actions: ['get'], secrets: ['prod/*'] },
    { to: ['token:other'], actions: ['get'], secrets: ['*'] },
  ]);
  return { live: live.token, revoked: revoked.token };
}

describe('a backup', () => {
  test('holds all of a store: what is restored is the store', async () => {
    const { engine, folder, stateDir } = await openEngine();
    const tokens = await populate(engine);
    const before = await secretsOf(engine);
    const policy = await engine.policy(admin);
    const path = await backupTo(engine, folder);
    const linesThen = (await readFile(auditPath(stateDir), 'utf8')).split('\n');
    await engine.put(admin, 'later', bytes('not in it'));

    const content = await verifyIn(folder, path);
    expect(content).toMatchObject({
      storeId: engine.storeId,
      serverKey: engine.serverKey,
      bytes: (await stat(path)).size,
      secrets: 5,
      versions: 10,
      tokens: 2,
      grants: 2,
      development: false,
      rootKey: { kind: 'file' },
    });
    expect(content.audit.signed).toBe(content.audit.lines);
    await engine.close();

    const restored = await restoreIn(folder, path);
    expect(restored.content).toEqual(content);
    const { engine: again } = await openEngine(folder, { stateDir: join(folder, 'restored') });
    expect(await secretsOf(again)).toEqual(before);
    const { grants, generation } = await again.policy(admin);
    expect(generation).toBe(policy.generation);
    expect(new Set(grants)).toEqual(new Set(policy.grants));
    expect(again.storeId).toBe(engine.storeId);
    expect(again.serverKey).toBe(engine.serverKey);
    expect(again.authenticateToken(tokens.live)).toBeDefined();
    expect(again.authenticateToken(tokens.revoked)).toBeUndefined();
    // Numbers of deleted versions stay used.
    expect(await again.put(admin, 'prod/db', bytes('four'))).toBe(4);
    await again.close();

    const log = auditPath(join(folder, 'restored'));
    const lines = (await readFile(log, 'utf8')).split('\n');
    expect(lines.slice(0, content.audit.lines)).toEqual(linesThen.slice(0, content.audit.lines));
    expect((await verifyLog(log, again)).broken).toBeUndefined();
    const entry = (await auditEntries(join(folder, 'restored'))).find(({ action }) => action === 'restore');
    expect(entry).toMatchObject({
      principal: { id: 'server' },
      target: `backup ${content.backupId} of ${content.madeAt.toISOString()}`,
    });
  });

  test('is one moment: all that was acknowledged before it, nothing that came after, and no half', async () => {
    const { engine, folder } = await openEngine();
    const pairs = Array.from({ length: 8 }, (_, index) => ({
      names: [`pair${index}/first`, `pair${index}/second`] as const,
      /** How often each was written, and acknowledged. */
      asked: [0, 0] as [number, number],
      acknowledged: [0, 0] as [number, number],
    }));
    // So that it takes more than a moment to read.
    for (let i = 0; i < 4; i++) await engine.put(admin, `ballast${i}`, Buffer.alloc(1_000_000));
    let writing = true;
    const writers = pairs.map(async ({ names, asked, acknowledged }) => {
      for (let round = 1; writing; round++) {
        for (const which of [0, 1] as const) {
          asked[which] = round;
          await engine.createVersion(admin, names[which], round, bytes(`${names[which]} ${round}`));
          acknowledged[which] = round;
        }
      }
    });
    const counts = (of: 'asked' | 'acknowledged') => pairs.map((pair) => [...pair[of]]);
    await expect.poll(() => Math.min(...counts('acknowledged').flat())).toBeGreaterThan(3);

    const before = counts('acknowledged');
    const path = await backupTo(engine, folder);
    const after = counts('asked');
    // The writers were not held up.
    await expect
      .poll(() => Math.min(...counts('acknowledged').flat()))
      .toBeGreaterThan(Math.max(...after.flat()));
    writing = false;
    await Promise.all(writers);
    await engine.close();

    await restoreIn(folder, path);
    const { engine: again } = await openEngine(folder, { stateDir: join(folder, 'restored') });
    for (const [index, { names }] of pairs.entries()) {
      const found = await Promise.all(names.map((name) => again.info(admin, name)));
      for (const which of [0, 1] as const) {
        const { versions, activeVersion } = found[which] as (typeof found)[number];
        expect(activeVersion).toBeGreaterThanOrEqual(before[index]?.[which] as number);
        expect(activeVersion).toBeLessThanOrEqual(after[index]?.[which] as number);
        expect(versions).toEqual(Array.from({ length: activeVersion }, (_, number) => number + 1));
        const { value } = await again.get(admin, names[which]);
        expect(text(value)).toBe(`${names[which]} ${activeVersion}`);
      }
      // The second of a round was asked for when the first was acknowledged.
      const [first, second] = found.map(({ activeVersion }) => activeVersion) as [number, number];
      expect([first, first - 1]).toContain(second);
    }
  });

  test('has every file of the audit log, also of one whose files are closed while it is made', async () => {
    const { engine, folder, stateDir } = await openEngine(undefined, { audit: { segmentBytes: 4_096 } });
    await engine.put(admin, 'ballast', Buffer.alloc(900_000));
    let writing = true;
    const writers = Array.from({ length: 4 }, async (_, writer) => {
      for (let i = 1; writing; i++) await engine.createVersion(admin, `w${writer}`, i, bytes(`${i}`));
    });
    const closed = async () => (await readdir(join(stateDir, 'audit'))).filter((name) => name.includes('-'));
    await expect.poll(async () => (await closed()).length).toBeGreaterThan(3);
    const before = await closed();
    const path = await backupTo(engine, folder);
    await expect.poll(async () => (await closed()).length).toBeGreaterThan(before.length + 3);
    writing = false;
    await Promise.all(writers);
    await engine.close();
    const { content } = await restoreIn(folder, path);
    const place = join(folder, 'restored', 'audit');
    expect(await readdir(place)).toEqual(expect.arrayContaining([...before, 'audit.log']));
    for (const name of before) {
      expect(await readFile(join(place, name))).toEqual(await readFile(join(stateDir, 'audit', name)));
      expect((await stat(join(place, name))).mode & 0o777).toBe(0o400);
    }
    const { engine: again } = await openEngine(folder, { stateDir: join(folder, 'restored') });
    const { broken, entries } = await verifyLog(join(place, 'audit.log'), again);
    expect(broken).toBeUndefined();
    expect(entries).toBeGreaterThan(content.audit.lines);
  });

  test('holds a log whose oldest files were retired', async () => {
    const { engine, folder } = await openEngine(undefined, { audit: { segmentBytes: 4_096 } });
    for (let i = 1; i < 40; i++) await engine.createVersion(admin, 'a', i, bytes(`${i}`));
    await engine.close();
    const later = {
      audit: { segmentBytes: 4_096, retentionDays: 1 },
      now: () => new Date(Date.now() + 3 * 864e5),
    };
    const { engine: again } = await openEngine(folder, later);
    await expect
      .poll(async () => (await verifyIn(folder, await backupTo(again, folder))).audit.first)
      .toBeGreaterThan(1);
    await again.close();
    const { content } = await restoreIn(folder, join(folder, 'backup'));
    expect(content.audit.first).toBeGreaterThan(1);
    const { engine: restored } = await openEngine(folder, { stateDir: join(folder, 'restored') });
    expect((await verifyLog(auditPath(join(folder, 'restored')), restored)).broken).toBeUndefined();
  });

  test('is made in the middle of a rotation of keys, data and root, and opens with the root key of its moment', async () => {
    const { engine, folder } = await openEngine();
    const names = Array.from({ length: 600 }, (_, index) => `s/${index}`);
    await Promise.all(names.map((name) => engine.put(admin, name, bytes(`value of ${name}`))));
    const before = await secretsOf(engine);
    const former = join(folder, 'former.key');
    await copyFile(join(folder, 'root.key'), former);
    await engine.rotateKeys(admin);
    const early = await backupTo(engine, folder, 'early');
    expect(await engine.rotation(admin)).toBeDefined();
    await engine.rotateKeys(admin, { root: true });
    const late = await backupTo(engine, folder, 'late');
    await expect.poll(() => engine.rotation(admin), { timeout: 20_000 }).toBeUndefined();
    await engine.close();

    expect(await codeOf(verifyIn(folder, early))).toBe('wrong_root_key');
    for (const [path, key] of [
      [early, former],
      [late, join(folder, 'root.key')],
    ] as const) {
      const rootKey = parseRootKey(`file:${key}`);
      const place = `of-${basename(path)}`;
      await restoreIn(folder, path, { rootKey, place });
      const { engine: again } = await openEngine(folder, { stateDir: join(folder, place), rootKey });
      expect(await secretsOf(again)).toEqual(before);
      // The rotation goes on where the backup caught it.
      await expect.poll(() => again.rotation(admin), { timeout: 20_000 }).toBeUndefined();
      await again.close();
    }
    // What was revoked since under another root key is found with that one.
    const merge = { mergeFrom: [join(folder, 'state')], rootKey: parseRootKey(`file:${former}`) };
    expect(await codeOf(restoreIn(folder, early, { ...merge, place: 'merged' }))).toBe('wrong_root_key');
    const mergeRootKey = parseRootKey(`file:${join(folder, 'root.key')}`);
    const { newest } = await restoreIn(folder, early, { ...merge, mergeRootKey, place: 'merged' });
    expect(newest).toBe(join(folder, 'state'));
  });

  test('its reader may be slow; who takes nothing at all is given up, and that is in the log', async () => {
    const { engine, stateDir } = await openEngine(undefined, { backupPatience: 30 });
    await engine.put(admin, 'large', Buffer.alloc(1_000_000));
    const reader = engine.backup(admin);
    expect((await reader.next()).done).toBe(false);
    const ends = async () =>
      (await auditEntries(stateDir)).filter(({ action }) => action === 'backup').map(({ error }) => error);
    await expect.poll(ends).toEqual([undefined, 'abandoned']);
    expect(await codeOf(reader.next())).toBe('abandoned');
    // Another one is possible at once.
    expect((await backupOf(engine)).length).toBeGreaterThan(1_000_000);
    expect(await ends()).toEqual([undefined, 'abandoned', undefined, undefined]);
  });

  test('that its reader leaves, or that the server closes, ends at once; two at a time are refused', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'large', Buffer.alloc(1_000_000));
    const left = engine.backup(admin);
    await left.next();
    expect(await codeOf(engine.backup(admin).next())).toBe('conflict');
    await left.return();
    const open = engine.backup(admin);
    await open.next();
    await engine.close();
    expect(await codeOf(open.next())).toBe('stopped');
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'backup');
    expect(entries.map(({ error }) => error)).toEqual([
      undefined,
      'conflict',
      'abandoned',
      undefined,
      'stopped',
    ]);
  });

  test.each<[string, (engine: Engine, tokenId: string) => Promise<unknown>]>([
    ['is revoked', (engine, id) => engine.revokeToken(admin, id)],
    ['loses its right', (engine) => engine.applyPolicy(admin, [])],
  ])('ends, and is not whole, when its caller %s', async (_, end) => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'large', Buffer.alloc(1_000_000));
    const { token, info } = await engine.createToken(admin, { name: 'backup' });
    await engine.applyPolicy(admin, [{ to: [`token:${info.id}`], actions: ['admin'], secrets: ['*'] }]);
    const principal = engine.authenticateToken(token) as Principal;
    const backup = engine.backup({ principals: [principal], address: '192.0.2.7' });
    expect((await backup.next()).done).toBe(false);
    await end(engine, info.id);
    expect(await codeOf(backup.next())).toBe('access_denied');
    expect((await auditEntries(stateDir)).at(-1)).toMatchObject({
      action: 'backup',
      target: expect.stringMatching(/: not whole$/),
      error: 'access_denied',
    });
    expect((await backupOf(engine)).length).toBeGreaterThan(1_000_000);
  });

  test('ends when the session of its caller does, before its last piece too', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'large', Buffer.alloc(1_000_000));
    await engine.applyPolicy(admin, [{ to: ['nats:*'], actions: ['admin'], secrets: ['*'] }]);
    const pieces = async (liveFor: number) => {
      let live = true;
      let taken = 0;
      try {
        for await (const _ of engine.backup(identity('operator', { isLive: () => live }))) {
          taken++;
          live = taken < liveFor;
        }
      } catch (error) {
        return { taken, code: (error as CofferError).code };
      }
      return { taken, code: undefined };
    };
    const { taken: all } = await pieces(Number.POSITIVE_INFINITY);
    for (const few of [1, all - 1]) {
      expect(await pieces(few)).toEqual({ taken: few, code: 'access_denied' });
      expect((await auditEntries(stateDir)).at(-1)).toMatchObject({ error: 'access_denied' });
    }
  });

  test('needs an administrator of everything; a refusal is in the log', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:part'], actions: ['admin'], secrets: ['prod/*'] }]);
    expect(await codeOf(engine.backup(token('part')).next())).toBe('access_denied');
    expect((await auditEntries(stateDir)).at(-1)).toMatchObject({ action: 'backup', authorized: false });
  });

  test('its entries tell who made it, and what came of it', async () => {
    const { engine, folder, stateDir } = await openEngine();
    const path = await backupTo(engine, folder);
    const { backupId, records, bytes } = await verifyIn(folder, path);
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'backup');
    expect(entries).toMatchObject([
      { principal: { id: 'socket' }, authorized: true, target: backupId },
      { principal: { id: 'socket' }, target: `${backupId}: whole, ${records} records, ${bytes} bytes` },
    ]);
  });
});

describe('a backup without a server', () => {
  test('is written from a store that nobody has opened further, and replaces no file', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await populate(engine);
    const before = await secretsOf(engine);
    await engine.close();
    const storage = await LmdbStorage.open(join(stateDir, 'store'), {
      minFreeBytes: 0,
      onFatal: (error) => {
        throw error;
      },
    });
    const path = join(folder, 'offline');
    const context = { stateDir, development: false, onNotice: () => undefined };
    const header = await StoreHeader.open(storage, parseRootKey(`file:${join(folder, 'root.key')}`), context);
    const source = {
      storage,
      ring: header.ring,
      auditFolder: join(stateDir, 'audit'),
      madeAt: new Date(),
    };
    const facts = await writeBackup(source, path);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await expect(writeBackup(source, path)).rejects.toThrow('not overwritten');
    header.wipe();
    await storage.close();
    expect(await verifyIn(folder, path)).toMatchObject(facts);
    await restoreIn(folder, path);
    const { engine: again } = await openEngine(folder, { stateDir: join(folder, 'restored') });
    expect(await secretsOf(again)).toEqual(before);
    expect((await readdir(folder)).filter((name) => name.includes('.part'))).toEqual([]);
  });
});
