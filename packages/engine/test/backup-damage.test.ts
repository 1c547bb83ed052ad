import { randomBytes, randomInt } from 'node:crypto';
import { chmod, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { BackupReader } from '../src/backup/reader.js';
import { openRingOf } from '../src/backup/root-key.js';
import { drain } from '../src/backup/verify.js';
import { Engine, parseRootKey, verifyBackup } from '../src/index.js';
import { auditEntries, auditPath } from './audit-file.js';
import { backupOf, backupTo, restoreIn, verifyIn } from './backup-support.js';
import { firstKey, removeRecord, rewriteRecord } from './store-file.js';
import { admin, bytes, codeOf, createSigner, engineOptions, openEngine, verifySignature } from './support.js';

/** How often each kind of damage is tried; CI's form is short. */
const ROUNDS = Number(process.env.BACKUP_ROUNDS ?? 150);
/** Every so many damaged files are given to a restore too, which takes longer. */
const RESTORE_EVERY = 5;

const MAGIC_BYTES = 17;
const HASH_BYTES = 32;
const STREAM_HEADER_BYTES = 24;
const TRAILER_BYTES = 96;

/** Where the blocks of a backup lie, its trailer's start last. */
function blocksOf(backup: Buffer): number[] {
  const offsets: number[] = [];
  let at = MAGIC_BYTES + 4 + backup.readUInt32BE(MAGIC_BYTES) + HASH_BYTES + STREAM_HEADER_BYTES;
  while (at < backup.length - TRAILER_BYTES) {
    offsets.push(at);
    at += 4 + backup.readUInt32BE(at);
  }
  return [...offsets, at];
}

const block = (backup: Buffer, number: number): Buffer => {
  const offsets = blocksOf(backup);
  return backup.subarray(offsets[number], offsets[number + 1]);
};

describe('a damaged backup', () => {
  let folder: string;
  let whole: Buffer;
  let other: Buffer;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'coffer-'));
    const engine = await Engine.open(engineOptions(folder));
    for (let i = 0; i < 5; i++) await engine.put(admin, `secret/${i}`, randomBytes(60_000));
    whole = await backupOf(engine);
    await engine.put(admin, 'secret/0', bytes('changed'));
    other = await backupOf(engine);
    await engine.close();
  });

  afterAll(() => rm(folder, { recursive: true }));

  let files = 0;

  /** Neither command takes it, and neither leaves anything behind. */
  async function expectRefused(damaged: Buffer, what: string): Promise<void> {
    const name = `damaged${++files}`;
    const path = join(folder, name);
    await writeFile(path, damaged);
    const codes = ['backup_broken', 'newer_format'];
    expect(codes, what).toContain(await codeOf(verifyIn(folder, path)));
    if (files % RESTORE_EVERY !== 0) return;
    const place = `place${files}`;
    expect(codes, what).toContain(await codeOf(restoreIn(folder, path, { place })));
    expect((await readdir(folder)).filter((entry) => entry.startsWith(place))).toEqual([]);
  }

  test('is the exception: as it was made it holds', async () => {
    await writeFile(join(folder, 'whole'), whole);
    expect((await verifyIn(folder, join(folder, 'whole'))).secrets).toBe(5);
    expect(blocksOf(whole).length).toBeGreaterThan(5);
  });

  test(`is refused: one bit changed, at ${ROUNDS} random places and in each part`, async () => {
    const parts = [0, MAGIC_BYTES, MAGIC_BYTES + 4, ...blocksOf(whole), whole.length - 1];
    const places = [...parts, ...Array.from({ length: ROUNDS }, () => randomInt(whole.length))];
    for (const place of places) {
      const damaged = Buffer.from(whole);
      const bit = randomInt(8);
      damaged[place] = (damaged[place] ?? 0) ^ (1 << bit);
      await expectRefused(damaged, `bit ${bit} of byte ${place}`);
    }
  });

  test('is refused: cut off, at random and between its blocks', async () => {
    const lengths = [
      ...blocksOf(whole),
      ...blocksOf(whole).map((offset) => offset + 4),
      whole.length - HASH_BYTES,
      whole.length - 1,
      ...Array.from({ length: ROUNDS / 3 }, () => randomInt(whole.length)),
    ];
    for (const length of lengths) await expectRefused(whole.subarray(0, length), `cut to ${length}`);
  });

  test('is refused: blocks exchanged, repeated, left out, or of another backup of the same store', async () => {
    const offsets = blocksOf(whole);
    const count = offsets.length - 1;
    const before = (number: number) => whole.subarray(0, offsets[number]);
    const after = (number: number) => whole.subarray(offsets[number + 1]);
    for (let number = 0; number < count - 1; number++) {
      const [one, two] = [block(whole, number), block(whole, number + 1)];
      const swapped = Buffer.concat([before(number), two, one, after(number + 1)]);
      await expectRefused(swapped, `blocks ${number} and the next exchanged`);
      await expectRefused(Buffer.concat([before(number), one, one, after(number)]), `block ${number} twice`);
      await expectRefused(Buffer.concat([before(number), after(number)]), `without block ${number}`);
      const foreign = Buffer.concat([before(number), block(other, number), after(number)]);
      await expectRefused(foreign, `block ${number} of another backup`);
    }
    const head = (backup: Buffer) => backup.subarray(0, blocksOf(backup)[0]);
    const body = (backup: Buffer) => backup.subarray(blocksOf(backup)[0]);
    await expectRefused(
      Buffer.concat([head(whole), body(other)]),
      'the beginning of one, the blocks of another',
    );
    const trailer = other.subarray(other.length - TRAILER_BYTES);
    const ended = Buffer.concat([whole.subarray(0, whole.length - TRAILER_BYTES), trailer]);
    await expectRefused(ended, 'the end of another');
  });

  test('is refused: bytes added behind it, a whole backup too', async () => {
    for (const added of [Buffer.alloc(1), Buffer.from('\n'), randomBytes(100), block(whole, 0), whole]) {
      for (let i = 0; i < RESTORE_EVERY; i++) {
        await expectRefused(Buffer.concat([whole, added]), `${added.length} bytes added`);
      }
    }
  });

  test('that is none at all is called so', async () => {
    for (const none of [Buffer.alloc(0), bytes('coffer'), randomBytes(200_000), bytes('{"seq":1}\n')]) {
      const path = join(folder, 'none');
      await writeFile(path, none);
      await expect(verifyIn(folder, path)).rejects.toThrow('is none: it does not begin as a backup');
    }
    await writeFile(join(folder, 'newer'), bytes('coffer-backup-v2\nand so on'));
    expect(await codeOf(verifyIn(folder, join(folder, 'newer')))).toBe('newer_format');
    expect(await codeOf(verifyIn(folder, join(folder, 'absent')))).toBe('io');
  });
});

