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
 * @throws CofferError `audit_broken` if a whole line there is no entry
 */
export async function readTail(file: FileHandle, path: string): Promise<Tail> {
  const { size } = await file.stat();
  const intents: OpenIntent[] = [];
  const closed = new Set<number>();
  let lastLine: Buffer | undefined;
  let torn: Buffer = Buffer.alloc(0);
  let seq = 0;
  let openSince = 0;

  for await (const { line, terminated } of linesBackwards(file, size)) {
    if (!terminated) {
      torn = line;
      continue;
    }
    const entry = parseLine(line, path);
    if (lastLine === undefined) {
      lastLine = line;
      seq = entry.seq;
    }
    if (entry.intent !== undefined) closed.add(entry.intent);
    if (entry.phase === 'intent' && !closed.has(entry.seq)) intents.push(entry as OpenIntent);
    if (entry.action === 'checkpoint' && openSince === 0) openSince = entry.openSince ?? entry.seq;
    if (openSince !== 0 && entry.seq <= openSince) break;
  }
  return {
    length: size - torn.length,
    seq,
    lastLine: lastLine ?? Buffer.alloc(0),
    torn,
    open: intents.reverse(),
  };
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
