import { createHash } from 'node:crypto';
import { appendFile, cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { AuditLog } from '../src/audit/log.js';
import { type Engine, SERVER, type Signer } from '../src/index.js';
import { NO_ANCHOR } from '../src/integrity.js';
import { type AuditLine, auditEntries, auditLines, auditPath, verifyLog } from './audit-file.js';
import {
  admin,
  bytes,
  codeOf,
  createSigner,
  newTransitKey,
  openEngine,
  temporaryFolder,
  text,
  token,
} from './support.js';

const sha256 = (line: string | Buffer) => createHash('sha256').update(line).digest('hex');

const COMPONENT = `component:A${'A'.repeat(55)}/M${'C'.repeat(55)}`;

/** A copy of a store as a `kill -9` at this moment would leave it; nothing may be under way. */
async function crashed(folder: string): Promise<string> {
  const copy = await temporaryFolder();
  await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
  return copy;
}

const tornFiles = async (stateDir: string) =>
  (await readdir(join(stateDir, 'audit'))).filter((name) => name.startsWith('torn-'));

describe('a torn last line', () => {
  it('is set aside and recorded, wherever it was torn', async () => {
    let signer: Signer | undefined;
    const { engine, folder } = await openEngine(undefined, {
      createSigner: (seed) => {
        signer = createSigner(seed);
        return signer;
      },
    });
    await engine.put(admin, 'a', bytes('v'));
    const after = await crashed(folder);
    const path = auditPath(join(after, 'state'));
    const whole = await readFile(path);
    const start = whole.lastIndexOf('\n', whole.length - 2) + 1;
    const keep = await mkdtemp(join(tmpdir(), 'coffer-'));
    // Every place from the first byte of the last line to all of it but its newline.
    for (let end = start + 1; end < whole.length; end++) {
      const audit = join(keep, `${end}`);
      await cp(join(after, 'state', 'audit'), audit, { recursive: true });
      await truncate(join(audit, 'audit.log'), end);
      const log = await AuditLog.open(audit, {
        storeId: engine.storeId,
        signer: signer as Signer,
        generation: () => 1,
        revision: () => 3,
        witness: { anchor: NO_ANCHOR, revision: 3, generation: 1 },
        acceptRollback: false,
        now: () => new Date(),
        onFatal: (error) => expect.unreachable(error.message),
        onNotice: () => undefined,
      });
      await log.close();
      const content = await readFile(join(audit, 'audit.log'));
      expect(content.subarray(0, start)).toEqual(whole.subarray(0, start));
      const [entry] = content.subarray(start).toString().split('\n');
      const torn = whole.subarray(start, end);
      expect(JSON.parse(entry as string)).toMatchObject({
        action: 'set-aside-torn-line',
        bytes: torn.length,
        sha256: sha256(torn),
      });
      const [aside] = (await readdir(audit)).filter((name) => name.startsWith('torn-'));
      expect(await readFile(join(audit, aside as string))).toEqual(torn);
      expect((await stat(join(audit, aside as string))).mode & 0o777).toBe(0o600);
    }
    await rm(keep, { recursive: true });
  });

  it('is all that follows a page of zeros, which a power cut leaves where the page never reached the disk', async () => {
    const { engine, folder } = await openEngine();
    const names = Array.from({ length: 30 }, (_, index) => `secret ${index}`);
    for (const name of names) await engine.put(admin, name, bytes('v'));
    // More than a page, of which the store knows nothing.
    for (const name of [...names, ...names]) await engine.get(admin, name);
    const copy = await crashed(folder);
    const path = auditPath(join(copy, 'state'));
    const content = await readFile(path);
    const page = 4_096 * Math.floor(content.length / 4_096 - 1);
    content.fill(0, page, page + 4_096);
    await writeFile(path, content);
    const kept = content.subarray(0, content.lastIndexOf('\n', page) + 1);
    const { engine: reopened, notices, stateDir } = await openEngine(copy);
    expect(notices.join()).toContain(`${content.length - kept.length} bytes`);
    expect((await readFile(path)).subarray(0, kept.length)).toEqual(kept);
    expect((await reopened.list(admin)).length).toBe(names.length);
    expect(await verifyLog(auditPath(stateDir), reopened)).toMatchObject({ openIntents: [] });
  });

  it('is nothing else: a zero anywhere but in a whole lost page is damage, and the start is refused', async () => {
    const { engine, folder } = await openEngine();
    for (const name of ['a', 'b', 'c']) await engine.put(admin, name, bytes('v'));
    const copy = await crashed(folder);
    const path = auditPath(join(copy, 'state'));
    const content = await readFile(path);
    content[content.length - 700] = 0;
    await writeFile(path, content);
    expect(await codeOf(openEngine(copy))).toBe('audit_broken');
  });

  it('does not keep the engine from opening, is told to a person, and the log verifies', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    await engine.get(admin, 'a');
    const copy = await crashed(folder);
    const stateDir = join(copy, 'state');
    await truncate(auditPath(stateDir), (await stat(auditPath(stateDir))).size - 20);
    const { engine: reopened, notices } = await openEngine(copy);
    expect(text((await reopened.get(admin, 'a')).value)).toBe('v');
    expect(notices.join()).toMatch(/torn by a crash.*torn-/);
    const verdict = await verifyLog(auditPath(stateDir), reopened);
    expect(verdict.broken).toBeUndefined();
    expect(verdict.openIntents).toEqual([]);
    expect(await tornFiles(stateDir)).toHaveLength(1);
  });

  it('may be all that there is', async () => {
    const { engine, folder } = await openEngine();
    const copy = await crashed(folder);
    await truncate(auditPath(join(copy, 'state')), 10);
    const { engine: reopened } = await openEngine(copy);
    const verdict = await verifyLog(auditPath(join(copy, 'state')), reopened);
    expect(verdict).toMatchObject({ entries: 2, checkpoints: 1 });
    expect(verdict.broken).toBeUndefined();
    expect(reopened.storeId).toBe(engine.storeId);
  });

  it('may be longer than a page, and twice in a row', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    let last = await crashed(folder);
    for (const [index, torn] of ['x'.repeat(3_000_000), '\0'.repeat(5_000)].entries()) {
      await appendFile(auditPath(join(last, 'state')), torn);
      const { engine: reopened } = await openEngine(last);
      const stateDir = join(last, 'state');
      expect((await verifyLog(auditPath(stateDir), reopened)).broken).toBeUndefined();
      expect(await tornFiles(stateDir)).toHaveLength(index + 1);
      last = await crashed(last);
    }
  });
});

