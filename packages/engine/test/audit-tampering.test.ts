import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';

import { sha256 } from '../src/audit/hash.js';
import { checkpointMessage, retirementMessage } from '../src/audit/signer.js';
import { type AuditVerdict, Engine, type KnownLine, type Signer, verifyAuditLog } from '../src/index.js';
import type { AuditLine } from './audit-file.js';
import { admin, bytes, createSigner, engineOptions, temporaryFolder, verifySignature } from './support.js';

interface Trust {
  readonly storeId?: string;
  readonly key?: string;
}

/** A file of a log, in memory. */
interface File {
  readonly name: string;
  readonly lines: readonly string[];
}

/** Of each kind of tampering; the long form is `TAMPER_RUNS=2000`. */
const RUNS = Number(process.env.TAMPER_RUNS ?? 40);
const DAY = 24 * 60 * 60 * 1_000;

let original: readonly File[];
let lines: readonly string[];
let identity: Trust;
let anchor: KnownLine;
/** Another one's key. */
const forger = createSigner(Buffer.alloc(32, 9));

/** A closed log of several files whose oldest ones were retired. */
beforeAll(async () => {
  let now = new Date('2031-01-01T00:00:00Z');
  const audit = { segmentBytes: 4_096, retentionDays: 5 };
  const folder = await mkdtemp(join(tmpdir(), 'coffer-'));
  const open = () => Engine.open(engineOptions(folder, { audit, now: () => now }));
  let engine = await open();
  for (let day = 0; day < 8; day++) {
    for (let i = 0; i < 4; i++) await engine.put(admin, `s${i}`, bytes(`day ${day}`));
    await engine.get(admin, 's1');
    now = new Date(now.getTime() + DAY);
  }
  await engine.close();
  engine = await open();
  await engine.get(admin, 's1');
  await engine.close();
  const { storeId, serverKey } = engine;
  identity = { storeId, key: serverKey };
  original = await filesOf(join(folder, 'state', 'audit'));
  await rm(folder, { recursive: true });
  lines = original.flatMap((file) => file.lines);
  const { seq } = parsed(lines.at(-1) as string);
  anchor = { seq, hash: sha256(lines.at(-1) as string), from: 'the store' };
});

const parsed = (line: string) => JSON.parse(line) as AuditLine;

async function filesOf(folder: string): Promise<File[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.log')).sort();
  // A full stop sorts behind a hyphen: `audit.log` is the last.
  return Promise.all(
    names.map(async (name) => ({
      name,
      lines: (await readFile(join(folder, name), 'utf8')).split('\n').slice(0, -1),
    })),
  );
}

async function verdictOn(
  files: readonly File[],
  known: readonly KnownLine[] = [],
  trust: Trust = identity,
): Promise<AuditVerdict> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-'));
  for (const { name, lines } of files) {
    await writeFile(join(folder, name), Buffer.from(lines.map((line) => `${line}\n`).join(''), 'latin1'));
  }
  try {
    return await verifyAuditLog(folder, { ...trust, known, verify: verifySignature });
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** The same lines cut into the same files, as far as they go. */
function inFiles(changed: readonly string[]): File[] {
  let start = 0;
  return original.map(({ name, lines: { length } }, index) => {
    const end = index === original.length - 1 ? changed.length : start + length;
    const part = changed.slice(start, end);
    start = end;
    return { name, lines: part };
  });
}

/** Chains all lines from `from` on anew and signs what was signed with another key, as who has no key of ours can. */
function rechained(changed: readonly string[], from: number, signer: Signer = forger): string[] {
  const result = changed.slice(0, from);
  for (const line of changed.slice(from)) {
    const before = result.at(-1);
    const { seq: seqBefore = 0 } = before === undefined ? {} : parsed(before);
    const entry = {
      ...parsed(line),
      seq: seqBefore + 1,
      prev: before === undefined ? '0'.repeat(64) : sha256(before),
    };
    result.push(JSON.stringify(signedAnew(entry, signer)));
  }
  return result;
}

function signedAnew(entry: AuditLine, signer: Signer): AuditLine {
  const fields = entry as never;
  const message =
    entry.action === 'checkpoint'
      ? checkpointMessage(entry.store as string, fields)
      : entry.action === 'retire'
        ? retirementMessage(entry.store as string, fields)
        : undefined;
  if (!message) return entry;
  const signature = Buffer.from(signer.sign(message)).toString('base64');
  return { ...entry, key: signer.publicKey, signature };
}

const at = (share: number, length: number) => Math.min(length - 1, Math.floor(share * length));
const share = fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true });
const args = fc.record({ a: share, b: share, byte: fc.integer({ min: 0x20, max: 0x7e }) });

