import { CofferError } from '../../errors.js';
import { GENESIS, sha256 } from '../hash.js';
import { LineHead } from '../line-head.js';

const NEWLINE = 0x0a;

/** A line that was copied last, and where. */
export interface CopyPlace {
  /** Of the line; 0 before the first. */
  readonly seq: number;
  readonly hash: string;
  /** Of the chain's last message in the stream; 0 if there is none. */
  readonly message: number;
}

export const NOWHERE: CopyPlace = { seq: 0, hash: GENESIS, message: 0 };

/** Whole lines that make a message, or, where one line is longer than that, several. */
export interface Batch {
  readonly lines: Buffer;
  readonly first: number;
  readonly last: number;
  readonly hash: string;
  /** Of the first line, in milliseconds. */
  readonly time: number;
  /** `seq` of the last line that is no `witness`; 0 if all are. */
  readonly told: number;
}

/** Cuts whole lines into batches of at most `bytes`, or of one line. */
export function* batchesOf(lines: Buffer, bytes: number): Generator<Batch> {
  for (let start = 0; start < lines.length; ) {
    let end =
      start + bytes >= lines.length ? lines.length : lines.lastIndexOf(NEWLINE, start + bytes - 1) + 1;
    if (end <= start) end = lines.indexOf(NEWLINE, start) + 1;
    if (end <= start) return;
    yield batchOf(lines.subarray(start, end));
    start = end;
  }
}

/** Looks at the first line and at the last ones: those between were chained by this instance, and are copied as they stand. */
function batchOf(lines: Buffer): Batch {
  const first = LineHead.of(lines);
  const lastLine = lines.subarray(startOfLast(lines), -1);
  const last = LineHead.of(lastLine);
  if (!first || !last || lines.at(-1) !== NEWLINE) {
    throw new CofferError(
      'audit_broken',
      'the audit log on this disk has lines that are no entries, and no copies are made of what stands there and behind it: ' +
        'verify it with "coffer audit verify --own"',
    );
  }
  const hash = sha256(lastLine);
  return { lines, first: first.seq, last: last.seq, hash, time: first.time, told: toldIn(lines) };
}

const startOfLast = (lines: Buffer): number =>
  lines.length < 2 ? 0 : lines.lastIndexOf(NEWLINE, lines.length - 2) + 1;

function toldIn(lines: Buffer): number {
  for (let rest = lines; rest.length > 0; ) {
    const start = startOfLast(rest);
    const line = rest.subarray(start);
    const head = LineHead.of(line);
    if (head && !line.includes(WITNESS)) return head.seq;
    rest = rest.subarray(0, start);
  }
  return 0;
}

/** In a name the quotes would be escaped. */
const WITNESS = Buffer.from('"action":"witness"');
