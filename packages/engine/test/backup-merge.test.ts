import { createHash } from 'node:crypto';
import {
  appendFile,
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, test } from 'vitest';

import { Engine, type Grant, type Restored } from '../src/index.js';
import { auditEntries, auditPath } from './audit-file.js';
import { backupTo, restoreIn } from './backup-support.js';
import { admin, bytes, codeOf, engineOptions, openEngine, type TestEngine } from './support.js';

const grant = (to: string, secrets = '*'): Grant => ({ to: [to], actions: ['get'], secrets: [secrets] });

interface Scene extends TestEngine {
  readonly path: string;
  readonly tokens: Readonly<
    Record<'kept' | 'revoked' | 'revokedBefore' | 'later', { token: string; id: string }>
  >;
}

/** A store with a backup, and what happened to it since. */
async function scene(): Promise<Scene> {
  const opened = await openEngine();
  const { engine, folder } = opened;
  const make = async (name: string) => {
    const { token, info } = await engine.createToken(admin, { name });
    return { token, id: info.id };
  };
  const [kept, revoked, revokedBefore] = [await make('kept'), await make('revoked'), await make('before')];
  await engine.revokeToken(admin, revokedBefore.id);
  await engine.applyPolicy(admin, [grant('token:stays'), grant('token:goes')]);
  for (const name of ['stays', 'goes', 'loses']) await engine.put(admin, name, bytes(`1 of ${name}`));
  await engine.put(admin, 'loses', bytes('2 of loses'));
  const path = await backupTo(engine, folder);

  await engine.revokeToken(admin, revoked.id);
  await engine.applyPolicy(admin, [grant('token:stays'), grant('token:comes')]);
  const later = await make('later');
  await engine.delete(admin, 'goes');
  await engine.deleteVersion(admin, 'loses', 2);
  await engine.put(admin, 'comes', bytes('1 of comes'));
  return { ...opened, path, tokens: { kept, revoked, revokedBefore, later } };
}

async function openRestored(folder: string): Promise<Engine> {
  return (await openEngine(folder, { stateDir: join(folder, 'restored') })).engine;
}

/** Whose token is believed. */
function valid(engine: Engine, tokens: Scene['tokens']): string[] {
  return Object.entries(tokens).flatMap(([name, { token }]) =>
    engine.authenticateToken(token) ? [name] : [],
  );
}

const grantsOf = async (engine: Engine) => (await engine.policy(admin)).grants.flatMap(({ to }) => to).sort();

/** What a merge with all that is known of the newer state does. */
async function expectMerged({ folder, tokens, stateDir }: Scene, restored: Restored): Promise<void> {
  expect(restored.tokensRevoked.map(({ id }) => id)).toEqual([tokens.revoked.id]);
  expect(restored.grantsRemoved).toEqual([grant('token:goes')]);
  expect(restored.deletedSince).toEqual({ secrets: ['goes'], versions: [{ name: 'loses', version: 2 }] });
  expect(restored.madeSince).toEqual({ secrets: ['comes'], versions: [] });
  expect(stateDir).not.toBe(join(folder, 'restored'));
  const engine = await openRestored(folder);
  expect(valid(engine, tokens)).toEqual(['kept']);
  // Nothing newer is given: neither the new grant nor the new token.
  expect(await grantsOf(engine)).toEqual(['token:stays']);
  expect((await engine.listTokens(admin)).map(({ id }) => id)).not.toContain(tokens.later.id);
  // What was deleted since is only told of.
  expect((await engine.list(admin)).map(({ name }) => name)).toEqual(['goes', 'loses', 'stays']);
}