type Args = { a: number; b: number; byte: number };

/** What somebody who can write the disk may do; each leaves other files than there were, or the same. */
const TAMPERINGS: Readonly<Record<string, (args: Args) => readonly File[]>> = {
  'an edit': ({ a, b, byte }) => {
    const line = lines[at(a, lines.length)] as string;
    const where = at(b, line.length);
    return inFiles(
      lines.with(
        at(a, lines.length),
        line.slice(0, where) + String.fromCharCode(byte) + line.slice(where + 1),
      ),
    );
  },
  'an insertion': ({ a, b, byte }) => {
    const line = lines[at(a, lines.length)] as string;
    const where = at(b, line.length);
    return inFiles(
      lines.with(at(a, lines.length), line.slice(0, where) + String.fromCharCode(byte) + line.slice(where)),
    );
  },
  'lines deleted': ({ a, b }) => inFiles(lines.toSpliced(at(a, lines.length), 1 + at(b, 5))),
  'a line repeated': ({ a, b }) =>
    inFiles(lines.toSpliced(at(b, lines.length), 0, lines[at(a, lines.length)] as string)),
  'two lines exchanged': ({ a, b }) => {
    const [one, other] = [at(a, lines.length), at(b, lines.length)];
    return inFiles(lines.with(one, lines[other] as string).with(other, lines[one] as string));
  },
  'a stretch turned round': ({ a, b }) => {
    const start = at(a, lines.length);
    const stretch = lines.slice(start, start + 2 + at(b, 6));
    return inFiles(lines.toSpliced(start, stretch.length, ...stretch.toReversed()));
  },
  'a file deleted': ({ a }) => original.toSpliced(at(a, original.length), 1),
  'the oldest files deleted': ({ a }) => original.slice(1 + at(a, original.length - 1)),
  'two files under each other’s names': ({ a, b }) => {
    const [one, other] = [at(a, original.length), at(b, original.length)];
    const [first, second] = [original[one] as File, original[other] as File];
    return original
      .with(one, { name: first.name, lines: second.lines })
      .with(other, { name: second.name, lines: first.lines });
  },
  'a file under another name': ({ a, b }) => {
    const index = at(a, original.length - 1);
    const number = String(1 + at(b, 1_000_000)).padStart(16, '0');
    return original.with(index, { ...(original[index] as File), name: `audit-${number}.log` });
  },
  'a file twice': ({ a, b }) => [
    ...original,
    {
      name: `audit-${String(1 + at(b, 1_000_000)).padStart(16, '0')}.log`,
      lines: (original[at(a, original.length)] as File).lines,
    },
  ],
  'an edit with all that follows chained and signed anew by another key': ({ a }) => {
    const index = at(a, lines.length);
    const edited = JSON.stringify({ ...parsed(lines[index] as string), secret: 'forged' });
    return inFiles(rechained(lines.with(index, edited), index));
  },
  'a deletion with all that follows chained and signed anew by another key': ({ a }) => {
    const index = at(a, lines.length - 1);
    return inFiles(rechained(lines.toSpliced(index, 1), index));
  },
  'the oldest files deleted, with an entry for it by another key': ({ a }) => {
    const gone = original.slice(0, 1 + at(a, original.length - 1)).flatMap((file) => file.lines);
    const rest = lines.slice(gone.length);
    const last = gone.at(-1) as string;
    const retire = {
      action: 'retire',
      upTo: parsed(last).seq,
      upToHash: sha256(last),
      store: identity.storeId,
    };
    return [{ name: 'audit.log', lines: rechained([...rest, JSON.stringify(retire)], rest.length) }];
  },
  'the oldest files deleted, with a true entry of another place': ({ a }) => {
    const rest = original.slice(1 + at(a, original.length - 1)).flatMap((file) => file.lines);
    const true_ = lines.find((line) => parsed(line).action === 'retire') as string;
    const end = rest.at(-1) as string;
    const moved = { ...parsed(true_), seq: parsed(end).seq + 1, prev: sha256(end) };
    return [{ name: 'audit.log', lines: [...rest, JSON.stringify(moved)] }];
  },
};

const same = (files: readonly File[]) => JSON.stringify(files) === JSON.stringify(original);

