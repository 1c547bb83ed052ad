import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import { batchesOf } from '../src/audit/copies/batch.js';
import { formatSpan, openCopy, parseSpan, sealCopy } from '../src/audit/copies/format.js';
import { CopyKeys } from '../src/audit/copies/keys.js';
import { mergeByTime } from '../src/audit/copies/merge.js';
import { AuditLog, type AuditOptions } from '../src/audit/log.js';
import { readLog } from '../src/audit/reader.js';
import { verifyAuditLog } from '../src/audit/verify.js';
import { SERVER } from '../src/caller.js';
import { KeyRing } from '../src/crypto/key-ring.js';
import { RandomPool } from '../src/crypto/random-pool.js';
import { createSigner, temporaryFolder, verifySignature } from './support.js';

const A = 'aaaaaaaaaaaaaaaa';
const B = 'bbbbbbbbbbbbbbbb';
const STORE = '0'.repeat(32);
const signer = createSigner(Buffer.alloc(32, 7));

async function write(folder: string, instance: string | undefined, options: Partial<AuditOptions> = {}) {
  const log = await AuditLog.open(folder, {
    storeId: STORE,
    signer,
    instance,
    generation: () => 1,
    revision: () => 1,
    witness: { anchor: { seq: 0, hash: '' }, revision: 1, generation: 1 },
    acceptRollback: false,
    now: () => new Date('2031-01-01T00:00:00Z'),
    onFatal: (error) => {
      throw error;
    },
    onNotice: () => undefined,
    ...options,
  });
  await log.append({ caller: SERVER, action: 'get', secret: 'a' }, { authorized: true });
  await log.close();
}

const verify = (folder: string, instance?: string) =>
  verifyAuditLog(folder, { storeId: STORE, key: signer.publicKey, instance, verify: verifySignature });

describe('the log of one of several instances', () => {
  it('names it in each line, and verifies as that one’s only', async () => {
    const folder = await temporaryFolder();
    await write(folder, A);
    await write(folder, A);
    expect(await verify(folder)).toMatchObject({ instance: A, checkpoints: 4 });
    expect((await verify(folder, A)).broken).toBeUndefined();
    expect((await verify(folder, B)).broken?.reason).toBe(`it is of the instance ${A}`);
  });

  it('goes on behind what an only server wrote, and stays that one’s, with another replica or alone', async () => {
    const folder = await temporaryFolder();
    await write(folder, undefined);
    expect((await verify(folder, A)).broken?.reason).toContain('no line names the instance');
    await write(folder, A);
    expect((await verify(folder, A)).broken).toBeUndefined();
    await write(folder, B);
    await write(folder, undefined);
    expect((await verify(folder, A)).broken).toBeUndefined();
    expect(await verify(folder)).toMatchObject({ instance: A, entries: 12 });
  });

  it('says in its checkpoints how far its copies are, signed', async () => {
    const folder = await temporaryFolder();
    await write(folder, A, { delivered: () => 17 });
    const log = await AuditLog.open(folder, {
      storeId: STORE,
      signer,
      instance: A,
      generation: () => 1,
      revision: () => 1,
      witness: { anchor: { seq: 0, hash: '' }, revision: 1, generation: 1 },
      acceptRollback: false,
      now: () => new Date(),
      onFatal: () => undefined,
      onNotice: () => undefined,
    });
    expect(log.deliveredBefore).toBe(17);
    await log.close();
  });
});

const span = { first: 3, last: 5, prev: '1'.repeat(64), hash: '2'.repeat(64), time: 1_900_000_000_000 };

describe('a copy', () => {
  it('opens for its store, its chain and its header only', () => {
    const ring = KeyRing.create(new Date());
    const keys = new CopyKeys(ring, STORE);
    const owner = { storeId: STORE, chain: A };
    const header = formatSpan({ ...span, part: 1, parts: 1 });
    expect(parseSpan(header)).toEqual({ ...span, part: 1, parts: 1 });
    const sealed = sealCopy(owner, header, Buffer.from('lines'), keys.current, new RandomPool());
    const { key } = keys.current;
    expect(openCopy(owner, header, sealed, key)?.toString()).toBe('lines');
    expect(openCopy({ ...owner, chain: B }, header, sealed, key)).toBeUndefined();
    expect(openCopy({ ...owner, storeId: '1'.repeat(32) }, header, sealed, key)).toBeUndefined();
    const other = formatSpan({ ...span, first: 4, part: 1, parts: 1 });
    expect(openCopy(owner, other, sealed, key)).toBeUndefined();
    for (const at of [5, 40, sealed.length - 1]) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(openCopy(owner, header, changed, key)).toBeUndefined();
    }
    ring.wipe();
  });

  it.each([
    '',
    '0:1:',
    `5:3:${'1'.repeat(64)}:${'2'.repeat(64)}:1:1/1`,
    `3:5:${'1'.repeat(64)}:${'2'.repeat(64)}:1:2/1`,
    `3:5:${'1'.repeat(63)}:${'2'.repeat(64)}:1:1/1`,
  ])('has no header %j', (text) => {
    expect(parseSpan(text)).toBeUndefined();
  });

  it('opens by a note of keys when its data key is gone, and for nobody else', () => {
    const ring = KeyRing.create(new Date());
    const old = new CopyKeys(ring, STORE);
    const first = Buffer.from(old.current.key);
    ring.replaceDataKeys([...ring.dataKeys, ring.nextDataKey(new Date())]);
    const note = old.note(new RandomPool());
    ring.replaceDataKeys([ring.newest]);
    const keys = new CopyKeys(ring, STORE);
    expect(keys.get(1)).toBeUndefined();
    expect(new CopyKeys(ring, '1'.repeat(32)).learn(note)).toBe(false);
    expect(keys.learn(note.subarray(0, -1))).toBe(false);
    expect(keys.learn(note)).toBe(true);
    expect(keys.get(1)?.equals(first)).toBe(true);
    expect(keys.older).toEqual([1]);
  });
});

