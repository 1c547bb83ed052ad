import { describe, expect, it } from 'vitest';

import type { AuditQuery, Caller, Engine } from '../src/index.js';
import { type AuditLine, auditEntries, auditLines } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, token } from './support.js';

const alice = token('alice');
const ADMINISTRATION = { to: ['token:alice'], actions: ['admin'], secrets: ['*'] } as const;

/** All lines of a reading that ends by itself. */
async function linesOf(engine: Engine, query: AuditQuery = {}, caller: Caller = admin): Promise<string[]> {
  const pieces: Buffer[] = [];
  for await (const piece of engine.audit(caller, query)) pieces.push(Buffer.from(piece));
  return Buffer.concat(pieces).toString().split('\n').slice(0, -1);
}

const entriesOf = async (...args: Parameters<typeof linesOf>) =>
  (await linesOf(...args)).map((line) => JSON.parse(line) as AuditLine);

/** Lines of a reading that follows, one at a time. */
async function* follow(engine: Engine, query: AuditQuery = {}, signal?: AbortSignal, caller: Caller = admin) {
  const options = { heartbeatMs: 100, ...(signal && { signal }) };
  for await (const piece of engine.audit(caller, { ...query, follow: true }, options)) {
    for (const line of Buffer.from(piece).toString().split('\n').slice(0, -1)) {
      yield line === '' ? undefined : (JSON.parse(line) as AuditLine);
    }
  }
}

/** The next line that is no sign of life. */
async function nextOf(lines: AsyncGenerator<AuditLine | undefined>): Promise<AuditLine | 'end'> {
  for (;;) {
    const { done, value } = await lines.next();
    if (done) return 'end';
    if (value) return value;
  }
}

describe('a reading', () => {
  it('gives the exact lines that were there when it was asked for, and stands in the log itself', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'new\nline', bytes('v'));
    const before = await auditLines(stateDir);
    expect(await linesOf(engine)).toEqual(before);
    const entries = await auditEntries(stateDir);
    expect(entries.at(-1)).toMatchObject({
      action: 'read-audit',
      principal: { id: 'socket' },
      target: 'all',
    });
    await linesOf(engine, { from: 2, action: 'get', secret: 'a b*' });
    expect((await auditEntries(stateDir)).at(-1)?.target).toBe('from=2&action=get&secret=a+b*');
  });

  it('is for unscoped administrators only, and a refusal is logged', async () => {
    const { engine, stateDir } = await openEngine();
    expect(await codeOf(linesOf(engine, {}, alice))).toBe('access_denied');
    expect(await codeOf(engine.auditHead(alice))).toBe('access_denied');
    await engine.applyPolicy(admin, [{ ...ADMINISTRATION, secrets: ['prod/*'] }]);
    expect(await codeOf(linesOf(engine, {}, alice))).toBe('access_denied');
    const denied = (await auditEntries(stateDir)).filter(({ authorized }) => !authorized);
    expect(denied.map(({ action, target }) => [action, target])).toEqual([
      ['read-audit', 'all'],
      ['read-audit', 'head'],
      ['read-audit', 'all'],
    ]);
  });

  it('begins at a line, or so many before the end, in whatever file that is', async () => {
    const { engine } = await openEngine(undefined, { audit: { segmentBytes: 4_096 } });
    for (let i = 0; i < 30; i++) await engine.put(admin, 'a', bytes(`v${i}`));
    const all = await entriesOf(engine);
    for (const from of [1, 2, 17, 40, all.length]) {
      expect((await entriesOf(engine, { from }))[0]?.seq).toBe(from);
    }
    const last = await entriesOf(engine, { last: 25 });
    expect(last).toHaveLength(25);
    expect(last.map(({ seq }) => seq)).toEqual(last.map((_, index) => (last[0]?.seq ?? 0) + index));
    expect(await entriesOf(engine, { from: 100_000 })).toEqual([]);
    expect((await entriesOf(engine, { last: 100_000 }))[0]?.seq).toBe(1);
    expect(await codeOf(linesOf(engine, { from: 1, last: 1 }))).toBe('invalid_argument');
  });

  it('can be narrowed by principal, secret, action and time', async () => {
    let now = new Date('2031-01-01T00:00:00Z');
    const { engine } = await openEngine(undefined, { now: () => now, audit: { segmentBytes: 4_096 } });
    await engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['get', 'put'], secrets: ['prod/*'] }]);
    for (let hour = 0; hour < 48; hour++) {
      now = new Date(Date.UTC(2031, 0, 1, hour, 30));
      await engine.put(alice, `prod/${hour % 2}`, bytes(`${hour}`));
      await engine.get(admin, `prod/${hour % 2}`);
      await codeOf(engine.get(alice, 'dev/x'));
    }
    const found = async (query: AuditQuery) =>
      (await entriesOf(engine, query)).filter(({ action }) => !['checkpoint', 'read-audit'].includes(action));
    expect(await found({ principal: 'token:alice' })).toHaveLength(48 * 3);
    expect(await found({ principal: 'name of alice', action: 'get' })).toHaveLength(48);
    expect(await found({ principal: 'alice' })).toEqual([]);
    expect(await found({ secret: 'prod/1', action: 'put' })).toHaveLength(48);
    expect(await found({ secret: '*/1' })).toHaveLength(72);
    const day = { since: new Date('2031-01-02T00:00:00Z'), until: new Date('2031-01-02T11:59:59Z') };
    expect(await found({ ...day, action: 'put' })).toHaveLength(24);
    expect(
      (await found({ ...day, action: 'get', secret: 'dev/*' })).map(({ authorized }) => authorized),
    ).toEqual(Array.from({ length: 12 }, () => false));
    const moment = new Date('2031-01-02T03:30:00.000Z');
    expect(await found({ since: moment, until: moment })).toHaveLength(4);
  });

  it('does not keep others waiting', async () => {
    const { engine } = await openEngine();
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 1_000 }, () => engine.list(admin)));
    }
    let turns = 0;
    let reading = true;
    const turn = () => {
      turns++;
      if (reading) setImmediate(turn);
    };
    turn();
    expect(await linesOf(engine, { secret: 'nothing' })).toEqual([]);
    reading = false;
    // Some six megabytes, a quarter of one at a time.
    expect(turns).toBeGreaterThan(20);
  });

  it('tells where the log begins and ends, with its end signed', async () => {
    const { engine, stateDir } = await openEngine(undefined, { audit: { segmentBytes: 4_096 } });
    for (let i = 0; i < 20; i++) await engine.put(admin, 'a', bytes(`${i}`));
    const { head, anchor, first } = await engine.auditHead(admin);
    expect(first).toBe(1);
    const lines = await entriesOf(engine, { from: head.seq });
    expect(lines[0]?.action).toBe('checkpoint');
    expect(anchor.seq).toBeGreaterThan(0);
    expect(anchor.seq).toBeLessThan(head.seq);
    expect((await auditEntries(stateDir)).some(({ target }) => target === 'head')).toBe(true);
  });
});