describe('an intent that a crash left open', () => {
  /** The log without its last lines, from the last one on that fits. */
  async function cutFrom(stateDir: string, fits: (entry: AuditLine) => boolean): Promise<AuditLine> {
    const lines = await auditLines(stateDir);
    const entries = lines.map((line) => JSON.parse(line) as AuditLine);
    const at = entries.findLastIndex(fits);
    await writeFile(
      auditPath(stateDir),
      lines
        .slice(0, at)
        .map((line) => `${line}\n`)
        .join(''),
    );
    return entries[at] as AuditLine;
  }

  /** Appends an intent as the engine would have written it before it died. */
  async function appendIntent(stateDir: string, fields: Record<string, unknown>): Promise<void> {
    const last = (await auditLines(stateDir)).at(-1) as string;
    const { seq } = JSON.parse(last) as AuditLine;
    const principal = { id: 'socket', kind: 'socket', user: 'socket' };
    const entry = { id: 1, time: new Date().toISOString(), seq: seq + 1, prev: sha256(last), principal };
    const line = JSON.stringify({ ...entry, authorized: true, phase: 'intent', ...fields });
    await appendFile(auditPath(stateDir), `${line}\n`);
  }

  const outcomes = async (stateDir: string) =>
    (await auditEntries(stateDir)).filter(({ recovered }) => recovered === true);

  const changes: [string, (engine: Engine) => Promise<unknown>][] = [
    ['put', (e) => e.put(admin, 'a', bytes('new'))],
    ['put of a new name', (e) => e.put(admin, 'b', bytes('new'))],
    ['put-and-activate', (e) => e.putAndActivate(admin, 'a', bytes('new'), undefined, { binary: true })],
    ['put-and-activate of a new name', (e) => e.putAndActivate(admin, 'b', bytes('new'))],
    ['put-and-activate of what is there', (e) => e.putAndActivate(admin, 'a', bytes('two'))],
    ['create-version', (e) => e.createVersion(admin, 'a', 9, bytes('new'))],
    ['activate', (e) => e.activate(admin, 'a', 2)],
    ['delete-version', (e) => e.deleteVersion(admin, 'a', 2)],
    ['delete', (e) => e.delete(admin, 'a')],
    [
      'prune',
      (e) => {
        e.setRetention([{ secrets: ['a'], keepDays: 1e-9 }]);
        return e.applyRetention();
      },
    ],
    ['create-token', (e) => e.createToken(admin, { name: 'x' })],
    ['apply-policy', (e) => e.applyPolicy(admin, [{ to: ['token:a'], actions: ['get'], secrets: ['a'] }])],
    ['add-transit-key', (e) => e.addTransitKey(SERVER, newTransitKey())],
    [
      'retire-transit-key',
      async (e) => {
        const old = newTransitKey();
        await e.addTransitKey(SERVER, old);
        await e.addTransitKey(admin, newTransitKey());
        await e.retireTransitKey(admin, old);
      },
    ],
    ['add-mapping', (e) => e.mapEntity(admin, COMPONENT, ['a', 'b'])],
    [
      'remove-mapping',
      async (e) => {
        await e.applyPolicy(admin, [{ to: [COMPONENT], actions: ['get'], secrets: ['a', 'b'] }]);
        await e.unmapEntity(admin, COMPONENT, ['a']);
      },
    ],
    [
      'put of a request that claims something',
      (e) => e.put({ ...admin, conditions: { application: 'shop "x"', host: 'N' } }, 'a', bytes('new')),
    ],
    ['change of the root key', (e) => e.rotateKeys(admin, { root: true })],
    [
      'destruction of a data key by the server',
      async (e) => {
        await e.rotateKeys(admin);
        const underWay = async () => (await e.keys(admin)).rotation;
        await expect.poll(underWay, { interval: 10 }).toBeUndefined();
      },
    ],
  ];

  it.each(changes)('of a %s that was made is closed without an error', async (_, run) => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.put(admin, 'a', bytes('two'));
    await run(engine);
    const copy = await crashed(folder);
    const stateDir = join(copy, 'state');
    const lost = await cutFrom(stateDir, ({ phase }) => phase === 'outcome');
    const { engine: reopened } = await openEngine(copy);
    const [closed, ...more] = await outcomes(stateDir);
    expect(more).toEqual([]);
    expect(closed).toMatchObject({
      action: lost.action,
      intent: lost.intent,
      operation: lost.operation,
      principal: lost.principal,
      recovered: true,
    });
    expect([closed?.error, closed?.secret, closed?.secretVersion, closed?.target]).toEqual([
      undefined,
      lost.secret,
      lost.secretVersion,
      lost.target,
    ]);
    expect(await verifyLog(auditPath(stateDir), reopened)).toMatchObject({ openIntents: [] });
  });

  it('of a mapping that was removed does not bring it back', async () => {
    const { engine, folder } = await openEngine();
    await engine.mapEntity(admin, COMPONENT, ['a', 'b']);
    await engine.unmapEntity(admin, COMPONENT, ['a']);
    const copy = await crashed(folder);
    await cutFrom(
      join(copy, 'state'),
      ({ action, phase }) => action === 'remove-mapping' && phase === 'outcome',
    );
    const { engine: reopened, stateDir } = await openEngine(copy);
    expect(await outcomes(stateDir)).toMatchObject([
      { action: 'remove-mapping', target: `${COMPONENT} a`, authorized: true },
    ]);
    expect(await reopened.mappings(admin)).toEqual([{ principal: COMPONENT, names: ['b'] }]);
  });

  it.each([
    'put',
    'put-and-activate',
    'delete',
    'apply-policy',
    'create-token',
    'add-mapping',
    'remove-mapping',
    'retire-transit-key',
  ])('of a %s that was not made is closed as such', async (action) => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await engine.close();
    const isOfSecret = action.startsWith('put') || action === 'delete';
    const about = isOfSecret ? { secret: 'a' } : { target: '1 grant' };
    await appendIntent(stateDir, { action, operation: 'never-made', ...about });
    const { engine: reopened } = await openEngine(folder);
    expect(await outcomes(stateDir)).toMatchObject([
      { action, operation: 'never-made', error: 'not_made', ...about },
    ]);
    expect((await verifyLog(auditPath(stateDir), reopened)).openIntents).toEqual([]);
    expect((await reopened.info(admin, 'a')).versions).toEqual([1]);
  });

  it('is not taken for made because another principal used the same operation id', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('one'), { operation: 'same-id' });
    await engine.close();
    await appendIntent(stateDir, {
      action: 'put',
      operation: 'same-id',
      secret: 'a',
      principal: { id: 'token:bob', kind: 'token', user: 'bob' },
    });
    await openEngine(folder);
    expect(await outcomes(stateDir)).toMatchObject([{ principal: { id: 'token:bob' }, error: 'not_made' }]);
  });

  it('is closed once, and not again at the next start', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.close();
    await appendIntent(stateDir, { action: 'put', operation: 'op', secret: 'a' });
    for (let start = 0; start < 3; start++) {
      const { engine: reopened } = await openEngine(folder);
      await reopened.list(admin);
      await reopened.close();
      expect(await outcomes(stateDir)).toHaveLength(1);
    }
  });

  it('is found again if the process dies before it could close it', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.close();
    await appendIntent(stateDir, { action: 'put', operation: 'op-1', secret: 'a' });
    await openEngine(folder);
    const copy = await crashed(folder);
    const after = join(copy, 'state');
    // The checkpoint of the second start says since when an intent is open; its outcome is cut off.
    await cutFrom(after, ({ recovered }) => recovered === true);
    await appendIntent(after, { action: 'delete', operation: 'op-2', secret: 'b' });
    const { engine: third } = await openEngine(copy);
    expect((await outcomes(after)).map(({ operation }) => operation)).toEqual(['op-1', 'op-2']);
    expect((await verifyLog(auditPath(after), third)).openIntents).toEqual([]);
  });

  it('is closed for each of many that were under way at once', async () => {
    const { engine, folder } = await openEngine();
    await Promise.all(Array.from({ length: 30 }, (_, index) => engine.put(admin, `a${index}`, bytes('v'))));
    const copy = await crashed(folder);
    const stateDir = join(copy, 'state');
    const lines = await auditLines(stateDir);
    const intents = lines.findLastIndex((line) => (JSON.parse(line) as AuditLine).phase === 'intent') + 1;
    await writeFile(
      auditPath(stateDir),
      lines
        .slice(0, intents)
        .map((line) => `${line}\n`)
        .join(''),
    );
    // A commit of the second batch knows outcomes of the first, which are cut off here as no crash would.
    const { engine: reopened } = await openEngine(copy, { acceptRollback: true });
    const closed = await outcomes(stateDir);
    expect(closed.length).toBeGreaterThan(0);
    expect(closed.every(({ error }) => error === undefined)).toBe(true);
    expect(await verifyLog(auditPath(stateDir), reopened)).toMatchObject({ openIntents: [] });
  });

  it('may be about a name of any signs', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.close();
    const secret = 'new\nline \u2028 "quote" \u{1f511}';
    await appendIntent(stateDir, { action: 'put', operation: 'op', secret });
    await openEngine(folder);
    expect(await outcomes(stateDir)).toMatchObject([{ secret, error: 'not_made' }]);
  });
});

