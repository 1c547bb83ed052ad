import type { FileHandle } from 'node:fs/promises';

const CHUNK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** A line's exact bytes without its newline; only a file's last line may lack one. */
export interface Line {
  readonly line: Buffer;
  readonly terminated: boolean;
}

// node:readline would also split at U+2028 and U+2029, which JSON leaves as they are and a secret's name may hold.

/** The lines of a file in order. */
export async function* linesForwards(file: FileHandle): AsyncIterable<Line> {
  let carry: Buffer = Buffer.alloc(0);
  for (let position = 0; ; ) {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, position);
    if (bytesRead === 0) break;
    position += bytesRead;
    const text = Buffer.concat([carry, chunk.subarray(0, bytesRead)]);
    let start = 0;
    for (let end = text.indexOf(NEWLINE); end >= 0; end = text.indexOf(NEWLINE, start)) {
      yield { line: text.subarray(start, end), terminated: true };
      start = end + 1;
    }
    carry = text.subarray(start);
  }
  if (carry.length > 0) yield { line: carry, terminated: false };
}

/** The lines of a file of `size` bytes from the last to the first. */
export async function* linesBackwards(file: FileHandle, size: number): AsyncIterable<Line> {
  let carry: Buffer = Buffer.alloc(0);
  let terminated = false;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const chunk = Buffer.alloc(end - start);
    await file.read(chunk, 0, chunk.length, start);
    let text = Buffer.concat([chunk, carry]);
    for (let at = text.lastIndexOf(NEWLINE); at >= 0; at = text.lastIndexOf(NEWLINE)) {
      const line = text.subarray(at + 1);
      if (line.length > 0 || terminated) yield { line, terminated };
      terminated = true;
      text = text.subarray(0, at);
    }
    carry = text;
    end = start;
  }
  if (carry.length > 0) yield { line: carry, terminated };
}
