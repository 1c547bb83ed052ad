import { chmod, cp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { LogCursor, linesOf } from '../src/audit/cursor.js';
import type { Engine } from '../src/index.js';
import { type AuditLine, auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder, text } from './support.js';

const DAY = 24 * 60 * 60 * 1_000;
/** Some ten entries. */
const SMALL = { segmentBytes: 4_096 };

const auditFolder = (stateDir: string) => join(stateDir, 'audit');

const closedFiles = async (stateDir: string) =>
  (await readdir(auditFolder(stateDir))).filter((name) => /^audit-\d{16}\.log$/.test(name)).sort();

/** Every line of the log, over all of its files, also while one of them is being closed. */
async function allLines(stateDir: string): Promise<AuditLine[]> {
  const cursor = await LogCursor.open(auditFolder(stateDir));
  const lines: AuditLine[] = [];
  for (let block = await cursor.read(); block; block = await cursor.read()) {
    for (const line of linesOf(block)) lines.push(JSON.parse(line.toString()) as AuditLine);
  }
  await cursor.close();
  return lines;
}

/** Waits until no file is being closed. */
async function settled(stateDir: string): Promise<void> {
  await expect
    .poll(async () => (await readdir(auditFolder(stateDir))).filter((name) => name.startsWith('audit.log')))
    .toEqual(['audit.log']);
}

/** A copy of a state folder as a `kill -9` at this moment would leave it; nothing may be under way. */
async function crashed(folder: string): Promise<string> {
  const copy = await temporaryFolder();
  await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
  return copy;
}

async function expectSound(stateDir: string, engine: Engine): Promise<void> {
  const verdict = await verifyLog(auditPath(stateDir), engine);
  expect(verdict.broken).toBeUndefined();
  expect(verdict.openIntents).toEqual([]);
}

describe('a log of several files', () => {
  it('is closed by size, each file with a signed last line and the first line’s number as its name', async () => {
    const { engine, folder, stateDir } = await openEngine(undefined, { audit: SMALL });
    for (let i = 0; i < 40; i++) await engine.put(admin, 'a', bytes(`v${i}`));
    await engine.close();
    const names = await closedFiles(stateDir);
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) {
      const path = join(auditFolder(stateDir), name);
      const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
      const entries = lines.map((line) => JSON.parse(line) as AuditLine);
      expect(entries[0]?.seq).toBe(Number(name.slice(6, 22)));
      expect(entries.at(-1)?.action).toBe('checkpoint');
      expect((await stat(path)).mode & 0o777).toBe(0o400);
    }
    const entries = await allLines(stateDir);
    expect(entries.map(({ seq }) => seq)).toEqual(entries.map((_, index) => index + 1));
    await expectSound(stateDir, engine);
    const { engine: reopened } = await openEngine(folder, { audit: SMALL });
    await expectSound(stateDir, reopened);
  });

  it('writes over no file that has the name of the next one', async () => {
    const { engine, folder, stateDir } = await openEngine(undefined, { audit: SMALL });
    await engine.close();
    const name = 'audit-0000000000000001.log';
    await writeFile(join(auditFolder(stateDir), name), 'what another log was');
    const { engine: again } = await openEngine(folder, { audit: SMALL, acceptRollback: true });
    for (let i = 0; i < 10; i++) await again.put(admin, 'a', bytes(`v${i}`));
    await again.close();
    const [kept] = (await readdir(auditFolder(stateDir))).filter((other) => other.startsWith(`${name}.`));
    expect(await readFile(join(auditFolder(stateDir), kept ?? 'none'), 'utf8')).toBe('what another log was');
    expect(await readFile(join(auditFolder(stateDir), name), 'utf8')).toContain('"action":"put"');
  });

  it('is closed by age, too', async () => {
    let now = new Date('2031-01-01T00:00:00Z');
    const { engine, stateDir } = await openEngine(undefined, { audit: { segmentDays: 7 }, now: () => now });
    await engine.list(admin);
    now = new Date(now.getTime() + 7 * DAY - 1);
    await engine.list(admin);
    await engine.list(admin);
    expect(await closedFiles(stateDir)).toEqual([]);
    now = new Date(now.getTime() + 1);
    await engine.list(admin);
    await engine.list(admin);
    await engine.close();
    expect(await closedFiles(stateDir)).toEqual(['audit-0000000000000001.log']);
    await expectSound(stateDir, engine);
  });

  it('loses and disorders nothing of what many write meanwhile', async () => {
    const { engine, stateDir } = await openEngine(undefined, { audit: SMALL });
    await engine.put(admin, 'a', bytes('v'));
    const reads = Array.from({ length: 64 }, async () => {
      for (let i = 0; i < 20; i++) await engine.get(admin, 'a');
    });
    const writes = Array.from({ length: 8 }, async (_, writer) => {
      for (let i = 0; i < 10; i++) await engine.put(admin, `w${writer}`, bytes(`${i}`));
    });
    await Promise.all([...reads, ...writes]);
    const entries = await allLines(stateDir);
    expect(entries.filter(({ action }) => action === 'get')).toHaveLength(64 * 20);
    expect(entries.filter(({ phase }) => phase === 'outcome')).toHaveLength(8 * 10 + 1);
    expect((await closedFiles(stateDir)).length).toBeGreaterThan(3);
    await expectSound(stateDir, engine);
  });

  it('goes on in the same file while no new one can be made', async () => {
    const { engine, stateDir } = await openEngine(undefined, { audit: SMALL });
    // A folder with something in it stands where the next file is prepared.
    const next = join(auditFolder(stateDir), 'audit.log.next');
    await cp(join(stateDir, 'store'), next, { recursive: true, filter: (path) => !/lock/.test(path) });
    for (let i = 0; i < 40; i++) await engine.put(admin, 'a', bytes(`v${i}`));
    expect(await closedFiles(stateDir)).toEqual([]);
    await rm(next, { recursive: true });
    for (let i = 0; i < 40; i++) await engine.put(admin, 'a', bytes(`w${i}`));
    expect((await closedFiles(stateDir)).length).toBeGreaterThan(3);
    await expectSound(stateDir, engine);
  });
});

