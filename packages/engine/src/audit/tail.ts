import type { FileHandle } from 'node:fs/promises';

import { CofferError } from '../errors.js';
import { linesBackwards } from './lines.js';

/** What the end of a log tells who opens it. */
export interface Tail {
  /** Bytes of whole lines. */
  readonly length: number;
  readonly seq: number;
  /** The last whole line, whose hash the next one carries; empty for an empty log. */
  readonly lastLine: Buffer;
  /** Bytes after the last newline: a line that a crash tore. */
  readonly torn: Buffer;
  /** Intents that no outcome closes. */
  readonly open: readonly OpenIntent[];
}

/** A change that was about to be made when the process died. */
export interface OpenIntent {
  readonly seq: number;
  readonly action: string;
  readonly operation: string;
  /** The `principal` object as it was logged. */
  readonly principal: { readonly id: string };
  readonly secret?: string;
  readonly secretVersion?: number;
  readonly target?: string;
}

/**
 * Reads a log from its end back to where a checkpoint says that no older intent is open.
 *
 * A power cut may leave whole pages of zeros where the last batches never reached the disk, with later ones behind them.
 * Nothing from there on was acknowledged, since a sync covers all that was written before it: it counts as torn.
 *
 * @throws CofferError `audit_broken` if any other line there is no entry
 */
export async function readTail(file: FileHandle, path: string): Promise<Tail> {
  const { size } = await file.stat();
  let found = new Found();
  let passed = 0;
  let torn = 0;
  for await (const { line, terminated } of linesBackwards(file, size)) {
    passed += line.length + (terminated ? 1 : 0);
    const lost = passed <= UNSYNCED_BYTES && hasLostPage(line, size - passed);
    if (!terminated || lost) {
      torn = passed;
      found = new Found();
    } else if (found.add(line, parseLine(line, path))) {
      break;
    }
  }
  const tornBytes = Buffer.alloc(torn);
  await file.read(tornBytes, 0, torn, size - torn);
  return {
    length: size - torn,
    seq: found.seq,
    lastLine: found.lastLine,
    torn: tornBytes,
    open: found.intents.reverse(),
  };
}

/** More than all batches together that can be under way at one moment. */
const UNSYNCED_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 4_096;

/** True if the line, which stands at `offset` in the file, holds zeros from the start of a page to the end of one. */
function hasLostPage(line: Buffer, offset: number): boolean {
  const first = line.indexOf(0);
  if (first < 0 || (offset + first) % PAGE_BYTES !== 0) return false;
  let end = first;
  while (end < line.length && line[end] === 0) end++;
  return end === line.length || (offset + end) % PAGE_BYTES === 0;
}

/** What the lines of a tail tell, from the last one on backwards. */
class Found {
  seq = 0;
  lastLine: Buffer = Buffer.alloc(0);
  readonly intents: OpenIntent[] = [];
  readonly #closed = new Set<number>();
  #openSince = 0;

  /** True if no line before this one can be an open intent. */
  add(line: Buffer, entry: ParsedLine): boolean {
    if (this.seq === 0) {
      this.lastLine = line;
      this.seq = entry.seq;
    }
    if (entry.intent !== undefined) this.#closed.add(entry.intent);
    if (entry.phase === 'intent' && !this.#closed.has(entry.seq)) this.intents.push(entry as OpenIntent);
    if (entry.action === 'checkpoint' && this.#openSince === 0)
      this.#openSince = entry.openSince ?? entry.seq;
    return this.#openSince !== 0 && entry.seq <= this.#openSince;
  }
}

interface ParsedLine {
  readonly seq: number;
  readonly action: string;
  readonly phase?: string;
  readonly intent?: number;
  readonly openSince?: number;
}

export function parseLine(line: Buffer, path: string): ParsedLine {
  try {
    const entry = JSON.parse(line.toString()) as ParsedLine;
    if (Number.isSafeInteger(entry.seq) && typeof entry.action === 'string') return entry;
  } catch {
    // Told below, without the line: it may hold anything.
  }
  throw new CofferError(
    'audit_broken',
    `the audit log ${path} has a line that is no entry: it was changed or the disk damaged it. Move the log aside to ` +
      'start a new one, and find out what happened',
  );
}
