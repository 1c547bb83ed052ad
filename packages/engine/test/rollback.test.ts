import { createHash } from 'node:crypto';
import { cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { AuditLog } from '../src/audit/log.js';
import { NO_ANCHOR } from '../src/integrity.js';
import { type AuditLine, auditEntries, auditLines, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, createSigner, openEngine, temporaryFolder, text } from './support.js';

const sha256 = (line: string) => createHash('sha256').update(line).digest('hex');

/** The store's file, as one who has the disk would keep and put back a copy of it. */
const dataFile = (stateDir: string) => join(stateDir, 'store', 'data.mdb');

const writeLines = (stateDir: string, lines: readonly string[]) =>
  writeFile(auditPath(stateDir), lines.map((line) => `${line}\n`).join(''));

/** A closed store with some changes and reads. */
async function closedStore() {
  const opened = await openEngine();
  await opened.engine.put(admin, 'a', bytes('one'));
  await opened.engine.put(admin, 'a', bytes('two'));
  await opened.engine.get(admin, 'a');
  await opened.engine.get(admin, 'a');
  await opened.engine.close();
  return opened;
}

const accepted = async (stateDir: string) =>
  (await auditEntries(stateDir)).filter(({ action }) => action === 'accept-rollback');

describe('a log that lost lines', () => {
  it('is refused however few they are, and opens when it is put back whole', async () => {
    const { folder, stateDir } = await closedStore();
    const lines = await auditLines(stateDir);
    for (let kept = 0; kept < lines.length; kept++) {
      await writeLines(stateDir, lines.slice(0, kept));
      const before = await readFile(auditPath(stateDir));
      expect(await codeOf(openEngine(folder))).toBe('audit_rolled_back');
      expect(await readFile(auditPath(stateDir))).toEqual(before);
    }
    await rm(auditPath(stateDir));
    await expect(openEngine(folder)).rejects.toThrow(
      /ends with line 0, but the store knows that line \d+ was written.*--accept-rollback/,
    );
    await writeLines(stateDir, lines);
    const { engine } = await openEngine(folder);
    expect((await verifyLog(auditPath(stateDir), engine)).broken).toBeUndefined();
  });

  it('is refused while the store was only read from, but for the last seconds before a crash', async () => {
    const { engine, folder, stateDir } = await closedStore();
    const before = (await auditLines(stateDir)).length;
    const { engine: reader } = await openEngine(folder);
    await reader.get(admin, 'a');
    await reader.close();
    const lines = await auditLines(stateDir);
    expect(lines.length).toBe(before + 3);
    await writeLines(stateDir, lines.slice(0, -1));
    expect(await codeOf(openEngine(folder))).toBe('audit_rolled_back');
    expect(engine.stopped?.code).toBe('stopped');
  });

  it('goes on once that is accepted, with a signed entry that says so', async () => {
    const { folder, stateDir } = await closedStore();
    const lines = await auditLines(stateDir);
    await writeLines(stateDir, lines.slice(0, 3));
    const { engine, notices } = await openEngine(folder, { acceptRollback: true });
    const known = `${lines.length}:${sha256(lines.at(-1) as string)}`;
    const target = `the audit log ended with line 3, and the store knew of line ${lines.length}: ${known}`;
    expect(await accepted(stateDir)).toMatchObject([{ seq: 4, reason: 'audit_rolled_back', target }]);
    expect(notices.join()).toContain(target);
    await engine.close();
    const { engine: again } = await openEngine(folder);
    const verdict = await verifyLog(auditPath(stateDir), again);
    expect(verdict.broken).toBeUndefined();
    expect(verdict.signed).toBe(verdict.entries);
    expect(await accepted(stateDir)).toHaveLength(1);
  });

  it('is accepted for good, though the server dies at once', async () => {
    const { folder, stateDir } = await closedStore();
    const lines = await auditLines(stateDir);
    await writeLines(stateDir, lines.slice(0, 3));
    await openEngine(folder, { acceptRollback: true });
    const copy = await temporaryFolder();
    await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    const { engine } = await openEngine(copy);
    expect(text((await engine.get(admin, 'a')).value)).toBe('one');
  });

  it('begins anew once that is accepted, where all of it is gone', async () => {
    const { folder, stateDir } = await closedStore();
    await rm(auditPath(stateDir));
    await (await openEngine(folder, { acceptRollback: true })).engine.close();
    const { engine } = await openEngine(folder);
    expect(text((await engine.get(admin, 'a')).value)).toBe('one');
    expect(await accepted(stateDir)).toMatchObject([{ seq: 1 }]);
    expect((await verifyLog(auditPath(stateDir), engine)).broken).toBeUndefined();
  });

  it('needs no acceptance where nothing was lost: the entry would be false', async () => {
    const { folder, stateDir } = await closedStore();
    const { notices } = await openEngine(folder, { acceptRollback: true });
    expect(await accepted(stateDir)).toEqual([]);
    expect(notices.join()).toContain('was not needed');
  });
});

describe('a log that is another one', () => {
  it('at the line that the store knows is refused', async () => {
    const { folder, stateDir } = await closedStore();
    const copy = await temporaryFolder();
    await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    for (const place of [folder, copy]) {
      const { engine } = await openEngine(place);
      await engine.put(admin, place === folder ? 'here' : 'there', bytes('v'));
      await engine.close();
    }
    await writeLines(stateDir, await auditLines(join(copy, 'state')));
    await expect(openEngine(folder)).rejects.toMatchObject({
      code: 'audit_rolled_back',
      message: expect.stringMatching(/^line \d+ of the audit log .* is not the one that the store knows/),
    });
    const { engine } = await openEngine(folder, { acceptRollback: true });
    expect(await accepted(stateDir)).toMatchObject([{ target: expect.stringContaining('was not the one') }]);
    expect((await verifyLog(auditPath(stateDir), engine)).broken).toBeUndefined();
  });

  it('of another store is refused, whoever accepts it', async () => {
    const { folder, stateDir } = await closedStore();
    const other = await closedStore();
    await writeLines(stateDir, await auditLines(other.stateDir));
    expect(await codeOf(openEngine(folder, { acceptRollback: true }))).toBe('audit_broken');
  });

  it.each<[string, (lines: string[]) => string[]]>([
    [
      'a changed line',
      (lines) => lines.map((line, at) => (at === lines.length - 2 ? line.replace('"get"', '"put"') : line)),
    ],
    ['a missing line', (lines) => lines.filter((_, at) => at !== lines.length - 2)],
    [
      'a checkpoint of another key',
      (lines) => {
        const { seq, prev } = JSON.parse(lines.at(-1) as string) as AuditLine;
        const signature = Buffer.from(createSigner(Buffer.alloc(32, 7)).sign(bytes('anything'))).toString(
          'base64',
        );
        const fields = { action: 'checkpoint', openSince: seq, generation: 1, revision: 1, signature };
        return [...lines.slice(0, -1), JSON.stringify({ seq, prev, ...fields })];
      },
    ],
  ])('with %s near its end is refused', async (_, change) => {
    const { folder, stateDir } = await closedStore();
    const { engine } = await openEngine(folder);
    for (let i = 0; i < 3; i++) await engine.get(admin, 'a');
    const copy = await temporaryFolder();
    await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    const lines = await auditLines(stateDir);
    await writeLines(join(copy, 'state'), change(lines));
    expect(await codeOf(openEngine(copy))).toBe('audit_broken');
  });
});

describe('a store that lost changes', () => {
  it('is refused by what the log tells of it, until somebody accepts it in so many words', async () => {
    const { folder, stateDir } = await closedStore();
    const old = await readFile(dataFile(stateDir));
    const { engine } = await openEngine(folder);
    const { info } = await engine.createToken(admin, { name: 'x' });
    await engine.revokeToken(admin, info.id);
    await engine.close();
    await writeFile(dataFile(stateDir), old);
    await expect(openEngine(folder)).rejects.toMatchObject({
      code: 'store_rolled_back',
      message: expect.stringMatching(
        /the store is at change \d+, but the audit log tells of change \d+.*--accept-rollback/,
      ),
    });
    const { engine: reopened } = await openEngine(folder, { acceptRollback: true });
    expect(await accepted(stateDir)).toMatchObject([{ reason: 'store_rolled_back' }]);
    await reopened.close();
    // The log still tells of the lost changes, before a checkpoint that does not.
    const { engine: again } = await openEngine(folder);
    expect(await accepted(stateDir)).toHaveLength(1);
    expect((await verifyLog(auditPath(stateDir), again)).broken).toBeUndefined();
  });

  it('is refused for a single lost change, told by its outcome alone', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('one'));
    const early = await temporaryFolder();
    await cp(folder, early, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
    await engine.put(admin, 'a', bytes('two'));
    await writeLines(join(early, 'state'), await auditLines(stateDir));
    expect(await codeOf(openEngine(early))).toBe('store_rolled_back');
  });

  it('and is brought back together with its log is a state of the past that nothing here tells', async () => {
    const { folder, stateDir } = await closedStore();
    const [data, log] = await Promise.all([readFile(dataFile(stateDir)), readFile(auditPath(stateDir))]);
    const { engine } = await openEngine(folder);
    await engine.put(admin, 'a', bytes('three'));
    await engine.close();
    await writeFile(dataFile(stateDir), data);
    await writeFile(auditPath(stateDir), log);
    expect((await (await openEngine(folder)).engine.info(admin, 'a')).versions).toEqual([1, 2]);
  });

  it.each([
    ['sequence', { revision: 6, generation: 3 }],
    ['policy', { revision: 7, generation: 2 }],
  ])('is known by its %s in the last checkpoint', async (_, now) => {
    const folder = await temporaryFolder();
    const open = (stated: { revision: number; generation: number }) =>
      AuditLog.open(folder, {
        storeId: 'ab',
        signer: createSigner(Buffer.alloc(32, 1)),
        revision: () => stated.revision,
        generation: () => stated.generation,
        witness: { anchor: NO_ANCHOR, ...stated },
        acceptRollback: false,
        now: () => new Date(),
        onFatal: (error) => expect.unreachable(error.message),
        onNotice: () => undefined,
      });
    const then = { revision: 7, generation: 3 };
    await (await open(then)).close();
    expect(await codeOf(open(now))).toBe('store_rolled_back');
    await (await open(then)).close();
  });
});

describe('the outcome of a change', () => {
  it('carries what the store had reached, which only grows', async () => {
    const { engine, stateDir } = await openEngine();
    await Promise.all(Array.from({ length: 20 }, (_, index) => engine.put(admin, `a${index}`, bytes('v'))));
    await engine.createToken(admin, { name: 'x' });
    await codeOf(engine.activate(admin, 'a1', 9));
    const entries = await auditEntries(stateDir);
    const revisions = entries
      .filter(({ phase }) => phase === 'outcome')
      .map(({ revision }) => revision as number);
    expect(revisions).toHaveLength(21);
    // The header and the first manifest came before.
    expect(revisions.at(-1)).toBe(2 + 21);
    expect(revisions).toEqual(revisions.toSorted((a, b) => a - b));
    expect(entries.filter(({ phase, revision }) => phase !== 'outcome' && revision !== undefined)).toEqual(
      [],
    );
  });
});