describe('a crash between two files', () => {
  /** A closed store whose log has just one entry in its current file, or none. */
  async function turned() {
    const opened = await openEngine(undefined, { audit: SMALL });
    await opened.engine.put(admin, 'a', bytes('one'));
    let closed = 0;
    while (closed === 0) {
      await opened.engine.get(admin, 'a');
      closed = (await closedFiles(opened.stateDir)).length;
    }
    await settled(opened.stateDir);
    return opened;
  }

  it.each<[string, (folder: string) => Promise<void>]>([
    ['with the new file not there yet', (folder) => rm(join(folder, 'audit.log'))],
    ['with the new file still empty', (folder) => writeFile(join(folder, 'audit.log'), '')],
    [
      'with the new file under its first name',
      (folder) => rename(join(folder, 'audit.log'), join(folder, 'audit.log.next')),
    ],
    [
      'with the old file not renamed yet, though it is full and signed',
      async (folder) => {
        const [closed] = (await readdir(folder)).filter((name) => /^audit-\d/.test(name));
        await rename(join(folder, closed as string), join(folder, 'audit.log'));
        await chmod(join(folder, 'audit.log'), 0o600);
        await writeFile(join(folder, 'audit.log.next'), '');
      },
    ],
  ])('%s loses nothing', async (_, leave) => {
    const { folder } = await turned();
    const copy = await crashed(folder);
    const stateDir = join(copy, 'state');
    // What a crash can lose stands behind the old file's last line, and nothing of it was answered.
    await leave(auditFolder(stateDir));
    const { engine } = await openEngine(copy, { audit: SMALL });
    expect(text((await engine.get(admin, 'a')).value)).toBe('one');
    await engine.put(admin, 'a', bytes('two'));
    await expectSound(stateDir, engine);
    expect(await readdir(auditFolder(stateDir))).not.toContain('audit.log.next');
    await engine.close();
    const { engine: again } = await openEngine(copy, { audit: SMALL });
    await expectSound(stateDir, again);
  });

  it('leaves intents open that lie in older files, and the next start closes them', async () => {
    const { folder, stateDir } = await turned();
    const copy = await crashed(folder);
    const after = join(copy, 'state');
    // The last change's outcome is lost with the file that held it, and some reads came behind the intent.
    const lines = await allLines(stateDir);
    const intent = lines.find(({ phase }) => phase === 'intent') as AuditLine;
    const [first] = await closedFiles(stateDir);
    const path = join(auditFolder(after), first as string);
    const whole = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
    await chmod(path, 0o600);
    await writeFile(path, `${whole.slice(0, intent.seq).join('\n')}\n`);
    await rm(join(auditFolder(after), 'audit.log'));
    const { engine } = await openEngine(copy, { audit: SMALL, acceptRollback: true });
    const recovered = (await allLines(after)).filter((entry) => entry.recovered === true);
    expect(recovered).toMatchObject([{ intent: intent.seq, action: 'put' }]);
    await expectSound(after, engine);
  });

  it.each([
    ['in the current file is set aside', 'audit.log', undefined],
    ['in a closed file is damage', 'closed', 'audit_broken'],
  ])('a torn line %s', async (_, where, code) => {
    const { folder } = await turned();
    const copy = await crashed(folder);
    const audit = auditFolder(join(copy, 'state'));
    const [closed] = await closedFiles(join(copy, 'state'));
    const path = join(audit, where === 'closed' ? (closed as string) : where);
    await chmod(path, 0o600);
    const content = await readFile(path);
    await writeFile(path, Buffer.concat([content, Buffer.from('{"id":1,"ti')]));
    if (where === 'closed') await writeFile(join(audit, 'audit.log'), '');
    const opening = openEngine(copy, { audit: SMALL });
    if (code) expect(await codeOf(opening)).toBe(code);
    else await expectSound(join(copy, 'state'), (await opening).engine);
  });
});