describe('who follows', () => {
  it('gets each new line once it is durable, over files that are closed meanwhile', async () => {
    const { engine } = await openEngine(undefined, { audit: { segmentBytes: 4_096 } });
    const lines = follow(engine, { from: 1 });
    const seen: number[] = [];
    const writing = (async () => {
      for (let i = 0; i < 40; i++) await engine.put(admin, 'a', bytes(`${i}`));
    })();
    while (seen.length < 80) {
      const line = await nextOf(lines);
      if (line !== 'end') seen.push(line.seq);
    }
    await writing;
    await lines.return(undefined);
    expect(seen).toEqual(seen.map((_, index) => index + 1));
  });

  it('may follow what matches only, and hears signs of life in between', async () => {
    const { engine } = await openEngine();
    const lines = follow(engine, { action: 'put', last: 1 });
    expect((await lines.next()).value).toBeUndefined();
    await engine.list(admin);
    await engine.put(admin, 'a', bytes('v'));
    expect(await nextOf(lines)).toMatchObject({ action: 'put', phase: 'intent' });
    expect(await nextOf(lines)).toMatchObject({ action: 'put', phase: 'outcome' });
    await lines.return(undefined);
  });

  it('is ended when its right is taken away, when its token is revoked or expires', async () => {
    let now = new Date();
    const { engine } = await openEngine(undefined, { now: () => now });
    const ends: ((caller: Caller) => Promise<unknown>)[] = [
      () => engine.applyPolicy(admin, []),
      ({ principals }) => engine.revokeToken(admin, principals[0].id.slice('token:'.length)),
      async () => {
        now = new Date(now.getTime() + 61_000);
      },
    ];
    for (const end of ends) {
      const made = await engine.createToken(admin, {
        name: 'x',
        expiresAt: new Date(now.getTime() + 60_000),
      });
      const principal = engine.authenticateToken(made.token);
      const caller = { principals: [principal], address: '192.0.2.7' } as Caller;
      await engine.applyPolicy(admin, [{ ...ADMINISTRATION, to: [`token:${made.info.id}`] }]);
      const lines = follow(engine, { last: 1 }, undefined, caller);
      expect(await nextOf(lines)).toMatchObject({ action: 'apply-policy' });
      await end(caller);
      let line: AuditLine | 'end';
      do line = await nextOf(lines);
      while (line !== 'end');
    }
  });

  it('is ended with the server, and leaves when it goes', async () => {
    const { engine } = await openEngine();
    const gone = new AbortController();
    const leaving = follow(engine, { last: 1 }, gone.signal);
    const staying = follow(engine, { last: 1 });
    await nextOf(leaving);
    await nextOf(staying);
    gone.abort();
    let line: AuditLine | 'end';
    do line = await nextOf(leaving);
    while (line !== 'end');
    const ended = (async () => {
      while ((await nextOf(staying)) !== 'end');
    })();
    await Promise.all([ended, engine.close()]);
    expect(await codeOf(engine.auditHead(admin))).toBe('stopped');
  });

  it('is one of 64 at the most', async () => {
    const { engine } = await openEngine();
    const all = Array.from({ length: 64 }, () => follow(engine));
    for (const lines of all) await nextOf(lines);
    expect(await codeOf(nextOf(follow(engine)))).toBe('busy');
    await all[0]?.return(undefined);
    expect(await nextOf(follow(engine, { last: 1 }))).toMatchObject({ action: 'read-audit' });
    for (const lines of all) await lines.return(undefined);
  });
});
