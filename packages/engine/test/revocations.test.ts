import { describe, expect, it } from 'vitest';

import type { Engine, RevocationRequest } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { allRecords } from './store-file.js';
import { admin, bytes, codeOf, identity, openEngine, token } from './support.js';

const USER = `U${'A'.repeat(55)}`;
const ACCOUNT = `A${'C'.repeat(55)}`;
const alice = token('alice');
const FULL = { storage: { minFreeBytes: Number.MAX_SAFE_INTEGER } };

const listed = async (engine: Engine) =>
  (await engine.revocations(admin)).map(({ kind, value, reason }) => [kind, value, reason]);

describe('a revocation', () => {
  it('of a token or of a key counts at once, and is listed with who, when and why', async () => {
    const now = new Date('2031-01-01T00:00:00Z');
    const { engine } = await openEngine(undefined, { now: () => now });
    expect([engine.tokenRevoked('JTI'), engine.keyRevoked(USER)]).toEqual([false, false]);
    const made = await engine.revoke(admin, { jti: 'JTI', reason: 'found in a log' });
    await engine.revoke(admin, { key: USER });
    expect([engine.tokenRevoked('JTI'), engine.keyRevoked(USER)]).toEqual([true, true]);
    expect([engine.tokenRevoked(USER), engine.keyRevoked('JTI')]).toEqual([false, false]);
    expect(made).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      kind: 'token',
      value: 'JTI',
      reason: 'found in a log',
      revokedAt: now,
      revokedBy: 'socket',
    });
    expect(await listed(engine)).toEqual([
      ['token', 'JTI', 'found in a log'],
      ['key', USER, ''],
    ]);
  });

  it('that is there already stays as it is', async () => {
    const { engine } = await openEngine();
    const first = await engine.revoke(admin, { key: USER, reason: 'leaked' });
    expect(await engine.revoke(admin, { key: USER, reason: 'again' })).toEqual(first);
    expect(await listed(engine)).toEqual([['key', USER, 'leaked']]);
  });

  it('is lifted by its id, and may be made anew', async () => {
    const { engine } = await openEngine();
    const { id } = await engine.revoke(admin, { key: USER });
    await engine.liftRevocation(admin, id);
    expect(engine.keyRevoked(USER)).toBe(false);
    expect(await listed(engine)).toEqual([]);
    expect(await codeOf(engine.liftRevocation(admin, id))).toBe('not_found');
    const again = await engine.revoke(admin, { key: USER });
    expect(again.id).not.toBe(id);
    expect(engine.keyRevoked(USER)).toBe(true);
  });

  it('is there after a restart, and so is that it was lifted', async () => {
    const { engine, folder } = await openEngine();
    const { id } = await engine.revoke(admin, { jti: 'lifted' });
    const made = await engine.revoke(admin, { jti: 'stays', reason: 'why' });
    await engine.liftRevocation(admin, id);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect([again.tokenRevoked('lifted'), again.tokenRevoked('stays')]).toEqual([false, true]);
    expect(await again.revocations(admin)).toEqual([made]);
  });

  it('stands in no record in clear', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.revoke(admin, { jti: 'a-jti-to-look-for', reason: 'a-reason-to-look-for' });
    await engine.close();
    const records = (await allRecords(stateDir)).map(([key, record]) => key + record.toString('latin1'));
    expect(records.join('\n')).not.toMatch(/to-look-for/);
  });

  it('is for unscoped administrators only, and all of it is logged', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['admin'], secrets: ['prod/*'] }]);
    const { id } = await engine.revoke(admin, { key: USER, reason: 'gone\nrogue' });
    expect(await codeOf(engine.revoke(alice, { jti: 'J' }))).toBe('access_denied');
    expect(await codeOf(engine.revocations(alice))).toBe('access_denied');
    expect(await codeOf(engine.liftRevocation(alice, id))).toBe('access_denied');
    await engine.revocations(admin);
    await engine.liftRevocation(admin, id);
    const entries = (await auditEntries(stateDir)).filter(({ action }) => /revo/.test(action));
    expect(
      entries.map(({ action, authorized, phase, target }) => [action, authorized, phase, target]),
    ).toEqual([
      ['revoke', true, 'intent', `key ${USER} gone\nrogue`],
      ['revoke', true, 'outcome', `key ${USER} gone\nrogue`],
      ['revoke', false, undefined, 'token J'],
      ['list-revocations', false, undefined, undefined],
      ['lift-revocation', false, undefined, `${id} key ${USER}`],
      ['list-revocations', true, undefined, undefined],
      ['lift-revocation', true, 'intent', `${id} key ${USER}`],
      ['lift-revocation', true, 'outcome', `${id} key ${USER}`],
    ]);
  });

  it('is one change when it is asked for again', async () => {
    const { engine, stateDir } = await openEngine();
    const change = { operation: 'op' };
    const made = await engine.revoke(admin, { key: USER, reason: 'leaked' }, change);
    expect(await engine.revoke(admin, { key: USER, reason: 'leaked' }, change)).toEqual(made);
    expect(await codeOf(engine.revoke(admin, { key: ACCOUNT }, change))).toBe('operation_reused');
    const lift = { operation: 'lift' };
    await engine.liftRevocation(admin, made.id, lift);
    await engine.liftRevocation(admin, made.id, lift);
    // Its repetition does not bring back what was lifted since.
    expect(await codeOf(engine.revoke(admin, { key: USER, reason: 'leaked' }, change))).toBe('not_found');
    expect(engine.keyRevoked(USER)).toBe(false);
    expect((await auditEntries(stateDir)).filter(({ phase }) => phase === 'intent')).toHaveLength(2);
  });

  it('goes through though the disk has less room than is to stay free', async () => {
    const { engine: before, folder } = await openEngine();
    await before.close();
    const { engine } = await openEngine(folder, FULL);
    expect(await codeOf(engine.put(admin, 'a', bytes('v')))).toBe('storage_full');
    await engine.revoke(admin, { key: USER });
    await engine.revoke(admin, { jti: 'J', reason: 'leaked' }, { operation: 'op' });
    expect([engine.keyRevoked(USER), engine.tokenRevoked('J')]).toEqual([true, true]);
    await engine.rememberIssued(ACCOUNT, 1_700_000_000);
  });

  it.each<[string, RevocationRequest]>([
    ['nothing', {}],
    ['a token and a key', { jti: 'J', key: USER }],
    ['an empty jti', { jti: '' }],
    ['a jti with a space', { jti: 'a b' }],
    ['a jti beyond ASCII', { jti: 'é' }],
    ['a jti with a line feed', { jti: 'a\n' }],
    ['a jti that is too long', { jti: 'x'.repeat(129) }],
    ['a seed for a jti', { jti: `SU${'A'.repeat(56)}` }],
    ['a seed for a key', { key: `SU${'A'.repeat(56)}` }],
    ['a seed that lost its end', { key: `SU${'A'.repeat(54)}` }],
    ['a key that is too short', { key: USER.slice(1) }],
    ['a key in lower case', { key: USER.toLowerCase() }],
    ['a reason that is too long', { key: USER, reason: 'x'.repeat(513) }],
    ['a reason with half a character', { key: USER, reason: '\ud800' }],
  ])('of %s is refused, without a word of it in answer or log', async (_, request) => {
    const { engine, stateDir } = await openEngine();
    const error = await engine.revoke(admin, request).catch((error: Error) => error);
    expect(error).toMatchObject({ code: 'invalid_argument' });
    expect((error as Error).message).not.toMatch(/AAAA|xxxx/);
    expect(await listed(engine)).toEqual([]);
    expect((await auditEntries(stateDir)).filter(({ action }) => action === 'revoke')).toEqual([]);
  });

  it('of any printable jti, and for any reason, is kept as it was given', async () => {
    const { engine, folder } = await openEngine();
    const requests = [
      { jti: '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~', reason: '' },
      { jti: 'x'.repeat(128), reason: 'x'.repeat(512) },
      { jti: 'u', reason: 'café 🔑\u202e\u0000\n' },
    ];
    for (const request of requests) await engine.revoke(admin, request);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    const kept = (await again.revocations(admin)).map(({ value: jti, reason }) => ({ jti, reason }));
    expect(kept).toEqual(requests);
  });

  it('is not lifted by what is no id', async () => {
    const { engine } = await openEngine();
    for (const id of ['', USER, '0123456789ABCDEF', '../x']) {
      expect(await codeOf(engine.liftRevocation(admin, id))).toBe('invalid_argument');
    }
    expect(await codeOf(engine.liftRevocation(admin, '0123456789abcdef'))).toBe('not_found');
  });
});

