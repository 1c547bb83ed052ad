import { chmod, open, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { expect, test } from 'vitest';

import { LINE_BYTES_MAX, linesBackwards, linesForwards } from '../src/audit/lines.js';
import { auditPath, verifyLog } from './audit-file.js';
import { admin, bytes, codeOf, openEngine, temporaryFolder } from './support.js';

const long = Buffer.alloc(LINE_BYTES_MAX + 3 * 1024 * 1024, 'x');

async function linesOf(path: string, way: 'forwards' | 'backwards'): Promise<string[]> {
  const file = await open(path, 'r');
  const lines: string[] = [];
  try {
    const read = way === 'forwards' ? linesForwards(file) : linesBackwards(file, (await file.stat()).size);
    for await (const { line } of read) lines.push(line.toString('latin1', 0, 20));
  } finally {
    await file.close();
  }
  return lines;
}

test('a line that is longer than any entry is not gathered in memory', async () => {
  const path = join(await temporaryFolder(), 'log');
  await writeFile(path, Buffer.concat([bytes('one\n'), long, bytes('\ntwo\nthree')]));
  expect(await linesOf(path, 'forwards')).toEqual(['one', 'two', 'three']);
  expect(await codeOf(linesOf(path, 'backwards'))).toBe('audit_broken');
});

test('lines that lie across the blocks in which a file is read are whole', async () => {
  const path = join(await temporaryFolder(), 'log');
  const lines = Array.from({ length: 9 }, (_, i) => `${i}${'y'.repeat(400_000 * i)}`);
  await writeFile(path, `${lines.join('\n')}\n`);
  const starts = lines.map((line) => line.slice(0, 20));
  expect(await linesOf(path, 'forwards')).toEqual(starts);
  expect(await linesOf(path, 'backwards')).toEqual(starts.toReversed());
});

test('a log with such a line is broken there', async () => {
  const { engine, stateDir } = await openEngine(undefined, { audit: { segmentBytes: 4_000 } });
  for (let i = 0; i < 20; i++) await engine.put(admin, `secret/${i}`, bytes('value'));
  await engine.close();
  const [oldest = ''] = (await readdir(join(stateDir, 'audit'))).sort();
  const path = join(stateDir, 'audit', oldest);
  await chmod(path, 0o600);
  await writeFile(path, long);
  const { broken } = await verifyLog(auditPath(stateDir), engine);
  expect(broken?.reason).toBe('it is longer than any entry');
  expect(broken).toMatchObject({ file: oldest, fileLine: 1 });
});
