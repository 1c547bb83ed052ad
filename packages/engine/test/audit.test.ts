import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import type { Caller, Engine } from '../src/index.js';
import { type AuditLine, auditEntries, auditLines, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, createSigner, openEngine, temporaryFolder, token } from './support.js';

const alice = token('alice');

/** Every verb, changed and unchanged, allowed and denied, and two restarts in between. */
async function mixedWork() {
  let opened = await openEngine();
  const { folder, stateDir } = opened;
  const reopen = async () => {
    await opened.engine.close();
    opened = await openEngine(folder);
  };
  await opened.engine.put(admin, 'a', bytes('one'));
  await opened.engine.put(admin, 'a', bytes('two'), { operation: 'op-1' });
  await opened.engine.put(admin, 'a', bytes('two'), { operation: 'op-1' });
  await reopen();
  await Promise.all([
    ...Array.from({ length: 8 }, (_, index) => opened.engine.put(admin, `b${index}`, bytes('v'))),
    ...Array.from({ length: 8 }, () => opened.engine.get(admin, 'a')),
    codeOf(opened.engine.get(alice, 'a')),
  ]);
  await opened.engine.activate(admin, 'a', 2);
  await opened.engine.deleteVersion(admin, 'a', 1);
  await codeOf(opened.engine.deleteVersion(admin, 'a', 2));
  await opened.engine.applyPolicy(admin, [{ to: ['token:alice'], actions: ['get'], secrets: ['a'] }]);
  await opened.engine.get(alice, 'a');
  await reopen();
  await opened.engine.delete(admin, 'a');
  await opened.engine.list(admin);
  await opened.engine.close();
  const { engine } = opened;
  return { engine, folder, stateDir, path: auditPath(stateDir), lines: await auditLines(stateDir) };
}

const sha256 = (line: string) => createHash('sha256').update(line).digest('hex');

/** Entries of one verb, as [phase, secretVersion, error]. */
const told = (entries: AuditLine[], action: string) =>
  entries
    .filter((entry) => entry.action === action)
    .map(({ phase, secretVersion, error }) => [phase, secretVersion, error]);

describe('a log', () => {
  it('of mixed work and restarts verifies, with no intent left open', async () => {
    const { engine, path, lines } = await mixedWork();
    const verdict = await verifyLog(path, engine);
    expect(verdict).toEqual({
      entries: lines.length,
      // One at each opening and each closing.
      checkpoints: 6,
      first: 1,
      firstTime: (JSON.parse(lines[0] as string) as AuditLine).time,
      lastTime: (JSON.parse(lines.at(-1) as string) as AuditLine).time,
      signed: lines.length,
      head: { seq: lines.length, hash: sha256(lines.at(-1) as string) },
      storeId: engine.storeId,
      key: engine.serverKey,
      openIntents: [],
      remarks: [],
      known: [],
    });
  });

  it('verifies while the engine runs', async () => {
    const { engine, stateDir } = await openEngine();
    await Promise.all(Array.from({ length: 20 }, () => engine.put(admin, 'a', bytes(`${Math.random()}`))));
    const verdict = await verifyLog(auditPath(stateDir), engine);
    expect(verdict).toMatchObject({ openIntents: [], entries: 41 });
    expect(verdict.broken).toBeUndefined();
  });

  it('numbers its lines from 1 and carries the hash of each line’s exact bytes', async () => {
    const { lines } = await mixedWork();
    let prev = '0'.repeat(64);
    for (const [index, line] of lines.entries()) {
      const entry = JSON.parse(line) as AuditLine;
      expect(entry.seq).toBe(index + 1);
      expect(entry.prev).toBe(prev);
      prev = sha256(line);
    }
  });

  it('is signed every 10,000 entries at least', async () => {
    const { engine, stateDir } = await openEngine();
    for (let round = 0; round < 21; round++) {
      await Promise.all(Array.from({ length: 1_000 }, () => engine.list(admin)));
    }
    const verdict = await verifyLog(auditPath(stateDir), engine);
    expect(verdict).toMatchObject({ entries: 21_003, checkpoints: 3 });
    expect(verdict.broken).toBeUndefined();
  });

  it('is readable by its owner only', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.list(admin);
    expect((await stat(auditPath(stateDir))).mode & 0o777).toBe(0o600);
    expect((await stat(join(stateDir, 'audit'))).mode & 0o777).toBe(0o700);
  });
});

