import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { Caller, Engine, Principal } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, token as tokenCaller } from './support.js';

const callerOf = (engine: Engine, token: string): Caller => ({
  principals: [engine.authenticateToken(token) as Principal],
  address: '192.0.2.9',
});

describe('a token', () => {
  it('is its holder’s principal, which has no right until a grant names its id', async () => {
    const { engine } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    const { token, info } = await engine.createToken(admin, { name: 'ci runner' });
    expect(engine.authenticateToken(token)).toEqual({
      id: `token:${info.id}`,
      kind: 'token',
      name: 'ci runner',
    });
    expect(await codeOf(engine.get(callerOf(engine, token), 'a'))).toBe('access_denied');
    await engine.applyPolicy(admin, [{ to: [`token:${info.id}`], actions: ['get'], secrets: ['a'] }]);
    expect((await engine.get(callerOf(engine, token), 'a')).version).toBe(1);
  });

  it('has 256 random bits, and no two are alike', async () => {
    const { engine } = await openEngine();
    const made = await Promise.all(
      Array.from({ length: 20 }, () => engine.createToken(admin, { name: 'same name' })),
    );
    for (const { token } of made) expect(token).toMatch(/^cft_[A-Za-z0-9_-]{43}$/);
    expect(new Set(made.map(({ token }) => token)).size).toBe(20);
    expect(new Set(made.map(({ info }) => info.id)).size).toBe(20);
  });

  it('is nobody’s in any other spelling', async () => {
    const { engine } = await openEngine();
    const { token } = await engine.createToken(admin, { name: 'x' });
    const swapped = token.endsWith('A') ? 'B' : 'A';
    const others = [
      '',
      'cft_',
      token.slice(4),
      ` ${token}`,
      `${token}\n`,
      `${token}=`,
      token.toUpperCase(),
      token.slice(0, -1) + swapped,
      `cft_${'A'.repeat(43)}`,
      createHash('sha256').update(token).digest('hex'),
    ];
    for (const other of others) expect(engine.authenticateToken(other)).toBeUndefined();
  });

  it('is listed without its secret part, also after a restart', async () => {
    const { engine, folder } = await openEngine();
    const expiresAt = new Date(Date.now() + 60_000);
    const { token, info } = await engine.createToken(admin, { name: 'näme "with" \u2028 signs', expiresAt });
    expect(info).toMatchObject({ name: 'näme "with" \u2028 signs', createdBy: 'socket', expiresAt });
    expect(await engine.listTokens(admin)).toEqual([info]);
    expect(JSON.stringify([info, await engine.listTokens(admin)])).not.toContain(token.slice(4));
    expect(Object.keys(info)).not.toContain('hash');
    await engine.close();
    const { engine: reopened } = await openEngine(folder);
    expect(await reopened.listTokens(admin)).toEqual([info]);
    expect(reopened.authenticateToken(token)?.id).toBe(`token:${info.id}`);
  });

  it('is dead at once when it is revoked, and stays dead', async () => {
    const { engine, folder } = await openEngine();
    const { token, info } = await engine.createToken(admin, { name: 'x' });
    const { token: other } = await engine.createToken(admin, { name: 'other' });
    const revoked = await engine.revokeToken(admin, info.id);
    expect(revoked.revokedAt).toBeInstanceOf(Date);
    expect(engine.authenticateToken(token)).toBeUndefined();
    expect(engine.authenticateToken(other)).toBeDefined();
    expect(await engine.revokeToken(admin, info.id)).toEqual(revoked);
    await engine.close();
    const { engine: reopened } = await openEngine(folder);
    expect(reopened.authenticateToken(token)).toBeUndefined();
    expect(reopened.authenticateToken(other)).toBeDefined();
    expect((await reopened.listTokens(admin)).find(({ id }) => id === info.id)).toEqual(revoked);
  });

  it('ends at its expiry by the engine’s clock', async () => {
    let now = new Date('2026-01-01T00:00:00Z');
    const { engine } = await openEngine(undefined, { now: () => now });
    const expiresAt = new Date('2026-01-01T00:01:00Z');
    const { token } = await engine.createToken(admin, { name: 'x', expiresAt });
    now = new Date(expiresAt.getTime() - 1);
    expect(engine.authenticateToken(token)).toBeDefined();
    now = expiresAt;
    expect(engine.authenticateToken(token)).toBeUndefined();
    expect(await engine.listTokens(admin)).toHaveLength(1);
  });

  it.each([
    ['without a name', { name: '' }],
    ['with a name that is too long', { name: 'x'.repeat(257) }],
    ['with half a character in its name', { name: '\ud83d' }],
    ['that has expired', { name: 'x', expiresAt: new Date(0) }],
    ['with no time for its expiry', { name: 'x', expiresAt: new Date(Number.NaN) }],
  ])('%s is not made', async (_, request) => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.createToken(admin, request))).toBe('invalid_token_request');
    expect(await engine.listTokens(admin)).toEqual([]);
  });

  it('is made once for an operation id: its retry cannot show the token again and is refused', async () => {
    const { engine, stateDir } = await openEngine();
    const change = { operation: 'op' };
    await engine.createToken(admin, { name: 'x' }, change);
    expect(await codeOf(engine.createToken(admin, { name: 'x' }, change))).toBe('operation_reused');
    expect(await engine.listTokens(admin)).toHaveLength(1);
    const refused = (await auditEntries(stateDir)).filter(({ error }) => error === 'operation_reused');
    expect(refused).toHaveLength(1);
  });

  it('that is not known cannot be revoked', async () => {
    const { engine } = await openEngine();
    expect(await codeOf(engine.revokeToken(admin, '0123456789abcdef'))).toBe('not_found');
  });

  it('given in place of its id is neither logged nor repeated', async () => {
    const { engine, stateDir } = await openEngine();
    const { token } = await engine.createToken(admin, { name: 'x' });
    for (const caller of [admin, tokenCaller('alice')]) {
      const error = await engine.revokeToken(caller, token).catch((failure: Error) => failure);
      expect(error).toMatchObject({ code: 'invalid_argument' });
      expect((error as Error).message).not.toContain(token.slice(4));
    }
    expect(JSON.stringify(await auditEntries(stateDir))).not.toContain(token.slice(4));
  });
});