describe('old files', () => {
  const retention = { segmentDays: 1, retentionDays: 10 };

  /** A log with a file a day. */
  async function daily(days: number) {
    let now = new Date('2031-01-01T00:00:00Z');
    const clock = { now: () => now };
    const opened = await openEngine(undefined, { audit: { segmentDays: 1 }, ...clock });
    for (let day = 0; day < days; day++) {
      await opened.engine.put(admin, 'a', bytes(`day ${day}`));
      now = new Date(now.getTime() + DAY);
      // The entry that finds the file too old, and one for the next.
      await opened.engine.get(admin, 'a');
      await opened.engine.get(admin, 'a');
    }
    await opened.engine.close();
    return { ...opened, clock };
  }

  it('go when all of their entries are old enough, and a signed entry says so for each', async () => {
    const { folder, stateDir, clock } = await daily(20);
    const before = await closedFiles(stateDir);
    expect(before).toHaveLength(20);
    const { engine } = await openEngine(folder, { audit: retention, ...clock });
    const after = await closedFiles(stateDir);
    expect(after).toEqual(before.slice(-after.length));
    expect(after.length).toBeGreaterThanOrEqual(9);
    expect(after.length).toBeLessThanOrEqual(11);
    const retired = (await allLines(stateDir)).filter(({ action }) => action === 'retire');
    expect(retired).toHaveLength(before.length - after.length);
    const first = Number(after[0]?.slice(6, 22));
    expect(retired.at(-1)?.upTo).toBe(first - 1);
    await expectSound(stateDir, engine);
    expect(await verifyLog(auditPath(stateDir), engine)).toMatchObject({ first });
    await engine.close();
    const { engine: again } = await openEngine(folder, { audit: retention, ...clock });
    expect((await allLines(stateDir)).filter(({ action }) => action === 'retire')).toHaveLength(
      retired.length,
    );
    await expectSound(stateDir, again);
  });

  it('stay where nobody said how long to keep them', async () => {
    const { folder, stateDir, clock } = await daily(20);
    await openEngine(folder, clock);
    expect(await closedFiles(stateDir)).toHaveLength(20);
  });

  it('that a crash left behind their entry go at the next start', async () => {
    const { folder, stateDir, clock } = await daily(14);
    const kept = await temporaryFolder();
    await cp(auditFolder(stateDir), kept, { recursive: true });
    const { engine } = await openEngine(folder, { audit: retention, ...clock });
    await engine.close();
    const gone = (await readdir(kept)).filter((name) => /^audit-\d/.test(name)).sort();
    const after = await closedFiles(stateDir);
    const lost = gone.filter((name) => !after.includes(name));
    expect(lost.length).toBeGreaterThan(2);
    // Any number of them, from the newest on, since the oldest go first.
    for (let back = 1; back <= lost.length; back++) {
      const copy = await crashed(folder);
      const audit = auditFolder(join(copy, 'state'));
      for (const name of lost.slice(-back)) await cp(join(kept, name), join(audit, name));
      const { engine: reopened } = await openEngine(copy, { audit: retention, ...clock });
      expect(await closedFiles(join(copy, 'state'))).toEqual(after);
      await expectSound(join(copy, 'state'), reopened);
      await reopened.close();
    }
  });

  it('do not go as long as the entry that says so cannot be written', async () => {
    const { folder, stateDir, clock } = await daily(14);
    const before = await closedFiles(stateDir);
    // Where a name cannot be read, nothing is retired.
    await chmod(join(auditFolder(stateDir), before[0] as string), 0o600);
    await writeFile(join(auditFolder(stateDir), before[0] as string), 'not a line');
    await openEngine(folder, { audit: retention, ...clock });
    expect(await closedFiles(stateDir)).toEqual(before);
  });
});