describe('who changes a log is found out', () => {
  it('by any edit, removal, repetition or exchange of lines but at the very end', async () => {
    const { engine, path, lines } = await mixedWork();
    const last = lines.length - 1;
    const at = fc.nat({ max: last - 1 });
    const edit = fc.oneof(
      fc.record({ kind: fc.constant('edit'), at, byte: fc.nat(), to: fc.integer({ min: 0x20, max: 0x7e }) }),
      fc.record({ kind: fc.constant('insert'), at, byte: fc.nat(), to: fc.integer({ min: 0, max: 0xff }) }),
      fc.record({ kind: fc.constant('cut'), at, byte: fc.nat(), to: fc.nat({ max: 9 }) }),
      fc.record({ kind: fc.constant('remove'), at, byte: fc.nat(), to: fc.constant(0) }),
      fc.record({ kind: fc.constant('repeat'), at, byte: fc.nat(), to: fc.constant(0) }),
      fc.record({ kind: fc.constant('exchange'), at, byte: fc.nat(), to: fc.nat({ max: last }) }),
    );
    await fc.assert(
      fc.asyncProperty(edit, async ({ kind, at, byte, to }) => {
        const changed: Buffer[] = lines.map((line) => Buffer.from(line));
        const line = changed[at] as Buffer;
        const where = byte % line.length;
        if (kind === 'edit') line[where] = to;
        if (kind === 'insert') {
          changed[at] = Buffer.concat([line.subarray(0, where), Buffer.of(to), line.subarray(where)]);
        }
        if (kind === 'cut')
          changed[at] = Buffer.concat([line.subarray(0, where), line.subarray(where + 1 + to)]);
        if (kind === 'remove') changed.splice(at, 1);
        if (kind === 'repeat') changed.splice(at, 0, line);
        if (kind === 'exchange') [changed[at], changed[to]] = [changed[to] as Buffer, line];
        const content = Buffer.concat(changed.flatMap((one) => [one, Buffer.from('\n')]));
        fc.pre(!content.equals(Buffer.from(`${lines.join('\n')}\n`)));
        await writeFile(path, content);
        const verdict = await verifyLog(path, engine);
        expect(verdict.broken).toBeDefined();
      }),
      { numRuns: 400 },
    );
  });

  it('by a cut or changed end, if the last number and hash were kept elsewhere', async () => {
    const { engine, path, lines } = await mixedWork();
    const { head } = await verifyLog(path, engine);
    const known = { ...head, from: 'a note' };
    for (let kept = 0; kept < lines.length; kept++) {
      await writeFile(
        path,
        lines
          .slice(0, kept)
          .map((line) => `${line}\n`)
          .join(''),
      );
      expect(await verifyLog(path, engine)).toMatchObject({ entries: kept, head: { seq: kept } });
      const verdict = await verifyLog(path, engine, [known]);
      expect(verdict.broken).toMatchObject({
        line: kept + 1,
        reason: expect.stringContaining('was cut off'),
      });
    }
    const end = lines.at(-1) as string;
    for (let at = 0; at < end.length; at++) {
      const changed = `${end.slice(0, at)}${end[at] === '0' ? '1' : '0'}${end.slice(at + 1)}`;
      await writeFile(path, `${[...lines.slice(0, -1), changed].join('\n')}\n`);
      expect((await verifyLog(path, engine, [known])).broken).toMatchObject({ line: lines.length });
    }
  });

  it('by a line that is cut off', async () => {
    const { engine, path, lines } = await mixedWork();
    const content = lines.join('\n');
    for (const length of [content.length, content.length - 1, content.length - 100]) {
      await writeFile(path, content.slice(0, length));
      expect((await verifyLog(path, engine)).broken).toMatchObject({ line: lines.length });
    }
  });

  /** The log with one entry changed and everything after it chained anew, as who has no signing key can. */
  function rechained(lines: string[], from: number, rewrite: (entry: AuditLine) => AuditLine): string {
    let prev = from === 0 ? '0'.repeat(64) : sha256(lines[from - 1] as string);
    const forged = lines.slice(from).map((line, index) => {
      const entry = JSON.parse(line) as AuditLine;
      const text = JSON.stringify({ ...(index === 0 ? rewrite(entry) : entry), prev });
      prev = sha256(text);
      return text;
    });
    return `${[...lines.slice(0, from), ...forged].join('\n')}\n`;
  }

  it('by the next signature, if all that follows the change is chained anew', async () => {
    const { engine, path, lines } = await mixedWork();
    const entries = lines.map((line) => JSON.parse(line) as AuditLine);
    for (const [from, { action }] of entries.entries()) {
      if (action === 'checkpoint') continue;
      await writeFile(
        path,
        rechained(lines, from, (entry) => ({ ...entry, secret: 'forged' })),
      );
      const next = entries.findIndex((entry, index) => index > from && entry.action === 'checkpoint');
      const verdict = await verifyLog(path, engine);
      expect(verdict.broken).toMatchObject({ line: next + 1, reason: "its signature is not the server's" });
      expect(verdict.signed).toBeLessThan(from + 1);
    }
  });

  it.each<[string, (entry: AuditLine) => AuditLine]>([
    ['a number', (entry) => ({ ...entry, openSince: 1_000 })],
    ['a generation', (entry) => ({ ...entry, generation: 1_000 })],
    ['no signature', ({ signature: _, ...entry }) => entry as unknown as AuditLine],
    ['a signature that is no text', (entry) => ({ ...entry, signature: 7 })],
    ['a short signature', (entry) => ({ ...entry, signature: 'AAAA' })],
    ['no key', ({ key: _, ...entry }) => entry as unknown as AuditLine],
    ['a key that is none', (entry) => ({ ...entry, key: 'N' })],
    [
      'the signature of another key',
      (entry) => {
        const { publicKey, sign } = createSigner(Buffer.alloc(32, 7));
        return {
          ...entry,
          key: publicKey,
          signature: Buffer.from(sign(bytes('anything'))).toString('base64'),
        };
      },
    ],
  ])('by a checkpoint with %s', async (_, rewrite) => {
    const { engine, path, lines } = await mixedWork();
    const broken = { line: lines.length, reason: "its signature is not the server's" };
    await writeFile(path, rechained(lines, lines.length - 1, rewrite));
    expect((await verifyLog(path, engine)).broken).toMatchObject(broken);
  });

  it('by the seq of the last signature, if unsigned lines are added', async () => {
    const { engine, path, lines } = await mixedWork();
    const forged = { ...(JSON.parse(lines[1] as string) as AuditLine), seq: lines.length + 1 };
    const line = JSON.stringify({ ...forged, prev: sha256(lines.at(-1) as string) });
    await writeFile(path, `${[...lines, line].join('\n')}\n`);
    const verdict = await verifyLog(path, engine);
    expect(verdict).toMatchObject({ entries: lines.length + 1, signed: lines.length });
  });

  it('by the signatures of another store', async () => {
    const { path } = await mixedWork();
    const { engine: other, stateDir } = await openEngine();
    await other.close();
    expect((await verifyLog(path, other)).broken).toMatchObject({ line: 1 });
    // The other store goes on with the foreign log: its own signatures come after.
    await writeFile(auditPath(stateDir), await readFile(path));
    expect((await verifyLog(auditPath(stateDir), other)).broken).toMatchObject({ line: 1 });
  });

  it('by a signature of the same key for another store', async () => {
    const { engine, path } = await mixedWork();
    const elsewhere = { serverKey: engine.serverKey, storeId: 'f'.repeat(32) };
    expect((await verifyLog(path, elsewhere)).broken).toMatchObject({ line: 1 });
  });

  it.each(['null', '5', '"text"', '[]', '{}', '', '{"seq":1'])('by a line such as %j', async (line) => {
    const { engine, path, lines } = await mixedWork();
    await writeFile(path, `${[line, ...lines.slice(1)].join('\n')}\n`);
    expect((await verifyLog(path, engine)).broken).toMatchObject({ line: 1 });
    await writeFile(path, `${[...lines, line].join('\n')}\n`);
    expect((await verifyLog(path, engine)).broken).toMatchObject({ line: lines.length + 1 });
  });
});

