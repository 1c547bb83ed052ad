import { open } from 'node:fs/promises';
import { LogCursor, linesOf } from './cursor.js';
import { type AuditFilter, matcherOf } from './filter.js';
import { LineHead } from './line-head.js';
import { closedSegments } from './segments.js';

/** Clocks are set back at times: so far, in milliseconds, a line's time may be before that of one before it. */
export const CLOCK_STEP = 60 * 60 * 1_000;

/** What somebody wants to read of a log. */
export interface AuditRange extends AuditFilter {
  /** `seq` of the first line; without it, the log's first. */
  readonly from?: number | undefined;
}

/** Where a log ends, for a reader. */
export interface LogEnd {
  /** `seq` of the last line that may be read now. */
  seq(): number;
  /** Waits for more than up to `seen`, for a while; false if the reader is to end. */
  more(seen: number): Promise<boolean>;
}

/**
 * The lines of a log that are wanted, as they stand there with their newlines, some at a time. It looks only into the files
 * that can hold them, and gives way to others after every quarter of a megabyte.
 *
 * An empty piece means that there was nothing for a while.
 */
export async function* readLog(folder: string, range: AuditRange, end: LogEnd): AsyncGenerator<Buffer, void> {
  const { since, until } = range;
  const from = Math.max(range.from ?? 0, since ? await firstSince(folder, since) : 0);
  const wanted = matcherOf(range);
  const cursor = await LogCursor.open(folder, from);
  try {
    for (;;) {
      const upTo = end.seq();
      for (let block = await cursor.read(); block; block = await cursor.read()) {
        const part = select(block.bytes, from, upTo, wanted);
        cursor.putBack(part.beyond);
        yield part.bytes;
        if (until && part.lastTime > until.getTime() + CLOCK_STEP) return;
        if (part.beyond > 0) break;
      }
      if (!(await end.more(upTo))) return;
      yield NOTHING;
    }
  } finally {
    await cursor.close();
  }
}

interface Selected {
  readonly bytes: Buffer;
  /** Bytes from the first line on that may not be read yet. */
  readonly beyond: number;
  /** Of the last line that was looked at, in milliseconds. */
  readonly lastTime: number;
}

const NOTHING = Buffer.alloc(0);

function select(
  block: Buffer,
  from: number,
  upTo: number,
  wanted: ((line: Buffer) => boolean) | undefined,
): Selected {
  const first = LineHead.of(block);
  if (!wanted && first && first.seq >= from) return upToLine(block, upTo);
  const kept: Buffer[] = [];
  let passed = 0;
  let lastTime = 0;
  for (const line of linesOf({ bytes: block })) {
    const head = LineHead.of(line);
    if (head && head.seq > upTo) break;
    // A line that is none of ours belongs to the one before it: who reads all of the log is to see it.
    if ((!head || head.seq >= from) && (wanted?.(line) ?? true)) {
      kept.push(block.subarray(passed, passed + line.length + 1));
    }
    passed += line.length + 1;
    lastTime = head?.time ?? lastTime;
  }
  const bytes = kept.length > 0 ? Buffer.concat(kept) : NOTHING;
  return { bytes, beyond: Math.max(0, block.length - passed), lastTime };
}

const NEWLINE = 0x0a;

/** A block without its last lines that are beyond: those before them need not be looked at. */
function upToLine(block: Buffer, upTo: number): Selected {
  let end = block.length;
  let lastTime = 0;
  for (let at = end; at > 0; ) {
    const start = at < 2 ? 0 : block.lastIndexOf(NEWLINE, at - 2) + 1;
    const head = LineHead.of(block.subarray(start, at));
    if (head && head.seq <= upTo) {
      lastTime = head.time;
      break;
    }
    // A line that is none of ours goes with the one before it.
    if (head) end = start;
    at = start;
  }
  return { bytes: block.subarray(0, end), beyond: block.length - end, lastTime };
}

/** The first line of the last file that begins well before a time. */
async function firstSince(folder: string, since: Date): Promise<number> {
  let found = 0;
  for (const { first, path } of await closedSegments(folder)) {
    const file = await open(path, 'r').catch(() => undefined);
    const head = file && (await LineHead.ofFile(file));
    await file?.close();
    if (!head || head.time > since.getTime() - CLOCK_STEP) break;
    found = first;
  }
  return found;
}