describe('a backup and its root key', () => {
  test('another root key is told from damage, and which one is wanted', async () => {
    const { engine, folder } = await openEngine();
    const path = await backupTo(engine, folder);
    const { rootKey } = await verifyIn(folder, path);
    const another = await openEngine();
    const wrong = verifyIn(another.folder, path);
    expect(await codeOf(wrong)).toBe('wrong_root_key');
    const { id } = rootKey as { id: string };
    await expect(wrong).rejects.toThrow('the file is not damaged: it was made on');
    await expect(wrong).rejects.toThrow(`under the root key ${id}`);
    expect(await codeOf(restoreIn(another.folder, path))).toBe('wrong_root_key');
    expect(await readdir(another.folder)).not.toContain('restored');
  });

  test('a passphrase does, and another one does not', async () => {
    const rootKey = parseRootKey('passphrase:prompt');
    const passphrase = (text: string) => async () => bytes(text);
    const promptPassphrase = passphrase('correct horse');
    const { engine, folder } = await openEngine(undefined, { rootKey, promptPassphrase });
    await engine.put(admin, 'kept', bytes('value'));
    const path = await backupTo(engine, folder);
    await engine.close();
    const signing = { createSigner, verify: verifySignature };
    const wrong = verifyBackup(path, { ...signing, rootKey, promptPassphrase: passphrase('battery staple') });
    expect(await codeOf(wrong)).toBe('wrong_root_key');
    expect(await codeOf(verifyIn(folder, path))).toBe('wrong_root_key');
    await restoreIn(folder, path, { rootKey, promptPassphrase });
    const stateDir = join(folder, 'restored');
    const { engine: again } = await openEngine(folder, { stateDir, rootKey, promptPassphrase });
    expect(Buffer.from((await again.get(admin, 'kept')).value).toString()).toBe('value');
  });
});

