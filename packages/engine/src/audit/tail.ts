import { type FileHandle, open } from 'node:fs/promises';

import { CofferError } from '../errors.js';
import type { Anchor } from '../integrity.js';
import { sha256 } from './hash.js';
import { linesBackwards } from './lines.js';
import type { Segment } from './segments.js';
import type { Checkpoint } from './signer.js';

/** What the end of a log tells who opens it. */
export interface Tail {
  /** Bytes of whole lines in the current file. */
  readonly length: number;
  readonly seq: number;
  /** The last whole line, whose hash the next one carries; empty for an empty log. */
  readonly lastLine: Buffer;
  /** Bytes after the last newline of the current file: a line that a crash tore. */
  readonly torn: Buffer;
  /** Intents that no outcome closes. */
  readonly open: readonly OpenIntent[];
  /** Hash of the line at the anchor's `seq`; undefined if there is no such line. */
  readonly anchored: string | undefined;
  /** What the store had reached, by the last checkpoint and the lines behind it. */
  readonly stated: Stated;
  /** That the last line names; undefined if it names none. */
  readonly instance: string | undefined;
  /** Up to which line copies were acknowledged, by the last checkpoint. */
  readonly delivered: number;
}

/** What a log says of the store that it belongs to. */
export interface Stated {
  /** The store's sequence. */
  readonly revision: number;
  /** The manifest's generation. */
  readonly generation: number;
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

export interface TailOptions {
  /** For messages. */
  readonly path: string;
  readonly anchor: Anchor;
  /** Whether the checkpoint is signed by this store's key. */
  isOurs(checkpoint: SignedCheckpoint): boolean;
}

export interface SignedCheckpoint extends Checkpoint {
  readonly signature: string;
}

/**
 * Reads a log from its end back to where a checkpoint says that no older intent is open, and to the anchor. The lines on
 * the way must be a chain, and the last checkpoint the store's own.
 *
 * A power cut may leave whole pages of zeros where the last batches never reached the disk, with later ones behind them.
 * Nothing from there on was acknowledged, since a sync covers all that was written before it: it counts as torn. That
 * is so in the current file only: a file is whole on the disk before it is closed.
 *
 * @param segments the closed files, the oldest first
 * @throws CofferError `audit_broken`
 */
export async function readTail(
  file: FileHandle,
  segments: readonly Segment[],
  options: TailOptions,
): Promise<Tail> {
  const { size } = await file.stat();
  let found = new Found(options);
  let passed = 0;
  let torn = 0;
  for await (const { line, terminated } of linesBackwards(file, size)) {
    passed += line.length + (terminated ? 1 : 0);
    const lost = passed <= UNSYNCED_BYTES && hasLostPage(line, size - passed);
    if (!terminated || lost) {
      torn = passed;
      found = new Found(options);
    } else if (found.add(line)) {
      break;
    }
  }
  for (const { path } of segments.toReversed()) {
    if (found.done) break;
    await readClosed(path, found);
  }
  const tornBytes = Buffer.alloc(torn);
  await file.read(tornBytes, 0, torn, size - torn);
  return { length: size - torn, torn: tornBytes, ...found.tail };
}

async function readClosed(path: string, found: Found): Promise<void> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    for await (const { line, terminated } of linesBackwards(file, size)) {
      if (!terminated) throw broken(path, 'its last line is cut off');
      if (found.add(line)) break;
    }
  } finally {
    await file.close();
  }
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
  readonly #options: TailOptions;
  #last: { readonly seq: number; readonly line: Buffer } | undefined;
  /** The line behind the next one that is added. */
  #behind: { readonly seq: number; readonly prev: string } | undefined;
  #anchored: string | undefined;
  #openSince: number | undefined;
  #stated: Stated = { revision: 0, generation: 0 };
  #delivered = 0;
  #instance: string | undefined;
  readonly #intents: OpenIntent[] = [];
  readonly #closed = new Set<number>();

  constructor(options: TailOptions) {
    this.#options = options;
  }

  get tail(): Omit<Tail, 'length' | 'torn'> {
    return {
      seq: this.#last?.seq ?? 0,
      lastLine: this.#last?.line ?? Buffer.alloc(0),
      open: this.#intents.toReversed(),
      anchored: this.#anchored,
      stated: this.#stated,
      instance: this.#instance,
      delivered: this.#delivered,
    };
  }

  /** True if no line before those that were added matters. */
  get done(): boolean {
    const seq = this.#behind?.seq ?? Number.POSITIVE_INFINITY;
    const { anchor } = this.#options;
    const passed = anchor.seq === 0 || seq <= anchor.seq;
    return passed && this.#openSince !== undefined && seq <= this.#openSince;
  }

  /** @returns {@link done} */
  add(line: Buffer): boolean {
    const { path, anchor } = this.#options;
    const entry = parseLine(line, path);
    const { seq, prev, action, phase, intent } = entry;
    const hash = sha256(line);
    if (this.#behind && (this.#behind.seq !== seq + 1 || this.#behind.prev !== hash)) {
      throw broken(path, `its line ${this.#behind.seq} does not carry the hash of the line before`);
    }
    this.#behind = { seq, prev };
    if (!this.#last) this.#instance = entry.instance;
    this.#last ??= { seq, line };
    if (seq === anchor.seq) this.#anchored = hash;
    if (intent !== undefined) this.#closed.add(intent);
    if (phase === 'intent' && !this.#closed.has(seq)) this.#intents.push(entry as OpenIntent);
    // What lies before a checkpoint may be of a store that was put back since, with somebody's consent.
    if (this.#openSince === undefined) this.#state(entry.revision);
    if (action === 'checkpoint' && this.#openSince === undefined) {
      if (!this.#options.isOurs(entry as SignedCheckpoint)) {
        throw broken(path, `its line ${seq} is signed by another key than this store's`);
      }
      this.#stated = { ...this.#stated, generation: entry.generation ?? 0 };
      this.#openSince = entry.openSince ?? seq;
      this.#delivered = entry.delivered ?? 0;
    }
    return this.done;
  }

  #state(revision = 0): void {
    if (revision > this.#stated.revision) this.#stated = { ...this.#stated, revision };
  }
}

interface ParsedLine extends Partial<OpenIntent>, Partial<SignedCheckpoint> {
  readonly seq: number;
  readonly prev: string;
  readonly action: string;
  readonly phase?: string;
  readonly intent?: number;
}

function parseLine(line: Buffer, path: string): ParsedLine {
  try {
    const entry = JSON.parse(line.toString()) as ParsedLine;
    if (Number.isSafeInteger(entry.seq) && typeof entry.action === 'string') return entry;
  } catch {
    // Told below, without the line: it may hold anything.
  }
  throw broken(path, 'it has a line that is no entry');
}

const broken = (path: string, what: string) =>
  new CofferError(
    'audit_broken',
    `the audit log ${path} was changed, or the disk damaged it: ${what}. Put a whole copy of it back; or move it aside, ` +
      'find out what happened, and start once with --accept-rollback to begin a new one',
  );