describe('a reader of the files', () => {
  it('begins at any line, and sees what comes while files are closed', async () => {
    const { engine, stateDir } = await openEngine(undefined, { audit: SMALL });
    for (let i = 0; i < 30; i++) await engine.put(admin, 'a', bytes(`v${i}`));
    const last = (await allLines(stateDir)).length;
    for (const from of [1, 2, 7, 20, 45, last - 1, last]) {
      const cursor = await LogCursor.open(auditFolder(stateDir), from);
      const seen: number[] = [];
      const drain = async () => {
        for (let block = await cursor.read(); block; block = await cursor.read()) {
          for (const line of linesOf(block)) seen.push((JSON.parse(line.toString()) as AuditLine).seq);
        }
      };
      await drain();
      const end = seen.at(-1) as number;
      for (let i = 0; i < 15; i++) await engine.get(admin, 'a');
      await drain();
      await cursor.close();
      expect(seen[0]).toBeLessThanOrEqual(from);
      expect(seen).toEqual(seen.map((_, index) => (seen[0] as number) + index));
      expect(seen.at(-1)).toBeGreaterThanOrEqual(end + 15);
    }
  });

  it('finds a line of a large file without reading all of it', async () => {
    const { engine, stateDir } = await openEngine();
    await Promise.all(Array.from({ length: 5_000 }, () => engine.list(admin)));
    const cursor = await LogCursor.open(auditFolder(stateDir), 4_000);
    const block = await cursor.read();
    await cursor.close();
    const [line] = linesOf(block as { bytes: Buffer });
    const { seq } = JSON.parse((line as Buffer).toString()) as AuditLine;
    expect(seq).toBeLessThanOrEqual(4_000);
    expect(seq).toBeGreaterThan(3_000);
  });
});
