import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { sha256 } from '../audit/hash.js';
import { type Line, linesBackwards } from '../audit/lines.js';
import { isSigned, parseEntry, type StoreSigning } from '../audit/verifier.js';
import { CofferError } from '../errors.js';
import type { Anchor } from '../integrity.js';

/** What the end of an audit log shows to who only looks. */
export interface AuditTailState {
  /** How many lines were looked at, from the last one on. */
  readonly lines: number;
  /** The first line of the log is among them. */
  readonly whole: boolean;
  readonly last?: { readonly seq: number; readonly time: Date };
  /** The newest checkpoint; `signed` is undefined where the server's key is not known. */
  readonly checkpoint?: { readonly seq: number; readonly time: Date; readonly signed: boolean | undefined };
  /** Whether the line that the store knows is there; undefined if it lies before those that were looked at. */
  readonly anchored?: boolean;
  /** When the newest backup was asked for. */
  readonly backup?: Date;
  /** The last line is not whole: a server is writing it, or died then. */
  readonly unfinished: boolean;
  /** The newest line that does not fit the one behind it, and why. */
  readonly broken?: { readonly seq: number; readonly reason: string };
}

export interface InspectAuditOptions {
  /** How many lines to look at; default 20,000. */
  readonly maxLines?: number;
  /** A line that the store knows. */
  readonly anchor?: Anchor | undefined;
  /** Of the store that the log belongs to. */
  readonly signatures?: (StoreSigning & { readonly serverKey: string }) | undefined;
}

interface Entry {
  readonly seq: number;
  readonly prev: string;
  readonly time: string;
  readonly action: string;
  readonly phase?: string;
  readonly authorized?: boolean;
}

/**
 * Looks at the end of the audit log in a state folder: whether the lines are a chain, and what the newest say. Changes
 * nothing. What lies before is for a verification of the whole log.
 *
 * @returns undefined where there is no log
 * @throws what the operating system says of files that cannot be read
 */
export async function inspectAuditTail(
  stateDir: string,
  { maxLines = 20_000, anchor, signatures }: InspectAuditOptions = {},
): Promise<AuditTailState | undefined> {
  const folder = join(stateDir, 'audit');
  const files = await logFiles(folder);
  if (files.length === 0) return undefined;
  const state: { -readonly [K in keyof AuditTailState]: AuditTailState[K] } = {
    lines: 0,
    whole: false,
    unfinished: false,
  };
  /** Of the line behind the one that is looked at. */
  let wanted: { readonly seq: number; readonly hash: string } | undefined;
  for (const path of files) {
    for await (const { line, terminated } of linesOf(path)) {
      if (!terminated) {
        state.unfinished = true;
        continue;
      }
      const entry = entryOf(line);
      const hash = sha256(line);
      const reason = entry === undefined ? 'it is no entry' : misfit(entry, hash, wanted);
      if (entry === undefined || reason !== undefined) {
        state.broken = { seq: entry?.seq ?? (wanted?.seq ?? 0) - 1, reason: reason ?? '' };
        return state;
      }
      state.lines++;
      state.last ??= { seq: entry.seq, time: new Date(entry.time) };
      if (anchor && entry.seq <= anchor.seq)
        state.anchored ??= entry.seq === anchor.seq && hash === anchor.hash;
      if (entry.action === 'checkpoint') {
        state.checkpoint ??= {
          seq: entry.seq,
          time: new Date(entry.time),
          signed: signatures && isOurs(line, signatures),
        };
      }
      if (entry.action === 'backup' && entry.authorized) state.backup ??= new Date(entry.time);
      state.whole = entry.seq === 1;
      if (state.lines === maxLines) return state;
      wanted = { seq: entry.seq, hash: entry.prev };
    }
  }
  // All of it was read.
  if (anchor && anchor.seq > 0) state.anchored ??= false;
  return state;
}

/** The newest first. Closed files have names that sort as their lines do. */
async function logFiles(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
  const closed = names.filter((name) => /^audit-\d{16}\.log$/.test(name)).sort();
  const current = names.filter((name) => name === 'audit.log');
  return [...closed, ...current].reverse().map((name) => join(folder, name));
}

async function* linesOf(path: string): AsyncIterable<Line> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    yield* linesBackwards(file, size);
  } catch (error) {
    if (!(error instanceof CofferError)) throw error;
    // Too long for a line: no entry either.
    yield { line: Buffer.alloc(0), terminated: true };
  } finally {
    await file.close();
  }
}

function entryOf(line: Buffer): Entry | undefined {
  try {
    const entry = JSON.parse(line.toString()) as Entry;
    return Number.isSafeInteger(entry.seq) && !Number.isNaN(Date.parse(entry.time)) ? entry : undefined;
  } catch {
    return undefined;
  }
}

function misfit(
  { seq }: Entry,
  hash: string,
  wanted: { readonly seq: number; readonly hash: string } | undefined,
): string | undefined {
  if (wanted === undefined) return undefined;
  if (seq !== wanted.seq - 1) return `a line of the number ${wanted.seq - 1} should stand there`;
  return hash === wanted.hash ? undefined : 'its hash is not the one that the next line carries';
}

function isOurs(line: Buffer, signatures: StoreSigning & { readonly serverKey: string }): boolean {
  const entry = parseEntry(line);
  return entry?.key === signatures.serverKey && isSigned(entry, signatures);
}