const lineOf = (seq: number, second: number) =>
  `{"id":1,"time":"2031-01-01T00:00:${String(second).padStart(2, '0')}.000Z","seq":${seq},"prev":"x"}\n`;

async function* pieces(...texts: string[]): AsyncGenerator<Buffer> {
  for (const text of texts) yield Buffer.from(text);
}

describe('lines', () => {
  it('are cut into batches of whole lines, a longer one by itself', () => {
    const lines = [
      lineOf(1, 1),
      lineOf(2, 1),
      `${lineOf(3, 1).slice(0, -2)},"x":"${'y'.repeat(500)}"}\n`,
      lineOf(4, 1),
    ];
    const batches = [...batchesOf(Buffer.from(lines.join('')), 200)];
    expect(batches.map(({ first, last }) => [first, last])).toEqual([
      [1, 2],
      [3, 3],
      [4, 4],
    ]);
    expect(Buffer.concat(batches.map((batch) => batch.lines)).toString()).toBe(lines.join(''));
  });

  it('are told of by the last one that is no witness', () => {
    const witness = (seq: number) => lineOf(seq, 1).replace('}\n', ',"action":"witness"}\n');
    const told = (...lines: string[]) =>
      [...batchesOf(Buffer.from(lines.join('')), 4096)].map((one) => one.told);
    expect(told(lineOf(7, 1), lineOf(8, 1), witness(9), witness(10))).toEqual([8]);
    expect(told(witness(7), lineOf(8, 1))).toEqual([8]);
    expect(told(witness(7), witness(8))).toEqual([0]);
  });

  it('are not cut into batches where the log ends or begins with what is no entry, or breaks off', () => {
    const cut = (text: string) => () => [...batchesOf(Buffer.from(text), 4096)];
    expect(cut(`${lineOf(1, 1)}nothing of ours\n`)).toThrow(/lines that are no entries/);
    expect(cut(`nothing of ours\n${lineOf(2, 1)}`)).toThrow(/lines that are no entries/);
    expect(cut(lineOf(1, 1) + lineOf(2, 1).trimEnd())).toThrow(/lines that are no entries/);
  });

  it('that are read from a log as it grows are those that may be read, as they stand there', async () => {
    const path = await temporaryFolder();
    const foreign = 'nothing of ours\n';
    const log = [lineOf(1, 1), lineOf(2, 1), foreign, lineOf(3, 1), lineOf(4, 1), foreign];
    writeFileSync(join(path, 'audit.log'), log.join(''));
    const read = async (from: number, ends: number[]) => {
      const pieces: string[] = [];
      const end = {
        seq: () => ends[0] as number,
        more: async () => ends.splice(0, 1).length > 0 && ends.length > 0,
      };
      for await (const piece of readLog(path, { from }, end)) pieces.push(piece.toString());
      return pieces.filter((piece) => piece !== '');
    };
    expect(await read(1, [2, 3, 4])).toEqual([
      lineOf(1, 1) + lineOf(2, 1) + foreign,
      lineOf(3, 1),
      lineOf(4, 1) + foreign,
    ]);
    expect(await read(2, [3])).toEqual([lineOf(2, 1) + foreign + lineOf(3, 1)]);
    expect(await read(1, [0])).toEqual([]);
  });

  it('of several logs come by their time, each log’s in its order', async () => {
    const one = pieces(lineOf(1, 1) + lineOf(2, 5), lineOf(3, 3), '', lineOf(4, 9));
    const two = pieces(lineOf(11, 2), lineOf(12, 5) + lineOf(13, 6));
    const seqs: number[] = [];
    for await (const piece of mergeByTime([one, two, pieces()])) {
      for (const line of piece.toString().split('\n').slice(0, -1)) seqs.push(JSON.parse(line).seq);
    }
    expect(seqs).toEqual([1, 11, 2, 3, 12, 13, 4]);
  });
});
