import type { FileHandle } from 'node:fs/promises';

import { CofferError } from '../errors.js';

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;
/** Far more than any line of ours has; what is longer is no line, and is not gathered in memory. */
export const LINE_BYTES_MAX = 16 * 1024 * 1024;
const NOTHING = Buffer.alloc(0);

/** A line's exact bytes without its newline; only a file's last line may lack one. */
export interface Line {
  readonly line: Buffer;
  readonly terminated: boolean;
}

export const tooLong = (): CofferError =>
  new CofferError(
    'audit_broken',
    `the audit log was changed, or the disk damaged it: it has a line of more than ${LINE_BYTES_MAX} bytes`,
  );

// node:readline would also split at U+2028 and U+2029, which JSON leaves as they are and a secret's name may hold.

/** Cuts bytes that come in blocks between lines. The start of a line that has no end yet is joined once, when that comes. */
export class LineBlocks {
  #parts: Buffer[] = [];
  /** Bytes behind the last newline. */
  held = 0;

  /**
   * The whole lines that there are now, with their newlines. What is kept is copied.
   *
   * @throws CofferError `audit_broken` for a line of more than {@link LINE_BYTES_MAX}
   */
  add(block: Buffer): Buffer {
    const end = block.lastIndexOf(NEWLINE) + 1;
    const whole = end === 0 ? NOTHING : this.#join(block.subarray(0, end));
    if (end < block.length) {
      this.#parts.push(Buffer.from(block.subarray(end)));
      this.held += block.length - end;
    }
    if (this.held > LINE_BYTES_MAX) throw tooLong();
    return whole;
  }

  /** What is behind the last newline, and then is not kept any more. */
  takeRest(): Buffer {
    return this.#join(NOTHING);
  }

  #join(last: Buffer): Buffer {
    const whole = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]);
    this.#parts = [];
    this.held = 0;
    return whole;
  }
}

/** The lines of a file in order; what is longer than {@link LINE_BYTES_MAX} is none, and is left out. */
export async function* linesForwards(file: FileHandle): AsyncIterable<Line> {
  const blocks = new LineBlocks();
  let isTooLong = false;
  for (let position = 0; ; ) {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    let text = chunk.subarray(0, bytesRead);
    if (isTooLong) {
      const end = text.indexOf(NEWLINE);
      if (end < 0) continue;
      text = text.subarray(end + 1);
      isTooLong = false;
    }
    const whole = blocks.add(text);
    let start = 0;
    for (let end = whole.indexOf(NEWLINE); end >= 0; end = whole.indexOf(NEWLINE, start)) {
      yield { line: whole.subarray(start, end), terminated: true };
      start = end + 1;
    }
    if (blocks.held > LINE_BYTES_MAX - CHUNK_BYTES) {
      blocks.takeRest();
      isTooLong = true;
    }
  }
  const rest = blocks.takeRest();
  if (rest.length > 0) yield { line: rest, terminated: false };
}

/**
 * The lines of a file of `size` bytes from the last to the first.
 *
 * @throws CofferError `audit_broken` for a line of more than {@link LINE_BYTES_MAX}
 */
export async function* linesBackwards(file: FileHandle, size: number): AsyncIterable<Line> {
  /** The end of a line whose start was not read yet, its first part first. */
  let parts: Buffer[] = [];
  let held = 0;
  let terminated = false;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const chunk = Buffer.alloc(end - start);
    await file.read(chunk, 0, chunk.length, start);
    let text: Buffer = chunk;
    for (let at = text.lastIndexOf(NEWLINE); at >= 0; at = text.lastIndexOf(NEWLINE)) {
      const line =
        parts.length === 0 ? text.subarray(at + 1) : Buffer.concat([text.subarray(at + 1), ...parts]);
      parts = [];
      held = 0;
      if (line.length > 0 || terminated) yield { line, terminated };
      terminated = true;
      text = text.subarray(0, at);
    }
    parts.unshift(text);
    held += text.length;
    if (held > LINE_BYTES_MAX) throw tooLong();
    end = start;
  }
  if (held > 0) yield { line: Buffer.concat(parts), terminated };
}