describe('who listens for trust', () => {
  it('is told in the turn in which a revocation counts, and is lifted, and of nothing else', async () => {
    const { engine } = await openEngine();
    const told: boolean[] = [];
    const stop = engine.onTrustChange(() => told.push(engine.keyRevoked(USER)));
    const { id } = await engine.revoke(admin, { key: USER });
    await engine.revoke(admin, { key: USER });
    await engine.createToken(admin, { name: 'x' });
    await engine.rememberIssued(ACCOUNT, 1_700_000_000);
    expect(told).toEqual([true]);
    await engine.liftRevocation(admin, id);
    expect(told).toEqual([true, false]);
    stop();
    await engine.revoke(admin, { key: USER });
    expect(told).toHaveLength(2);
  });
});

describe('the newest issued token', () => {
  it('is remembered for good, and only ever gets newer', async () => {
    const { engine, folder, stateDir } = await openEngine();
    expect(engine.newestIssued(ACCOUNT)).toBeUndefined();
    await engine.rememberIssued(ACCOUNT, 1_700_000_000);
    await engine.rememberIssued(ACCOUNT, 1_700_000_005);
    await engine.rememberIssued(ACCOUNT, 1_700_000_001);
    expect(engine.newestIssued(ACCOUNT)).toBe(1_700_000_005);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    expect(again.newestIssued(ACCOUNT)).toBe(1_700_000_005);
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'issued');
    expect(entries.map(({ principal, phase, target }) => [principal.id, phase, target])).toEqual([
      ['server', 'intent', `${ACCOUNT} 1700000000`],
      ['server', 'outcome', `${ACCOUNT} 1700000000`],
      ['server', 'intent', `${ACCOUNT} 1700000005`],
      ['server', 'outcome', `${ACCOUNT} 1700000005`],
    ]);
  });

  it('is one entry in the log, however many come with it at once', async () => {
    const { engine, stateDir } = await openEngine();
    await Promise.all(Array.from({ length: 50 }, () => engine.rememberIssued(ACCOUNT, 1_700_000_000)));
    const entries = (await auditEntries(stateDir)).filter(({ action }) => action === 'issued');
    expect(entries).toHaveLength(2);
  });

  it('is never from the future, nor of no time', async () => {
    const now = new Date('2031-01-01T00:00:00Z');
    const { engine } = await openEngine(undefined, { now: () => now });
    const today = now.getTime() / 1000;
    for (const iat of [-1, 1.5, Number.NaN, today + 24 * 60 * 60 + 1, 253_402_300_799]) {
      expect(await codeOf(engine.rememberIssued(ACCOUNT, iat))).toBe('invalid_argument');
    }
    expect(await codeOf(engine.rememberIssued('SUAB', today))).toBe('invalid_argument');
    expect(engine.newestIssued(ACCOUNT)).toBeUndefined();
  });
});

describe('a caller with an identity', () => {
  it('has what grants give to it or to its tags, and is named in the log', async () => {
    const { engine, stateDir } = await openEngine();
    const user = identity('user');
    const [{ id }, tag] = user.principals;
    await engine.put(admin, 'a', bytes('v'));
    expect(await codeOf(engine.get(user, 'a'))).toBe('access_denied');
    for (const to of [id, tag?.id as string]) {
      await engine.applyPolicy(admin, [{ to: [to], actions: ['get'], secrets: ['a'] }]);
      expect((await engine.get(user, 'a')).version).toBe(1);
    }
    expect((await auditEntries(stateDir)).at(-1)?.principal).toEqual({
      id,
      kind: 'nats',
      user: 'user',
      also: [tag?.id],
      ip: '192.0.2.8',
    });
  });
});
