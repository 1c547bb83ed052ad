import { type FileHandle, open } from 'node:fs/promises';

import { LineHead } from './line-head.js';
import { LineBlocks } from './lines.js';
import { closedSegments, currentPath, type Segment } from './segments.js';

const BLOCK_BYTES = 256 * 1024;
/** A block with more is not copied out. */
const KEPT_BYTES = BLOCK_BYTES / 2;
const NEWLINE = 0x0a;
/** A search for a line ends here, and the rest is read. */
const NEAR_BYTES = 64 * 1024;

/** Some lines of one file, as they stand there. */
export interface LineBlock {
  /** The file's name. */
  readonly file: string;
  /** Whole lines with their newlines; without the last newline if `cutOff`. */
  readonly bytes: Buffer;
  /** A closed file ends without a newline. */
  readonly cutOff: boolean;
}

/**
 * Reads a log file after file in the order of their names, `audit.log` last, and goes on where it is when there is more.
 * Works beside a server that writes, closes and removes files; for one that reads for others, the end is at a line that
 * is durable, not at the end of the file.
 */
export class LogCursor {
  readonly #folder: string;
  #file: OpenFile | undefined;
  /** Name of the file that was read last, by its first line; undefined before any. */
  #passed = 0;
  #offset = 0;
  /** What was read and is no whole line yet. */
  readonly #blocks = new LineBlocks();
  #unfinished = 0;
  /** What is read into, unless somebody got it. */
  #spare: Buffer | undefined;

  private constructor(folder: string) {
    this.#folder = folder;
  }

  /** @param from `seq` of a line to begin with; without it, or where it is not to be found, the log's first. */
  static async open(folder: string, from = 0): Promise<LogCursor> {
    const cursor = new LogCursor(folder);
    if (from > 0) await cursor.#seek(from);
    return cursor;
  }