describe('in the state folder', () => {
  /** Every file's bytes by its path. */
  async function filesIn(folder: string): Promise<Map<string, Buffer>> {
    const entries = await readdir(folder, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name));
    return new Map(await Promise.all(files.map(async (file) => [file, await readFile(file)] as const)));
  }

  /** A secret's bytes in the spellings that a careless program would leave it in. */
  const spellings = (secret: string): Buffer[] =>
    [
      secret,
      Buffer.from(secret).toString('base64').replace(/=+$/, ''),
      Buffer.from(secret).toString('base64url'),
      Buffer.from(secret).toString('hex'),
      JSON.stringify([...Buffer.from(secret)]).slice(1, -1),
    ].map((spelling) => Buffer.from(spelling));

  it('no value and no token is in clear anywhere, and no name in the store', async () => {
    const { engine, stateDir } = await openEngine();
    const names = ['payments/stripe-key', 'a-rather-long-name-of-a-deleted-secret'];
    const values = ['sk_live_51H8xV2eZvKYlo2C', 'another value that nobody may see', 'third, deleted value'];
    const [one, two, three] = values.map(bytes) as [Buffer, Buffer, Buffer];
    await engine.put(admin, names[0] as string, one);
    await engine.put(admin, names[0] as string, two, { operation: 'operation-1' });
    await engine.put(admin, names[1] as string, three);
    const { token, info } = await engine.createToken(admin, { name: 'display name of the token' });
    await engine.applyPolicy(admin, [
      { to: [`token:${info.id}`], actions: ['get'], secrets: ['payments/pattern-*'] },
    ]);
    await codeOf(engine.get(callerOf(engine, token), names[0] as string));
    await engine.get(admin, names[0] as string, 2);
    await engine.delete(admin, names[1] as string);
    await engine.close();

    const files = await filesIn(stateDir);
    expect([...files.keys()].some((path) => path.endsWith('data.mdb'))).toBe(true);
    const hash = createHash('sha256').update(token).digest('hex');
    const nowhere = [...values, token, token.slice(4), hash];
    const onlyInTheLog = [...names, 'display name of the token', info.id, 'payments/pattern-', 'operation-1'];
    for (const [path, content] of files) {
      const found = (secret: string) => spellings(secret).some((spelling) => content.includes(spelling));
      expect(nowhere.filter(found), path).toEqual([]);
      if (path.startsWith(join(stateDir, 'store'))) expect(onlyInTheLog.filter(found), path).toEqual([]);
    }
    const log = files.get(join(stateDir, 'audit', 'audit.log')) as Buffer;
    for (const name of names) expect(log.includes(name)).toBe(true);
  });

  it('nothing can be read by others', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    const { stat } = await import('node:fs/promises');
    const entries = await readdir(stateDir, { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const { mode } = await stat(join(entry.parentPath, entry.name));
      if (entry.isFile() || entry.isDirectory()) expect(mode & 0o077, entry.name).toBe(0);
    }
    expect((await stat(stateDir)).mode & 0o077).toBe(0);
  });
});