describe('an entry', () => {
  const withGrants = async () => {
    const opened = await openEngine();
    await opened.engine.applyPolicy(admin, [
      {
        to: ['token:alice'],
        actions: ['get', 'info', 'put', 'create-version', 'activate', 'delete'],
        secrets: ['*'],
      },
    ]);
    return opened;
  };
  const secretEntries = async (stateDir: string) =>
    (await auditEntries(stateDir)).filter(({ action }) => action !== 'apply-policy');

  it('has setec’s fields, and says who it was beyond names', async () => {
    const { engine, stateDir } = await withGrants();
    await engine.put(alice, 'a', bytes('v'));
    await engine.get(alice, 'a', 1);
    const line = (await auditLines(stateDir)).at(-1) as string;
    const { time, prev, ...entry } = JSON.parse(line) as AuditLine;
    expect(new Date(time).toISOString()).toBe(time);
    expect(prev).toMatch(/^[0-9a-f]{64}$/);
    expect({ ...entry, id: undefined }).toEqual({
      id: undefined,
      seq: entry.seq,
      principal: { id: 'token:alice', kind: 'nats', user: 'name of alice', ip: '192.0.2.7' },
      action: 'get',
      authorized: true,
      secret: 'a',
      secretVersion: 1,
    });
  });

  it('names all of a caller’s principals, and no address of the admin socket', async () => {
    const { engine, stateDir } = await openEngine();
    const caller: Caller = {
      principals: [...admin.principals, { id: 'token:group', kind: 'token', name: 'group' }],
      address: 'unix',
    };
    await engine.list(caller);
    const [entry] = await auditEntries(stateDir);
    expect(entry?.principal).toEqual({ id: 'socket', kind: 'socket', user: 'socket', also: ['token:group'] });
  });

  it('has a random unsigned 64-bit id, in digits', async () => {
    const { engine, stateDir } = await openEngine();
    await Promise.all(Array.from({ length: 600 }, () => engine.list(admin)));
    const ids = (await auditLines(stateDir)).map((line) => BigInt(/^\{"id":(\d+),/.exec(line)?.[1] ?? '-1'));
    expect(ids.every((id) => id >= 0n && id < 2n ** 64n)).toBe(true);
    expect(ids.some((id) => id >= 2n ** 63n)).toBe(true);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('has the time of the engine’s clock', async () => {
    const { engine, stateDir } = await openEngine(undefined, {
      now: () => new Date('2031-02-03T04:05:06.789Z'),
    });
    await engine.list(admin);
    expect((await auditEntries(stateDir))[0]?.time).toBe('2031-02-03T04:05:06.789Z');
  });

  it('is one for a read, with a version only where the request stated one', async () => {
    const { engine, stateDir } = await withGrants();
    await engine.createVersion(admin, 'a', 4, bytes('v'));
    const before = (await secretEntries(stateDir)).length;
    await engine.get(alice, 'a');
    await engine.get(alice, 'a', 4);
    await engine.info(alice, 'a');
    await engine.list(alice);
    await engine.getIfChanged(alice, 'a', 1);
    const entries = (await secretEntries(stateDir)).slice(before);
    expect(entries.map(({ action, secret, secretVersion }) => [action, secret, secretVersion])).toEqual([
      ['get', 'a', undefined],
      ['get', 'a', 4],
      ['info', 'a', undefined],
      ['info', undefined, undefined],
      ['get', 'a', undefined],
    ]);
    expect(entries.every(({ authorized, phase }) => authorized && phase === undefined)).toBe(true);
  });

  it('is none for a conditional get of what the caller has, but one if it is refused', async () => {
    const { engine, stateDir } = await withGrants();
    await engine.put(admin, 'a', bytes('v'));
    const before = (await auditLines(stateDir)).length;
    expect(await engine.getIfChanged(alice, 'a', 1)).toBeUndefined();
    expect(await auditLines(stateDir)).toHaveLength(before);
    await codeOf(engine.getIfChanged(token('bob'), 'a', 1));
    await codeOf(engine.getIfChanged(alice, 'nothing', 1));
    const entries = (await secretEntries(stateDir)).slice(-2);
    expect(entries.map(({ authorized, error }) => [authorized, error])).toEqual([
      [false, undefined],
      [true, 'not_found'],
    ]);
  });

  it.each<[string, string, number | undefined, (e: Engine) => Promise<unknown>]>([
    ['put', 'put', undefined, (e) => e.put(alice, 'a', bytes('new'))],
    ['create-version', 'create-version', 9, (e) => e.createVersion(alice, 'a', 9, bytes('new'))],
    ['activate', 'activate', 2, (e) => e.activate(alice, 'a', 2)],
    ['delete-version', 'delete', 2, (e) => e.deleteVersion(alice, 'a', 2)],
    ['delete', 'delete', undefined, (e) => e.delete(alice, 'a')],
  ])('of %s is an intent and then its outcome', async (_, action, version, run) => {
    const { engine, stateDir } = await withGrants();
    await engine.createVersion(admin, 'a', 1, bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    const before = (await auditLines(stateDir)).length;
    await run(engine);
    const entries = (await auditLines(stateDir)).slice(before).map((line) => JSON.parse(line) as AuditLine);
    const [intent, outcome] = entries;
    expect(entries).toHaveLength(2);
    expect(intent).toMatchObject({ action, phase: 'intent', secret: 'a', authorized: true });
    expect(outcome).toMatchObject({ action, phase: 'outcome', secret: 'a', intent: intent?.seq });
    expect(entries.map(({ secretVersion }) => secretVersion)).toEqual([version, version]);
    expect(intent?.operation).toBe(outcome?.operation);
    expect(entries.map(({ error }) => error)).toEqual([undefined, undefined]);
  });

  it('is one, and no intent, for a change that changes nothing', async () => {
    const { engine, stateDir } = await withGrants();
    await engine.put(admin, 'a', bytes('one'));
    const before = (await secretEntries(stateDir)).length;
    await engine.put(alice, 'a', bytes('one'));
    await engine.activate(alice, 'a', 1);
    await engine.delete(alice, 'nothing');
    await codeOf(engine.createVersion(alice, 'a', 1, bytes('two')));
    await codeOf(engine.activate(alice, 'a', 7));
    await codeOf(engine.deleteVersion(alice, 'a', 1));
    const entries = (await secretEntries(stateDir)).slice(before);
    expect(told(entries, 'put')).toEqual([[undefined, undefined, undefined]]);
    expect(told(entries, 'activate')).toEqual([
      [undefined, 1, undefined],
      [undefined, 7, 'not_found'],
    ]);
    expect(told(entries, 'create-version')).toEqual([[undefined, 1, 'version_taken']]);
    expect(told(entries, 'delete')).toEqual([
      [undefined, undefined, undefined],
      [undefined, 1, 'active_version'],
    ]);
  });

  it('is one for each denied request, with the same fields whether the name exists or not', async () => {
    const { engine, stateDir } = await openEngine();
    await engine.put(admin, 'known', bytes('v'));
    const before = (await auditLines(stateDir)).length;
    for (const name of ['known', 'unknown']) {
      await codeOf(engine.get(alice, name, 3));
      await codeOf(engine.info(alice, name));
      await codeOf(engine.put(alice, name, bytes('w')));
      await codeOf(engine.createVersion(alice, name, 3, bytes('w')));
      await codeOf(engine.activate(alice, name, 3));
      await codeOf(engine.deleteVersion(alice, name, 3));
      await codeOf(engine.delete(alice, name));
    }
    const entries = (await auditLines(stateDir)).slice(before).map((line) => JSON.parse(line) as AuditLine);
    expect(entries).toHaveLength(14);
    for (const { authorized, phase, error } of entries) {
      expect([authorized, phase, error]).toEqual([false, undefined, undefined]);
    }
    const fields = entries.map((entry) => [Object.keys(entry).join(), entry.action, entry.secretVersion]);
    expect(fields.slice(0, 7)).toEqual(fields.slice(7));
  });

  it('is none for a request that is no request', async () => {
    const { engine, stateDir } = await openEngine();
    const before = (await auditLines(stateDir)).length;
    await codeOf(engine.createVersion(admin, 'a', 0, bytes('v')));
    await codeOf(engine.get(admin, ''));
    await codeOf(engine.put(admin, '_internal/x', bytes('v')));
    expect(await auditLines(stateDir)).toHaveLength(before);
  });

  it('is in the file before anything is answered', async () => {
    const { engine, stateDir } = await withGrants();
    await engine.put(admin, 'a', bytes('v'));
    /** The last line at the very moment of the answer. */
    const atAnswer = async (request: Promise<unknown>): Promise<AuditLine> => {
      const read = () => readFileSync(auditPath(stateDir), 'utf8').trimEnd().split('\n').at(-1) as string;
      return JSON.parse(await request.then(read, read)) as AuditLine;
    };
    expect(await atAnswer(engine.get(alice, 'a'))).toMatchObject({ action: 'get', secret: 'a' });
    expect(await atAnswer(engine.info(alice, 'a'))).toMatchObject({ action: 'info', secret: 'a' });
    expect(await atAnswer(engine.list(alice))).toMatchObject({ action: 'info' });
    expect(await atAnswer(engine.put(alice, 'b', bytes('v')))).toMatchObject({
      action: 'put',
      phase: 'outcome',
    });
    expect(await atAnswer(engine.put(alice, 'b', bytes('v')))).toMatchObject({ action: 'put', secret: 'b' });
    expect(await atAnswer(engine.delete(alice, 'b'))).toMatchObject({ action: 'delete', phase: 'outcome' });
    expect(await atAnswer(engine.get(token('bob'), 'a'))).toMatchObject({ authorized: false, secret: 'a' });
    expect(await atAnswer(engine.get(alice, 'none'))).toMatchObject({ error: 'not_found', secret: 'none' });
    expect(await atAnswer(engine.createToken(admin, { name: 'x' }))).toMatchObject({
      action: 'create-token',
    });
    expect(await atAnswer(engine.listTokens(admin))).toMatchObject({ action: 'list-tokens' });
  });

  it('keeps any name as it is, on a line of its own', async () => {
    const { engine, folder, stateDir } = await openEngine();
    const names = [
      'new\nline',
      'carriage\r\nreturn',
      'line\u2028separator',
      'paragraph\u2029separator',
      'next\u0085line',
      'quote " and \\ backslash',
      '"},{"seq":1,"action":"checkpoint',
      'nul \0 and bell \u0007',
      'emoji \u{1f511}\u{1f468}\u200d\u{1f469}',
      '\ufeffbyte order mark',
      '</script>',
      '\u202eright to left',
    ];
    for (const name of names) await engine.put(admin, name, bytes('v'));
    const before = await auditEntries(stateDir);
    expect(before.filter(({ phase }) => phase === 'intent').map(({ secret }) => secret)).toEqual(names);
    await engine.close();
    const { engine: reopened } = await openEngine(folder);
    expect((await reopened.list(admin)).map(({ name }) => name).sort()).toEqual([...names].sort());
    const verdict = await verifyLog(auditPath(stateDir), reopened);
    expect(verdict.broken).toBeUndefined();
    expect(verdict.entries).toBe((await auditLines(stateDir)).length);
  });
});

describe('a log that cannot be', () => {
  it.each(['not JSON', 'null', '{"seq":"1","action":"get"}', '{"seq":1}', ''])(
    'trusted, with a last line such as %j, keeps the engine from opening',
    async (line) => {
      const { folder, path, lines } = await mixedWork();
      await writeFile(path, `${[...lines, line].join('\n')}\n`);
      expect(await codeOf(openEngine(folder))).toBe('audit_broken');
      await writeFile(path, `${lines.join('\n')}\n`);
      const { engine } = await openEngine(folder);
      expect((await verifyLog(path, engine)).broken).toBeUndefined();
    },
  );

  it('written keeps the engine from opening', async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, 'state', 'audit', 'audit.log'), { recursive: true });
    expect(await codeOf(openEngine(folder))).toBe('io');
  });
});