function flipLast(record: Buffer): Buffer {
  const last = record.length - 1;
  record[last] = (record[last] ?? 0) ^ 1;
  return record;
}

/** What stands in clear in the last bytes of a backup. */
const foundDamage = (backup: Buffer) => {
  const trailer = backup.subarray(-TRAILER_BYTES);
  return { records: Number(trailer.readBigUInt64BE(8)), auditLine: Number(trailer.readBigUInt64BE(16)) };
};

describe('a backup of a store that was damaged before', () => {
  test.each([
    ['a value that is gone', 'missing', 'v', removeRecord],
    [
      'a value that was changed',
      'changed',
      'v',
      (stateDir: string, key: Buffer) => rewriteRecord(stateDir, key, flipLast),
    ],
  ])('%s is noticed, named, and kept from no other secret', async (_, state, kind, damage) => {
    const { engine, folder, stateDir } = await openEngine();
    const names = ['one', 'two', 'three'];
    for (const name of names) await engine.put(admin, name, bytes(`value of ${name}`));
    await engine.close();
    await damage(stateDir, await firstKey(stateDir, kind));
    const { engine: again } = await openEngine(folder);
    const path = await backupTo(again, folder);
    await again.close();
    expect(foundDamage(await readFile(path))).toEqual({ records: 1, auditLine: 0 });
    const made = (await auditEntries(stateDir)).filter(({ action }) => action === 'backup').at(-1);
    expect(made?.target).toContain('made of damage: 1 record of the store does not hold');

    for (const refused of [verifyIn(folder, path), restoreIn(folder, path)]) {
      expect(await codeOf(refused)).toBe('backup_broken');
      await expect(refused).rejects.toThrow('was made of a damaged store: the value of "');
      await expect(refused).rejects.toThrow('--accept-damage');
    }
    expect(await readdir(folder)).not.toContain('restored');

    const { damage: accepted } = await restoreIn(folder, path, { acceptDamage: true });
    expect(accepted).toMatchObject({ values: [{ state, version: 1 }], log: undefined });
    const lost = accepted.values[0]?.secret as string;
    expect(names).toContain(lost);
    const restoredDir = join(folder, 'restored');
    const { engine: restored } = await openEngine(folder, { stateDir: restoredDir });
    for (const name of names) {
      if (name === lost) expect(await codeOf(restored.get(admin, name))).toBe('tampered');
      else expect(Buffer.from((await restored.get(admin, name)).value).toString()).toBe(`value of ${name}`);
    }
    const entry = (await auditEntries(restoredDir)).find(({ action }) => action === 'restore');
    expect(entry?.target).toContain(`accepted as damaged: the value of "${lost}", version 1,`);
  });

  test('a file in the folder of the log that is none of it is left out', async () => {
    const { engine, folder, stateDir } = await openEngine();
    await engine.put(admin, 'some/secret', bytes('value'));
    await writeFile(join(stateDir, 'audit', 'audit-0.log'), 'x\n');
    const path = await backupTo(engine, folder);
    expect(foundDamage(await readFile(path))).toEqual({ records: 0, auditLine: 0 });
    await verifyIn(folder, path);
    await restoreIn(folder, path);
  });

  test('a line of a closed file of the log is noticed, and the log can be restored as it is', async () => {
    const audit = { segmentBytes: 4_000 };
    const { engine, folder, stateDir } = await openEngine(undefined, { audit });
    for (let i = 0; i < 40; i++) await engine.put(admin, `secret/${i}`, bytes(`value ${i}`));
    await engine.close();
    const [oldest = ''] = (await readdir(join(stateDir, 'audit'))).sort();
    const closed = join(stateDir, 'audit', oldest);
    const text = await readFile(closed, 'utf8');
    await chmod(closed, 0o600);
    await writeFile(closed, text.replace('"secret":"secret/3"', '"secret":"secret/4"'));
    const { engine: again } = await openEngine(folder, { audit });
    const path = await backupTo(again, folder);
    const { auditLine, records } = foundDamage(await readFile(path));
    expect(records).toBe(0);
    expect(auditLine).toBeGreaterThan(1);
    await again.close();

    const sentence = `the audit log does not hold from its line ${auditLine} on`;
    await expect(verifyIn(folder, path)).rejects.toThrow(sentence);
    await expect(restoreIn(folder, path)).rejects.toThrow('--accept-damage');
    const { damage } = await restoreIn(folder, path, { acceptDamage: true });
    expect(damage).toMatchObject({ values: [], log: { seq: auditLine } });
    const restoredDir = join(folder, 'restored');
    expect(await readFile(join(restoredDir, 'audit', oldest))).toEqual(await readFile(closed));
    const { engine: restored } = await openEngine(folder, { stateDir: restoredDir });
    expect((await restored.list(admin)).length).toBe(40);
    const entry = (await auditEntries(restoredDir)).find(({ action }) => action === 'restore');
    expect(entry?.target).toContain(sentence);
  });

  test('the end of the log is noticed, and a new log begins beside it', async () => {
    const { engine, folder, stateDir } = await openEngine();
    for (const name of ['one', 'two']) await engine.put(admin, name, bytes(name));
    // While the server runs: it would not start on this.
    const log = auditPath(stateDir);
    const text = await readFile(log, 'latin1');
    const at = text.lastIndexOf('"secret":"two"') + 11;
    const file = await open(log, 'r+');
    await file.write('x', at);
    await file.close();
    const path = await backupTo(engine, folder);
    expect(foundDamage(await readFile(path)).auditLine).toBeGreaterThan(1);
    const notices: string[] = [];
    const onNotice = (sentence: string) => notices.push(sentence);
    await restoreIn(folder, path, { acceptDamage: true, onNotice });
    expect(notices.join()).toContain('it is kept in the folder audit.damaged');
    const restoredDir = join(folder, 'restored');
    expect(await readFile(join(restoredDir, 'audit.damaged', 'audit.log'), 'latin1')).toContain('"txo"');
    const { engine: restored } = await openEngine(folder, { stateDir: restoredDir });
    expect((await restored.list(admin)).length).toBe(2);
  });
});

describe('a key ring that was seen once', () => {
  test('opens the backups of its data key, and none that is made under the next', async () => {
    const { engine, folder } = await openEngine();
    await engine.put(admin, 'before', bytes('value'));
    const old = await backupOf(engine);
    await engine.rotateKeys(admin);
    await expect.poll(() => engine.rotation(admin), { timeout: 20_000 }).toBeUndefined();
    await engine.put(admin, 'after', bytes('value'));
    const later = await backupOf(engine);
    await engine.close();

    const whole = (backup: Buffer) =>
      (async function* () {
        yield backup;
      })();
    const preamble = await new BackupReader(whole(old)).preamble();
    const rootKey = parseRootKey(`file:${join(folder, 'root.key')}`);
    const ring = await openRingOf(preamble, rootKey, {
      stateDir: join(folder, 'state'),
      onNotice: () => undefined,
    });
    const read = async (backup: Buffer) => {
      const reader = new BackupReader(whole(backup));
      return drain(reader.items(await reader.preamble(), ring));
    };
    expect((await read(old)).records).toBeGreaterThan(0);
    expect(await codeOf(read(later))).toBe('backup_broken');
    ring.wipe();
  });
});
