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

function batchOf(lines: Buffer): Batch {
  let told = 0;
  let first: LineHead | undefined;
  let last: LineHead | undefined;
  let lastLine = lines;
  for (let start = 0; start < lines.length; ) {
    const end = lines.indexOf(NEWLINE, start);
    lastLine = lines.subarray(start, end);
    last = LineHead.of(lastLine);
    first ??= last;
    if (last && !lastLine.includes(WITNESS)) told = last.seq;
    start = end + 1;
  }
  if (!first || !last) {
    throw new CofferError(
      'audit_broken',
      'the audit log on this disk has lines that are no entries, and no copies are made of what stands there and behind it: ' +
        'verify it with "coffer audit verify --own"',
    );
  }
  return { lines, first: first.seq, last: last.seq, hash: sha256(lastLine), time: first.time, told };
}

/** In a name the quotes would be escaped. */
const WITNESS = Buffer.from('"action":"witness"');
