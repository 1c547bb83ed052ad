import { linesOf } from '../cursor.js';
import { LineHead } from '../line-head.js';

/** Lines are handed on when there are so many bytes of them. */
const PIECE_BYTES = 64 * 1024;
const NEWLINE = Buffer.from('\n');

/**
 * Lines of several logs in the order of their times, as pieces of whole lines. Each log's own lines keep their order, where
 * its clock was set back, too. Of each log one piece is held.
 */
export async function* mergeByTime(logs: readonly AsyncIterable<Buffer>[]): AsyncGenerator<Buffer, void> {
  const sources = logs.map((log) => new Source(log));
  try {
    await Promise.all(sources.map((source) => source.advance()));
    const heap = new Heap(sources.filter((source) => source.line !== undefined));
    let piece: Buffer[] = [];
    let bytes = 0;
    for (let source = heap.first; source?.line !== undefined; source = heap.first) {
      piece.push(source.line, NEWLINE);
      bytes += source.line.length + 1;
      if (!source.next()) await source.advance();
      heap.moved();
      if (bytes < PIECE_BYTES) continue;
      yield Buffer.concat(piece);
      piece = [];
      bytes = 0;
    }
    yield Buffer.concat(piece);
  } finally {
    await Promise.all(sources.map((source) => source.close()));
  }
}

/** The next line of one log. */
class Source {
  readonly #pieces: AsyncIterator<Buffer>;
  #lines: Iterator<Buffer> = [][Symbol.iterator]();
  line: Buffer | undefined;
  time = 0;

  constructor(log: AsyncIterable<Buffer>) {
    this.#pieces = log[Symbol.asyncIterator]();
  }

  /** Takes the piece's next line; false if there is none. */
  next(): boolean {
    const { done, value } = this.#lines.next();
    if (done) return false;
    this.line = value;
    // What is no entry belongs to the one before it.
    this.time = Math.max(this.time, LineHead.of(value)?.time ?? 0);
    return true;
  }

  /** Takes the next line of the pieces to come; without one, {@link line} is undefined. */
  async advance(): Promise<void> {
    this.line = undefined;
    for (;;) {
      const { done, value } = await this.#pieces.next();
      if (done) return;
      this.#lines = linesOf({ bytes: value })[Symbol.iterator]();
      if (this.next()) return;
    }
  }

  async close(): Promise<void> {
    await this.#pieces.return?.();
  }
}

/** Sources by the time of their line; of equal times those that were named first. */
class Heap {
  readonly #sources: Source[];
  readonly #order: ReadonlyMap<Source, number>;

  constructor(sources: readonly Source[]) {
    this.#order = new Map(sources.map((source, index) => [source, index]));
    this.#sources = [...sources].sort((a, b) => (this.#isBefore(a, b) ? -1 : 1));
  }

  get first(): Source | undefined {
    return this.#sources[0];
  }

  /** The first one has another line, or none any more. */
  moved(): void {
    const sources = this.#sources;
    const [source] = sources;
    if (source && source.line === undefined) {
      const last = sources.pop() as Source;
      if (last !== source) sources[0] = last;
    }
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < sources.length && this.#isBefore(sources[child] as Source, sources[least] as Source))
          least = child;
      }
      if (least === at) return;
      [sources[at], sources[least]] = [sources[least] as Source, sources[at] as Source];
      at = least;
    }
  }

  #isBefore(a: Source, b: Source): boolean {
    return a.time < b.time || (a.time === b.time && (this.#order.get(a) ?? 0) < (this.#order.get(b) ?? 0));
  }
}
