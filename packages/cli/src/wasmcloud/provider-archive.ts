import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { Failure } from '../failure.js';

/**
 * A provider archive: a tar, gzipped or not, of `claims.jwt`, a token, and a program for each target, `x86_64-linux.bin`,
 * whose hash stands in the token.
 *
 * Source of the format: wasmCloud's crate provider-archive (`archive.rs`); POSIX.1-1988 (ustar).
 */
export interface ProviderArchive {
  readonly token: string | undefined;
  /** SHA-256 of each program, in upper-case hexadecimal as signers write it, by its target. */
  readonly targets: ReadonlyMap<string, string>;
}

const BLOCK = 512;
const CLAIMS = 'claims.jwt';
const TOKEN_BYTES = 1024 * 1024;
const ENTRIES_MAX = 1000;
/** Unpacked: programs for all systems, with room to spare. */
const ARCHIVE_BYTES = 8 * 1024 ** 3;

export const isGzip = (head: Uint8Array): boolean => head[0] === 0x1f && head[1] === 0x8b;
export const isTar = (head: Buffer): boolean => head.toString('latin1', 257, 262) === 'ustar';

/**
 * Reads an archive to its end, a piece at a time.
 *
 * @throws Failure where it is damaged
 */
export async function readArchive(file: Readable, { gzip }: { gzip: boolean }): Promise<ProviderArchive> {
  const stream = gzip ? file.pipe(createGunzip()) : file;
  file.on('error', (error) => stream.destroy(error));
  const bytes = new Bytes(stream);
  const targets = new Map<string, string>();
  let token: string | undefined;
  for (let entries = 0; ; entries++) {
    if (entries > ENTRIES_MAX) throw damaged(`it has more than ${ENTRIES_MAX} entries`);
    const header = await bytes.block();
    if (header === undefined || header.every((byte) => byte === 0)) break;
    const { name, size, isFile } = readHeader(header);
    if (isFile && name === CLAIMS) {
      if (size > TOKEN_BYTES) throw damaged(`its token has more than ${TOKEN_BYTES} bytes`);
      const pieces: Buffer[] = [];
      await bytes.pass(size, (piece) => pieces.push(Buffer.from(piece)));
      token ??= Buffer.concat(pieces).toString('utf8').trim();
    } else {
      const hash = createHash('sha256');
      await bytes.pass(size, (piece) => hash.update(piece));
      if (isFile) targets.set(name.replace(/\.[^.]*$/, ''), hash.digest('hex').toUpperCase());
    }
  }
  file.destroy();
  return { token, targets };
}

function readHeader(block: Buffer): {
  readonly name: string;
  readonly size: number;
  readonly isFile: boolean;
} {
  const sum = block.reduce((total, byte, at) => total + (at >= 148 && at < 156 ? 0x20 : byte), 0);
  if (octal(block, 148, 8) !== sum) throw damaged('the sum over a header of its is wrong');
  const [prefix, name] = [text(block, 345, 155), text(block, 0, 100)];
  const isPosix = block.toString('latin1', 257, 263) === 'ustar\0';
  const path = isPosix && prefix !== '' ? `${prefix}/${name}` : name;
  const type = block.toString('latin1', 156, 157);
  return { name: path.replace(/^\.\//, ''), size: sizeIn(block), isFile: type === '0' || type === '\0' };
}

/** In octal or, of what is larger than 8 GB, which nothing is here, in another way. */
function sizeIn(block: Buffer): number {
  const size = octal(block, 124, 12);
  if (size === undefined || size > ARCHIVE_BYTES) throw damaged('the size of an entry cannot be read');
  return size;
}

function octal(block: Buffer, start: number, length: number): number | undefined {
  const digits = text(block, start, length).trim();
  return /^[0-7]{1,12}$/.test(digits) ? Number.parseInt(digits, 8) : undefined;
}

function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString('utf8', start, end < 0 || end > start + length ? start + length : end);
}

/** A stream, in the pieces that are asked for. */
class Bytes {
  readonly #pieces: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #total = 0;

  constructor(stream: Readable) {
    this.#pieces = stream[Symbol.asyncIterator]();
  }

  /** The next block; undefined: the stream is at its end. */
  async block(): Promise<Buffer | undefined> {
    if (this.#rest.length === 0 && !(await this.#more())) return undefined;
    const pieces: Buffer[] = [];
    await this.#take(BLOCK, (piece) => pieces.push(piece));
    return Buffer.concat(pieces);
  }

  /** Hands on so many bytes, and passes over what fills the last block. */
  async pass(size: number, take: (piece: Buffer) => void): Promise<void> {
    await this.#take(size, take);
    await this.#take((BLOCK - (size % BLOCK)) % BLOCK, () => {});
  }

  async #take(size: number, take: (piece: Buffer) => void): Promise<void> {
    for (let left = size; left > 0; ) {
      if (this.#rest.length === 0 && !(await this.#more())) throw damaged('it ends in the middle');
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      take(piece);
    }
  }

  async #more(): Promise<boolean> {
    const { value, done } = await this.#next();
    if (done) return false;
    this.#rest = value;
    this.#total += value.length;
    if (this.#total > ARCHIVE_BYTES) throw damaged(`it has more than ${ARCHIVE_BYTES} bytes unpacked`);
    return value.length > 0 || this.#more();
  }

  async #next(): Promise<IteratorResult<Buffer>> {
    try {
      return await this.#pieces.next();
    } catch (error) {
      throw damaged(`it cannot be read (${(error as Error).message})`);
    }
  }
}

const damaged = (why: string): Failure => new Failure(`this archive is damaged: ${why}`);
