import { describe, expect, it, onTestFinished } from 'vitest';

import type { Caller, Engine, Principal } from '../src/index.js';
import { auditEntries } from './audit-file.js';
import { admin, bytes, codeOf, identity, openEngine } from './support.js';

/** Longer than any test: whatever ends before it was not woken by a heartbeat. */
const NEVER = 60_000;
const USER = `U${'A'.repeat(55)}`;

async function withRights() {
  const opened = await openEngine();
  const actions = ['get', 'put', 'activate', 'delete', 'admin'] as const;
  await opened.engine.applyPolicy(admin, [{ to: ['nats:*'], actions, secrets: ['*'] }]);
  return opened;
}

/** Reads on to the end, which is told. */
async function endOf(engine: Engine, caller: Caller): Promise<unknown> {
  let last: unknown;
  for await (const event of engine.watch(caller, { heartbeatMs: NEVER })) last = event;
  return last;
}

/** Follows the audit log until it ends. */
async function follow(engine: Engine, caller: Caller): Promise<void> {
  const gone = new AbortController();
  onTestFinished(() => gone.abort());
  const query = { follow: true, last: 1, action: 'backup' };
  for await (const _ of engine.audit(caller, query, { heartbeatMs: NEVER, signal: gone.signal }));
}

const UNAUTHENTICATED = { kind: 'end', code: 'unauthenticated' };

describe('a session', () => {
  it('that is revoked ends the watches of its caller, and no others', async () => {
    const { engine } = await withRights();
    const caller = identity('user', { isLive: () => !engine.keyRevoked(USER) });
    const other = engine.watch(identity('other'), { heartbeatMs: NEVER });
    await other.next();
    const ending = endOf(engine, caller);
    const following = follow(engine, caller);
    await engine.put(admin, 'a', bytes('v'));
    await engine.revoke(admin, { key: USER });
    expect(await ending).toMatchObject(UNAUTHENTICATED);
    await following;
    expect((await other.next()).value).toMatchObject({ kind: 'change' });
    await other.return();
  });

  it('that its verifier believes no more ends them when callers are looked at again', async () => {
    const { engine } = await withRights();
    let live = true;
    const caller = identity('user', { isLive: () => live });
    const ending = endOf(engine, caller);
    const following = follow(engine, caller);
    await engine.put(admin, 'a', bytes('v'));
    live = false;
    engine.recheckCallers();
    expect(await ending).toMatchObject(UNAUTHENTICATED);
    await following;
  });

  it('that was live goes on when callers are looked at again', async () => {
    const { engine } = await withRights();
    const watch = engine.watch(identity('user'), { heartbeatMs: NEVER });
    await watch.next();
    const next = watch.next();
    engine.recheckCallers();
    await engine.put(admin, 'a', bytes('v'));
    expect((await next).value).toMatchObject({ kind: 'change' });
    await watch.return();
  });

  it('that expires ends them at that moment, though nothing else happens', async () => {
    const { engine } = await withRights();
    const expiring = () => identity('user', { expiresAt: new Date(Date.now() + 200) });
    const caller = expiring();
    await Promise.all([endOf(engine, caller), follow(engine, caller)]).then(([end]) =>
      expect(end).toMatchObject(UNAUTHENTICATED),
    );
  });

  it('that has ended opens no watch, and is not read to from the audit log', async () => {
    const { engine } = await withRights();
    for (const caller of [
      identity('user', { isLive: () => false }),
      identity('user', { expiresAt: new Date(Date.now() - 1) }),
    ]) {
      const told = [];
      for await (const { kind } of engine.watch(caller, { heartbeatMs: NEVER })) told.push(kind);
      expect(told).toEqual(['ready', 'end']);
      const reading = engine.audit(caller, {});
      await expect(reading.next()).rejects.toMatchObject({ code: 'access_denied' });
    }
  });

  it.each<[string, (engine: Engine, caller: Caller) => Promise<unknown>]>([
    ['put', (e, c) => e.put(c, 'a', bytes('w'))],
    ['activate', (e, c) => e.activate(c, 'a', 1)],
    ['delete', (e, c) => e.delete(c, 'a')],
    ['policy', (e, c) => e.applyPolicy(c, [])],
    ['token', (e, c) => e.createToken(c, { name: 'stays' })],
    ['revocation', (e, c) => e.revoke(c, { jti: 'J' })],
    ['lifting', (e, c) => e.liftRevocation(c, '0123456789abcdef')],
    ['rotation', (e, c) => e.rotateKeys(c, { root: true })],
  ])('that ends while its %s waits for its turn does not make it', async (_, change) => {
    const { engine, stateDir } = await withRights();
    await engine.put(admin, 'a', bytes('v'));
    let live = true;
    const caller = identity('user', { isLive: () => live });
    // Those before it have the locks.
    const before = [
      engine.put(admin, 'a', bytes('v')),
      engine.revoke(admin, { jti: 'before' }),
      engine.rotateKeys(admin, { root: true }),
    ];
    const changing = codeOf(change(engine, caller));
    live = false;
    expect(await changing).toBe('access_denied');
    await Promise.all(before);
    const { id } = caller.principals[0];
    const entries = (await auditEntries(stateDir)).filter(({ principal }) => principal?.id === id);
    expect(entries).toMatchObject([{ authorized: false }]);
  });

  it('of a token that is revoked while its change waits for its turn does not make it', async () => {
    const { engine } = await withRights();
    await engine.put(admin, 'a', bytes('first'));
    const { token, info } = await engine.createToken(admin, { name: 'leaked' });
    await engine.applyPolicy(admin, [{ to: ['token:*'], actions: ['put'], secrets: ['*'] }]);
    const principal = engine.authenticateToken(token) as Principal;
    const caller: Caller = { principals: [principal], address: '192.0.2.7' };
    const puts = Array.from({ length: 100 }, (_, index) => engine.put(caller, 'a', bytes(`${index}`)));
    const settled = Promise.allSettled(puts);
    await engine.revokeToken(admin, info.id);
    const { versions } = await engine.info(admin, 'a');
    const codes = (await settled).map((outcome) => outcome.status === 'rejected' && outcome.reason.code);
    expect(codes.at(-1)).toBe('access_denied');
    // One may have been under way.
    expect((await engine.info(admin, 'a')).versions.length).toBeLessThanOrEqual(versions.length + 1);
  });
});
