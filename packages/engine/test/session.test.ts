import { describe, expect, it, onTestFinished } from 'vitest';

import type { Caller, Engine } from '../src/index.js';
import { admin, bytes, identity, openEngine } from './support.js';

/** Longer than any test: whatever ends before it was not woken by a heartbeat. */
const NEVER = 60_000;
const USER = `U${'A'.repeat(55)}`;

async function withRights(): Promise<Engine> {
  const { engine } = await openEngine();
  await engine.applyPolicy(admin, [{ to: ['nats:*'], actions: ['get', 'admin'], secrets: ['*'] }]);
  return engine;
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
    const engine = await withRights();
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
    const engine = await withRights();
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
    const engine = await withRights();
    const watch = engine.watch(identity('user'), { heartbeatMs: NEVER });
    await watch.next();
    const next = watch.next();
    engine.recheckCallers();
    await engine.put(admin, 'a', bytes('v'));
    expect((await next).value).toMatchObject({ kind: 'change' });
    await watch.return();
  });

  it('that expires ends them at that moment, though nothing else happens', async () => {
    const engine = await withRights();
    const expiring = () => identity('user', { expiresAt: new Date(Date.now() + 200) });
    const caller = expiring();
    await Promise.all([endOf(engine, caller), follow(engine, caller)]).then(([end]) =>
      expect(end).toMatchObject(UNAUTHENTICATED),
    );
  });

  it('that has ended opens no watch, and is not read to from the audit log', async () => {
    const engine = await withRights();
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
});