describe('the verifier', () => {
  it('finds the log sound that nobody touched, older files retired', async () => {
    const verdict = await verdictOn(original, [anchor]);
    expect(verdict.broken).toBeUndefined();
    expect(verdict.first).toBeGreaterThan(1);
    expect(original.length).toBeGreaterThan(4);
    expect(verdict.known).toMatchObject([{ state: 'holds' }]);
  });

  it.each(Object.keys(TAMPERINGS))('finds %s', { timeout: 60_000 }, async (name) => {
    const tamper = TAMPERINGS[name] as (args: Args) => readonly File[];
    await fc.assert(
      fc.asyncProperty(args, async (values) => {
        const files = tamper(values);
        fc.pre(!same(files));
        expect((await verdictOn(files, [anchor])).broken).toBeDefined();
        // Without a line known from elsewhere only the very end, behind the last signature's own line, is free.
        const kept = files.flatMap((file) => file.lines);
        const onlyTheEnd = kept.length <= lines.length && kept.every((line, at) => line === lines[at]);
        const lastOnly =
          kept.length === lines.length && kept.slice(0, -1).every((line, at) => line === lines[at]);
        if (onlyTheEnd || lastOnly) return;
        expect((await verdictOn(files)).broken).toBeDefined();
      }),
      { numRuns: RUNS },
    );
  });

  it('finds every cut of the end by the store’s line, and by one that was kept elsewhere', {
    timeout: 60_000,
  }, async () => {
    for (let kept = 0; kept < lines.length; kept++) {
      const files = inFiles(lines.slice(0, kept)).filter((file) => file.lines.length > 0);
      const { broken } = await verdictOn(files, [{ ...anchor, from: '--expect' }]);
      // A cut so deep that the entry for the retired lines is gone shows at the start.
      expect(broken?.reason).toMatch(/--expect knows of line|no signed entry says/);
    }
  });

  it('finds a line that is not the one that was kept elsewhere, and says if it was retired', async () => {
    const middle = parsed(lines[20] as string).seq;
    const wrong = { seq: middle, hash: 'f'.repeat(64), from: '--expect' };
    expect((await verdictOn(original, [wrong])).broken).toMatchObject({
      seq: middle,
      reason: 'it is not the line that --expect knows',
    });
    const first = parsed(lines[0] as string);
    const before = { seq: first.seq - 1, hash: first.prev, from: '--expect' };
    expect(await verdictOn(original, [before])).toMatchObject({ known: [{ state: 'retired' }] });
    expect((await verdictOn(original, [{ ...before, hash: wrong.hash }])).broken).toBeDefined();
    const gone = { seq: 1, hash: wrong.hash, from: '--expect' };
    expect(await verdictOn(original, [gone])).toMatchObject({ known: [{ state: 'retired' }] });
  });

  it('proves without a key only that one key signed all, and says which', async () => {
    const forged = [{ name: 'audit.log', lines: rechained(lines, 0) }];
    expect((await verdictOn(forged)).broken).toBeDefined();
    const verdict = await verdictOn(forged, [], {});
    expect(verdict.broken).toBeUndefined();
    expect(verdict).toMatchObject({ key: forger.publicKey, storeId: identity.storeId });
    // One of two keys is never right.
    const half = [{ name: 'audit.log', lines: rechained(lines, lines.length - 10) }];
    expect((await verdictOn(half, [], {})).broken).toBeDefined();
  });

  it('names the file and the line in it', async () => {
    const index = 2;
    const file = original[index] as File;
    const changed = file.lines.with(
      3,
      (file.lines[3] as string).replace('"authorized":true', '"authorized":TRUE'),
    );
    const { broken } = await verdictOn(original.with(index, { ...file, lines: changed }));
    expect(broken).toMatchObject({ file: file.name, fileLine: 4, reason: 'the line is no JSON object' });
  });

  it('finds a closed file that was cut off in the middle of a line', async () => {
    const folder = await temporaryFolder();
    for (const { name, lines } of original) await writeFile(join(folder, name), `${lines.join('\n')}\n`);
    const [first] = original as [File];
    await writeFile(join(folder, first.name), first.lines.join('\n'));
    const verdict = await verifyAuditLog(folder, { ...identity, verify: verifySignature });
    expect(verdict.broken).toMatchObject({
      file: first.name,
      fileLine: first.lines.length,
      reason: 'it was cut off',
    });
  });
});