describe('a restore that merges what is newer', () => {
  test('from nothing: what was revoked since counts again, and it says so', async () => {
    const { engine, folder, path, tokens } = await scene();
    await engine.close();
    const restored = await restoreIn(folder, path);
    expect(restored).toMatchObject({ tokensRevoked: [], grantsRemoved: [], newest: undefined });
    const again = await openRestored(folder);
    expect(valid(again, tokens)).toEqual(['kept', 'revoked']);
    expect(await grantsOf(again)).toEqual(['token:goes', 'token:stays']);
  });

  test('from the old state folder: it gives no more than the newest state did', async () => {
    const made = await scene();
    await made.engine.close();
    const restored = await restoreIn(made.folder, made.path, { mergeFrom: [made.stateDir] });
    const entries = (await auditEntries(join(made.folder, 'restored'))).slice(-5);
    await expectMerged(made, restored);
    expect(entries.map(({ action, phase, principal }) => [action, phase, principal.id])).toEqual([
      ['restore', undefined, 'server'],
      ['revoke-token', 'intent', 'server'],
      ['revoke-token', 'outcome', 'server'],
      ['apply-policy', 'intent', 'server'],
      ['apply-policy', 'outcome', 'server'],
    ]);
  });

  test('from a folder that a server still uses', async () => {
    const made = await scene();
    await expectMerged(made, await restoreIn(made.folder, made.path, { mergeFrom: [made.stateDir] }));
  });

  test('from a newer backup', async () => {
    const made = await scene();
    const newer = await backupTo(made.engine, made.folder, 'newer');
    await expectMerged(made, await restoreIn(made.folder, made.path, { mergeFrom: [newer] }));
  });

  test.each([
    [
      'the log of a store that cannot be read',
      (stateDir: string) => truncate(join(stateDir, 'store', 'data.mdb'), 5_000),
    ],
    [
      'the log of a store that is gone',
      (stateDir: string) => rm(join(stateDir, 'store'), { recursive: true }),
    ],
  ])('from %s: revocations, and a warning about grants', async (_, destroy) => {
    const { engine, folder, path, tokens, stateDir } = await scene();
    await engine.close();
    await destroy(stateDir);
    // A disk that failed has more to offer than whole lines.
    await appendFile(auditPath(stateDir), `\0\0\0{"action":"revoke-token"\n{"action":"revoke-token","seq":`);
    const restored = await restoreIn(folder, path, { mergeFrom: [stateDir] });
    expect(restored.tokensRevoked.map(({ id }) => id)).toEqual([tokens.revoked.id]);
    expect(restored).toMatchObject({ newest: undefined, policyChanges: 1, grantsRemoved: [] });
    expect(restored.deletedSince.secrets).toEqual(['goes', 'loses']);
    expect(valid(await openRestored(folder), tokens)).toEqual(['kept']);
  });

  test('from the log of a store that is gone: mappings count as changes of the policy', async () => {
    const { engine, folder, path, stateDir } = await scene();
    const component = `component:A${'A'.repeat(55)}/M${'C'.repeat(55)}`;
    await engine.mapEntity(admin, component, ['a', 'b']);
    await engine.unmapEntity(admin, component, ['a']);
    await engine.mappings(admin);
    await engine.close();
    await rm(join(stateDir, 'store'), { recursive: true });
    expect(await restoreIn(folder, path, { mergeFrom: [stateDir] })).toMatchObject({ policyChanges: 3 });
  });

  test.each([
    ['that it failed', { error: 'io' }],
    ['that a start found it not made', { error: 'not_made', recovered: true }],
    ['that it was about another token', { target: 'f'.repeat(16) }],
  ])('from a log with a forged outcome, %s: the revocation counts', async (_, forged) => {
    const { engine, folder, path, tokens, stateDir } = await scene();
    await engine.close();
    const intent = (await auditEntries(stateDir)).find(
      ({ action, phase, target }) =>
        action === 'revoke-token' && phase === 'intent' && target === tokens.revoked.id,
    );
    const { seq = 0 } = intent ?? {};
    const line = {
      seq: seq + 1,
      action: 'revoke-token',
      authorized: true,
      phase: 'outcome',
      intent: seq,
      ...forged,
    };
    await appendFile(auditPath(stateDir), `${JSON.stringify(line)}\n`);
    const restored = await restoreIn(folder, path, { mergeFrom: [auditPath(stateDir)] });
    expect(restored.tokensRevoked.map(({ id }) => id)).toEqual([tokens.revoked.id]);
    expect(valid(await openRestored(folder), tokens)).toEqual(['kept']);
  });

  test('from the log alone: a revocation that a start found not made does not count, once a signature says so', async () => {
    const { engine, folder, path, tokens, stateDir } = await scene();
    await engine.close();
    const log = auditPath(stateDir);
    const last = (await readFile(log, 'utf8')).trimEnd().split('\n').at(-1) as string;
    const intent = {
      time: '2026-11-22T10:00:00.000Z',
      seq: JSON.parse(last).seq + 1,
      prev: createHash('sha256').update(last).digest('hex'),
      principal: { id: 'socket', kind: 'socket', user: 'socket' },
      action: 'revoke-token',
      authorized: true,
      phase: 'intent',
      operation: '11111111-1111-4111-8111-111111111111',
      target: tokens.kept.id,
    };
    await appendFile(log, `{"id":1,${JSON.stringify(intent).slice(1)}\n`);
    const { engine: again } = await openEngine(folder);
    await again.close();
    const text = await readFile(log, 'utf8');
    expect(text).toContain('"error":"not_made"');
    const merged = (place: string) => restoreIn(folder, path, { place, mergeFrom: [log] });
    expect((await merged('signed')).tokensRevoked.map(({ id }) => id)).toEqual([tokens.revoked.id]);

    const [unsigned] = text.split(/(?<="error":"not_made"[^\n]*\n)/);
    await writeFile(log, unsigned as string);
    const revoked = (await merged('unsigned')).tokensRevoked.map(({ id }) => id);
    expect(revoked.sort()).toEqual([tokens.revoked.id, tokens.kept.id].sort());
  });

  test('from the log alone, as a folder or as a file', async () => {
    const { engine, folder, path, tokens, stateDir } = await scene();
    await engine.close();
    for (const [index, from] of [join(stateDir, 'audit'), auditPath(stateDir)].entries()) {
      const restored = await restoreIn(folder, path, { mergeFrom: [from], place: `restored${index}` });
      expect(restored.tokensRevoked.map(({ id }) => id)).toEqual([tokens.revoked.id]);
    }
  });

  test('from several: every revocation, and the grants of the newest', async () => {
    const { engine, folder, path, tokens, stateDir } = await scene();
    const middle = await backupTo(engine, folder, 'middle');
    await engine.revokeToken(admin, tokens.kept.id);
    await engine.applyPolicy(admin, [grant('token:goes')]);
    await engine.close();
    const restored = await restoreIn(folder, path, { mergeFrom: [stateDir, middle] });
    expect(restored.newest).toBe(stateDir);
    expect(restored.grantsRemoved).toEqual([grant('token:stays')]);
    const again = await openRestored(folder);
    expect(valid(again, tokens)).toEqual([]);
    expect(await grantsOf(again)).toEqual(['token:goes']);
  });

  describe('and identities', () => {
    const [ACCOUNT, USER] = [`A${'C'.repeat(55)}`, `U${'D'.repeat(55)}`];

    /** Revoked, lifted and seen, before a backup and since. */
    async function identities() {
      const opened = await openEngine();
      const { engine, folder } = opened;
      await engine.revoke(admin, { jti: 'before' });
      await engine.rememberIssued(ACCOUNT, 1_700_000_000);
      const path = await backupTo(engine, folder);
      await engine.revoke(admin, { jti: 'since', reason: 'leaked: "x" y' }, { operation: 'op' });
      await engine.revoke(admin, { key: USER });
      const { id } = await engine.revoke(admin, { jti: 'lifted' });
      await engine.liftRevocation(admin, id);
      await engine.rememberIssued(ACCOUNT, 1_700_000_009);
      await engine.rememberIssued(USER, 1_700_000_001);
      const listed = await engine.revocations(admin);
      return { ...opened, path, listed };
    }

    const revoked = (engine: Engine) =>
      ['before', 'since', 'lifted'].filter((jti) => engine.tokenRevoked(jti)).join();
    const issued = (engine: Engine) => [engine.newestIssued(ACCOUNT), engine.newestIssued(USER)];

    test.each(['the old state folder', 'a newer backup'])(
      'from %s: what is revoked, by whom, when and why, and what was seen',
      async (from) => {
        const { engine, folder, path, stateDir, listed } = await identities();
        const newer = from === 'a newer backup' ? await backupTo(engine, folder, 'newer') : stateDir;
        await engine.close();
        const restored = await restoreIn(folder, path, { mergeFrom: [newer] });
        expect(restored.identitiesRevoked.map(({ value }) => value).sort()).toEqual([USER, 'since']);
        expect(restored.issuedSince).toHaveLength(2);
        expect(restored.content.revocations).toBe(1);
        const again = await openRestored(folder);
        expect(await again.revocations(admin)).toEqual(listed);
        expect(issued(again)).toEqual([1_700_000_009, 1_700_000_001]);
        const entries = await auditEntries(join(folder, 'restored'));
        const taken = entries.filter(
          ({ action, principal }) => action === 'revoke' && principal.id === 'server',
        );
        expect(taken.map(({ phase, target }) => [phase, target])).toContainEqual([
          'outcome',
          'token since leaked: "x" y',
        ]);
      },
    );

    test('from the log alone: also what was lifted, since a line could be added that says so', async () => {
      const { engine, folder, path, stateDir } = await identities();
      await engine.close();
      const { seq } = (await auditEntries(stateDir)).at(-1) ?? { seq: 0 };
      // Neither a seed, nor no time, nor the future is taken over from a line that was added.
      for (const [index, [action, target]] of [
        ['revoke', `key SU${'A'.repeat(56)}`],
        ['revoke', 'user x'],
        ['issued', `${ACCOUNT} 9999999999`],
        ['issued', `${ACCOUNT} soon`],
      ].entries()) {
        const line = { seq: seq + 1 + index, time: 'no time', action, authorized: true, target };
        await appendFile(auditPath(stateDir), `${JSON.stringify(line)}\n`);
      }
      const restored = await restoreIn(folder, path, { mergeFrom: [auditPath(stateDir)] });
      expect(restored.identitiesRevoked).toHaveLength(3);
      const again = await openRestored(folder);
      expect(revoked(again)).toBe('before,since,lifted');
      expect(again.keyRevoked(USER)).toBe(true);
      expect(issued(again)).toEqual([1_700_000_009, 1_700_000_001]);
      const [, since] = await again.revocations(admin);
      expect(since).toMatchObject({ value: 'since', reason: 'leaked: "x" y', revokedBy: 'socket' });
    });

    test('from nothing: only what the backup has', async () => {
      const { engine, folder, path } = await identities();
      await engine.close();
      expect(await restoreIn(folder, path)).toMatchObject({ identitiesRevoked: [], issuedSince: [] });
      const again = await openRestored(folder);
      expect(revoked(again)).toBe('before');
      expect(issued(again)).toEqual([1_700_000_000, undefined]);
    });
  });

  test('an older state takes no grants away', async () => {
    const { engine, folder, stateDir, path } = await scene();
    const newer = await backupTo(engine, folder, 'newer');
    await engine.close();
    await rm(stateDir, { recursive: true });
    const restored = await restoreIn(folder, newer, { mergeFrom: [path] });
    expect(restored).toMatchObject({ newest: undefined, grantsRemoved: [], tokensRevoked: [] });
    expect(await grantsOf(await openRestored(folder))).toEqual(['token:comes', 'token:stays']);
  });

  test("another store's folder, log or backup is refused, and so is what is none of these", async () => {
    const { engine, folder, path } = await scene();
    await engine.close();
    const other = await scene();
    await other.engine.close();
    await copyFile(join(folder, 'root.key'), join(other.folder, 'unused'));
    const merges: [from: string, code: string][] = [
      [join(other.stateDir, 'audit'), 'invalid_argument'],
      [other.stateDir, 'invalid_argument'],
      [join(folder, 'root.key'), 'invalid_argument'],
      [folder, 'invalid_argument'],
      [join(folder, 'absent'), 'io'],
    ];
    for (const [from, code] of merges) {
      expect([from, await codeOf(restoreIn(folder, path, { mergeFrom: [from] }))]).toEqual([from, code]);
      expect((await readdir(folder)).filter((name) => name.startsWith('restored'))).toEqual([]);
    }
  });
});