  /**
   * The next lines; undefined if there are no more now.
   *
   * @throws CofferError `audit_broken` for a line that is too long to be one
   */
  async read(): Promise<LineBlock | undefined> {
    for (;;) {
      const file = this.#file ?? (await this.#openNext());
      if (!file) return undefined;
      const block = await this.#block(file);
      if (block.length > 0) {
        const bytes = this.#blocks.add(block);
        if (bytes.length > 0) return { file: file.name, bytes, cutOff: false };
      } else if (file.first !== undefined) {
        const rest = this.#blocks.takeRest();
        await this.#leave(file.first);
        if (rest.length > 0) return { file: file.name, bytes: rest, cutOff: true };
      } else if (!(await this.#wasClosed(file))) {
        // Read again the next time: what is not yet durable may be taken back, and be another line then.
        this.#unfinished = this.#blocks.held;
        this.putBack(0);
        return undefined;
      }
    }
  }

  /** Name of the file that is being read. */
  get file(): string {
    return this.#file?.name ?? '';
  }

  /** Bytes behind the last newline of the current file, now that {@link read} found no more: a line that is being written, or torn. */
  get unfinished(): number {
    return this.#unfinished;
  }

  /** The last `bytes` of the block that {@link read} gave are to be read again, from the file as it will be then. */
  putBack(bytes: number): void {
    this.#offset -= bytes + this.#blocks.held;
    this.#blocks.takeRest();
  }

  async close(): Promise<void> {
    await this.#file?.handle.close();
    this.#file = undefined;
  }

  /** Empty at the end of the file. Who follows a log reads often and little: what is not filled is read into again. */
  async #block({ handle }: OpenFile): Promise<Buffer> {
    const spare = this.#spare ?? Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#spare = undefined;
    const { bytesRead } = await handle.read(spare, 0, BLOCK_BYTES, this.#offset);
    this.#offset += bytesRead;
    const read = spare.subarray(0, bytesRead);
    if (bytesRead > KEPT_BYTES) return read;
    this.#spare = spare;
    return Buffer.from(read);
  }

  /** The first file behind the one that was read last. */
  async #openNext(): Promise<OpenFile | undefined> {
    for (;;) {
      const segment = (await closedSegments(this.#folder)).find(({ first }) => first > this.#passed);
      this.#file = segment ? await openClosed(segment) : await this.#openCurrent();
      // A file that was there a moment ago was removed or closed: its name is looked for again.
      if (this.#file || !segment) return this.#file;
    }
  }

  async #openCurrent(): Promise<OpenFile | undefined> {
    for (;;) {
      const path = currentPath(this.#folder);
      const handle = await openIfThere(path);
      // Closed in the meantime, it has a name that comes first; and without a current file there may be one in a moment.
      const segment = (await closedSegments(this.#folder)).find(({ first }) => first > this.#passed);
      if (!segment) return handle && { handle, name: 'audit.log', first: undefined };
      await handle?.close();
      const file = await openClosed(segment);
      if (file) return file;
    }
  }

  async #leave(first: number): Promise<void> {
    await this.#file?.handle.close();
    this.#file = undefined;
    this.#passed = first;
    this.#offset = 0;
    this.#blocks.takeRest();
  }

  /** True if the file that was the current one is so no more; then its name is known, and its end may not have been read. */
  async #wasClosed(file: OpenFile): Promise<boolean> {
    const { ino } = await file.handle.stat({ bigint: true });
    for (const segment of await closedSegments(this.#folder)) {
      if (segment.first <= this.#passed) continue;
      const found = await openClosed(segment);
      const same = found && (await found.handle.stat({ bigint: true })).ino === ino;
      await found?.handle.close();
      if (same) {
        this.#file = { ...file, first: segment.first, name: segment.name };
        return true;
      }
    }
    return false;
  }

  /** Goes to a line by the names of the files, and in its file by halves. */
  async #seek(from: number): Promise<void> {
    const segments = await closedSegments(this.#folder);
    const before = segments.filter(({ first }) => first <= from);
    const current = await openIfThere(currentPath(this.#folder));
    const begins = current && (await LineHead.ofFile(current))?.seq;
    await current?.close();
    const at = begins !== undefined && begins <= from ? before.length : before.length - 1;
    this.#passed = segments[at - 1]?.first ?? 0;
    const file = await this.#openNext();
    if (file) this.#offset = await offsetBefore(file.handle, from);
  }
}

interface OpenFile {
  readonly handle: FileHandle;
  readonly name: string;
  /** By its name; undefined for the current file. */
  readonly first: number | undefined;
}

const openIfThere = (path: string): Promise<FileHandle | undefined> =>
  open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });

async function openClosed({ path, name, first }: Segment): Promise<OpenFile | undefined> {
  const handle = await openIfThere(path);
  return handle && { handle, name, first };
}

/** The start of a line that is not behind line `seq`, and near it. */
async function offsetBefore(file: FileHandle, seq: number): Promise<number> {
  let low = 0;
  let { size: high } = await file.stat();
  while (high - low > NEAR_BYTES) {
    const middle = low + Math.floor((high - low) / 2);
    const found = await lineBehind(file, middle);
    // What is no line of ours is for the reader to judge, who must not pass by it.
    if (!found) return low;
    if (found.head.seq > seq) high = middle;
    else low = found.offset;
  }
  return low;
}

/** The first line that begins behind an offset. */
async function lineBehind(
  file: FileHandle,
  offset: number,
): Promise<{ offset: number; head: LineHead } | undefined> {
  const block = Buffer.alloc(NEAR_BYTES / 2);
  const { bytesRead } = await file.read(block, 0, block.length, offset);
  const start = block.subarray(0, bytesRead).indexOf(NEWLINE) + 1;
  const head = start > 0 ? LineHead.of(block.subarray(start, bytesRead)) : undefined;
  return head && { offset: offset + start, head };
}

/** The lines of a block without their newlines. */
export function* linesOf({ bytes }: Pick<LineBlock, 'bytes'>): Iterable<Buffer> {
  let start = 0;
  for (let end = bytes.indexOf(NEWLINE); end >= 0; end = bytes.indexOf(NEWLINE, start)) {
    yield bytes.subarray(start, end);
    start = end + 1;
  }
  if (start < bytes.length) yield bytes.subarray(start);
}
