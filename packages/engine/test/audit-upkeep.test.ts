import { cp, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { auditEntries, auditLines, auditPath } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder } from './support.js';

const SECOND = 1_000;
const DAY = 24 * 60 * 60 * SECOND;

/** Only the clock of what is done from time to time; everything else takes the time that it takes. */
beforeEach(() => vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => vi.useRealTimers());

/** A copy of a store as a `kill -9` at this moment would leave it; nothing may be under way. */
async function crashed(folder: string): Promise<string> {
  const copy = await temporaryFolder();
  await cp(folder, copy, { recursive: true, filter: (path) => !/lock[.-][^/]*$/.test(path) });
  return copy;
}

describe('a server that is only read from', () => {
  it('seals the end of its log every ten seconds, so that no more than that can be cut off unnoticed', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.put(admin, 'a', bytes('v'));
    for (let i = 0; i < 5; i++) await engine.get(admin, 'a');
    const lines = await auditLines(stateDir);
    /** The code with which a start refuses the log without its last line. */
    const cut = async () => {
      const copy = await crashed(folder);
      const left = lines.slice(0, -1).map((line) => `${line}\n`);
      await writeFile(auditPath(join(copy, 'state')), left.join(''));
      const opened = await openEngine(copy).catch((error) => error.code as string);
      if (typeof opened === 'string') return opened;
      await opened.engine.close();
      return 'opened';
    };
    expect(await cut()).toBe('opened');
    vi.advanceTimersByTime(10 * SECOND);
    await expect.poll(cut).toBe('audit_rolled_back');
  });
});

describe('strangers', () => {
  it('are told of once a minute, if there were any', async () => {
    const { engine, stateDir } = await openEngine();
    const counts = async () =>
      (await auditEntries(stateDir)).filter(({ action }) => action === 'refused').map(({ count }) => count);
    for (let i = 0; i < 3; i++) engine.refusedStranger('192.0.2.1');
    vi.advanceTimersByTime(59 * SECOND);
    expect(await counts()).toEqual([]);
    vi.advanceTimersByTime(1 * SECOND);
    await expect.poll(counts).toEqual([3]);
    vi.advanceTimersByTime(180 * SECOND);
    engine.refusedStranger('192.0.2.1');
    await engine.close();
    expect(await counts()).toEqual([3, 1]);
  });
});

describe('old files of the log', () => {
  it('go while the server runs, too', async () => {
    let now = new Date('2031-01-01T00:00:00Z');
    const audit = { segmentBytes: 4_096, retentionDays: 2 };
    const { engine, stateDir } = await openEngine(undefined, { audit, now: () => now });
    const closed = async () =>
      (await readdir(join(stateDir, 'audit'))).filter((name) => /^audit-\d/.test(name)).length;
    for (let i = 0; i < 20; i++) await engine.put(admin, 'a', bytes(`${i}`));
    expect(await closed()).toBeGreaterThan(2);
    now = new Date(now.getTime() + 2 * DAY + SECOND);
    vi.advanceTimersByTime(60 * 60 * SECOND);
    await expect.poll(closed).toBe(0);
    expect(await codeOf(engine.get(admin, 'none'))).toBe('not_found');
  });
});
