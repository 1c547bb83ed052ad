import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { CofferError } from '../errors.js';
import { GENESIS, sha256 } from './hash.js';
import { linesBackwards } from './lines.js';
import { closedSegments } from './segments.js';
import { readTail } from './tail.js';

/** A file of the log, or the part of it up to a line. */
export interface LogPart {
  readonly name: string;
  /** Whole lines. */
  readonly bytes: number;
  readonly file: FileHandle;
}

/** How often the folder is looked at again when a file is put aside at that very moment. */
const ATTEMPTS = 5;

/** Nothing is looked for. */
const ANY = { seq: Number.MAX_SAFE_INTEGER, hash: '' };

export const CURRENT_LOG = 'audit.log';

/** Names of the log's files, from the oldest to the current one. */
export async function logFiles(folder: string): Promise<string[]> {
  // In this order: a file that is closed in between is found by its new name or by both, never by none.
  const current = (await readdir(folder)).includes(CURRENT_LOG);
  const closed = (await closedSegments(folder)).map(({ name }) => name);
  return current ? [...closed, CURRENT_LOG] : closed;
}

/**
 * The last whole line of a log that nobody writes to; what a crash tore behind it does not count.
 *
 * @throws CofferError `audit_broken`
 */
export async function endOfLog(folder: string): Promise<LogHead> {
  for (const name of (await logFiles(folder)).reverse()) {
    const path = join(folder, name);
    const file = await open(path, 'r');
    try {
      const { seq, lastLine } = await readTail(file, [], { path, anchor: ANY, isOurs: () => true });
      if (seq > 0) return { seq, hash: sha256(lastLine) };
    } finally {
      await file.close();
    }
  }
  return { seq: 0, hash: GENESIS };
}

/**
 * A log up to a line, as it was when this was opened: its files stay readable though they are closed, renamed or retired
 * meanwhile, and what is appended is not looked at.
 */
export class LogCopy {
  /** From the oldest on: whole files, and the one with the line, under the name of the current one. */
  readonly parts: readonly LogPart[];

  private constructor(parts: readonly LogPart[]) {
    this.parts = parts;
  }

  /** @throws CofferError `audit_broken` if the line is not there; `conflict` if files before it were retired just now */
  static async open(folder: string, head: LogHead): Promise<LogCopy> {
    const parts: LogPart[] = [];
    if (head.seq === 0) return new LogCopy(parts);
    const { before, last } = await locate(folder, head);
    try {
      for (const name of before) {
        const file = await open(join(folder, name), 'r');
        parts.push({ name, file, bytes: (await file.stat()).size });
      }
    } catch (error) {
      for (const { file } of [...parts, last]) await file.close();
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      throw new CofferError('conflict', 'files of the audit log were retired at this moment: try again');
    }
    return new LogCopy([...parts, last]);
  }

  /** Twice is harmless. */
  async close(): Promise<void> {
    for (const { file } of this.parts) await file.close();
  }
}

interface LogHead {
  readonly seq: number;
  /** SHA-256 of the line, hex. */
  readonly hash: string;
}

async function locate(folder: string, head: LogHead): Promise<{ before: string[]; last: LogPart }> {
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const names = await logFiles(folder);
    for (const [index, name] of [...names.entries()].reverse()) {
      const file = await open(join(folder, name), 'r').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      if (!file) break;
      const bytes = await endOfLine(file, head);
      if (bytes > 0) return { before: names.slice(0, index), last: { name: CURRENT_LOG, file, bytes } };
      await file.close();
    }
  }
  throw new CofferError(
    'audit_broken',
    `line ${head.seq} of the audit log in ${folder} is not there any more: the log was changed or taken away`,
  );
}

/** Where the line ends in the file; 0 if it is not in it. */
async function endOfLine(file: FileHandle, head: LogHead): Promise<number> {
  const { size } = await file.stat();
  let end = size;
  for await (const { line, terminated } of linesBackwards(file, size)) {
    if (terminated && sha256(line) === head.hash) return end;
    end -= line.length + (terminated ? 1 : 0);
    const seq = Number(/"seq":(\d+)/.exec(line.toString('latin1', 0, 256))?.[1]);
    if (seq < head.seq) return 0;
  }
  return 0;
}