describe('a log that was cut', () => {
  it('at any line, if that is accepted, opens, verifies, and nothing stays open', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    await Promise.all(['two', 'three', 'four'].map((value) => engine.put(admin, 'a', bytes(value))));
    await codeOf(engine.get(token('alice'), 'a'));
    await engine.delete(admin, 'a');
    const last = await crashed(folder);
    const lines = await auditLines(join(last, 'state'));
    for (let kept = 1; kept <= lines.length; kept++) {
      const copy = await crashed(last);
      const stateDir = join(copy, 'state');
      await writeFile(
        auditPath(stateDir),
        lines
          .slice(0, kept)
          .map((line) => `${line}\n`)
          .join(''),
      );
      const { engine: reopened } = await openEngine(copy, { acceptRollback: true });
      const verdict = await verifyLog(auditPath(stateDir), reopened);
      expect(verdict.broken).toBeUndefined();
      expect(verdict.openIntents).toEqual([]);
      expect(reopened.serverKey).toBe(engine.serverKey);
      await reopened.close();
    }
  });
});

describe('a store', () => {
  it('has a signing key of its own, the same at every start', async () => {
    const keys = new Set<string>();
    const folder = await temporaryFolder();
    for (let start = 0; start < 2; start++) {
      const { engine } = await openEngine(folder, {
        createSigner: (seed) => {
          expect(seed).toHaveLength(32);
          const signer = createSigner(seed);
          keys.add(signer.publicKey);
          return signer;
        },
      });
      await engine.close();
    }
    const { engine: other } = await openEngine();
    expect(keys.size).toBe(1);
    expect(keys.has(other.serverKey)).toBe(false);
  });
});