describe('what a restore writes to', () => {
  test('is never overwritten, be it a store, another file or a folder with anything in it', async () => {
    const { engine, folder, path, stateDir } = await scene();
    await engine.close();
    const before = await readFile(join(stateDir, 'store', 'data.mdb'));
    expect(await codeOf(restoreIn(folder, path, { stateDir }))).toBe('invalid_argument');
    expect(await readFile(join(stateDir, 'store', 'data.mdb'))).toEqual(before);
    await writeFile(join(folder, 'file'), 'kept');
    expect(await codeOf(restoreIn(folder, path, { place: 'file' }))).toBe('invalid_argument');
    await mkdir(join(folder, 'some', 'thing'), { recursive: true });
    expect(await codeOf(restoreIn(folder, path, { place: 'some' }))).toBe('invalid_argument');
    expect(await readFile(join(folder, 'file'), 'utf8')).toBe('kept');
  });

  test('may be an empty folder, and gets the mode of a state folder', async () => {
    const { engine, folder, path, tokens } = await scene();
    await engine.close();
    await mkdir(join(folder, 'restored'), { mode: 0o755 });
    await restoreIn(folder, path);
    expect(valid(await openRestored(folder), tokens)).toContain('kept');
    expect((await readdir(join(folder, 'restored'))).sort()).toEqual(['audit', 'store']);
  });

  test('a folder that a killed restore left is taken away by the next; one of somebody else is not', async () => {
    const { engine, folder, path, tokens } = await scene();
    await engine.close();
    const left = join(folder, 'restored.restoring');
    await mkdir(join(left, 'store'), { recursive: true });
    await chmod(left, 0o700);
    await writeFile(join(left, 'store', 'data.mdb'), 'half of a store');
    expect(await codeOf(restoreIn(folder, path))).toBe('invalid_argument');
    expect(await readFile(join(left, 'store', 'data.mdb'), 'utf8')).toBe('half of a store');
    await writeFile(join(left, '.coffer-restore'), '');
    await restoreIn(folder, path);
    expect(await readdir(folder)).not.toContain('restored.restoring');
    expect(valid(await openRestored(folder), tokens)).toContain('kept');
  });

  test('a folder that others can enter, or a link, is not taken for one that a restore left', async () => {
    const { engine, folder, path } = await scene();
    await engine.close();
    const left = join(folder, 'restored.restoring');
    await mkdir(left);
    await chmod(left, 0o777);
    expect(await codeOf(restoreIn(folder, path))).toBe('invalid_argument');
    await rm(left, { recursive: true });
    await mkdir(join(folder, 'elsewhere'), { mode: 0o700 });
    await symlink(join(folder, 'elsewhere'), left);
    expect(await codeOf(restoreIn(folder, path))).toBe('invalid_argument');
    expect(await readdir(join(folder, 'elsewhere'))).toEqual([]);
  });

  test('two restores to one place at once: one of them is refused', async () => {
    const { engine, folder, path } = await scene();
    await engine.close();
    const outcomes = await Promise.allSettled([restoreIn(folder, path), restoreIn(folder, path)]);
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
    expect((await readdir(join(folder, 'restored'))).sort()).toEqual(['audit', 'store']);
  });

  test('a development store stays one', async () => {
    const { engine, folder } = await openEngine(undefined, { development: true });
    await engine.put(admin, 'kept', bytes('value'));
    const path = await backupTo(engine, folder);
    await engine.close();
    expect(await codeOf(restoreIn(folder, path))).toBe('development_store');
    await restoreIn(folder, path, { development: true });
    expect(await codeOf(Engine.open(engineOptions(folder, { stateDir: join(folder, 'restored') })))).toBe(
      'development_store',
    );
    const production = await openEngine();
    const other = await backupTo(production.engine, production.folder);
    expect(await codeOf(restoreIn(production.folder, other, { development: true }))).toBe(
      'development_store',
    );
  });

  test('the sequence leaps, so that no id of an event comes twice', async () => {
    const { engine, folder, path } = await scene();
    await engine.close();
    const { content } = await restoreIn(folder, path);
    const again = await openRestored(folder);
    await again.put(admin, 'new', bytes('1'));
    await again.close();
    const outcomes = (await auditEntries(join(folder, 'restored'))).filter(
      ({ phase }) => phase === 'outcome',
    );
    expect(outcomes.at(-1)?.revision).toBeGreaterThan(content.sequence + 2 ** 32);
    // A second restore of the restored store is a store too.
    const second = await openEngine(folder, { stateDir: join(folder, 'restored') });
    const next = await backupTo(second.engine, folder, 'next');
    await second.engine.close();
    await restoreIn(folder, next, { place: 'third', mergeFrom: [join(folder, 'state')] });
  });
});
