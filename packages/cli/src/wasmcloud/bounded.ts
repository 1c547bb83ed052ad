import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { Failure, systemReason } from '../failure.js';

export const isStandardInput = (path: string): boolean => path === '-' || path === '/dev/stdin';

/**
 * The bytes of a file that the user named, which is neither a device nor a pipe: those may have no end. The caller wipes them.
 *
 * @param named what it is called in a sentence
 * @throws Failure
 */
export function readFileUpTo(maxBytes: number, named: string, path: string): Buffer {
  try {
    // A pipe that nobody writes to would hold us here.
    const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const about = fstatSync(file);
      if (!about.isFile()) throw noFile(`cannot read ${named}`, about.isDirectory());
      if (about.size > maxBytes) throw tooLarge(named, maxBytes);
      return readAll(file, maxBytes) ?? raise(tooLarge(named, maxBytes));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(`cannot read ${named}: ${systemReason(error)}`);
  }
}

export const noFile = (what: string, isFolder: boolean): Failure =>
  new Failure(`${what}: ${isFolder ? 'it is a folder' : 'it is a pipe or a device; - reads standard input'}`);

export const tooLarge = (named: string, maxBytes: number): Failure =>
  new Failure(`${named} is too large: it has more than ${maxBytes} bytes`);

/** Undefined where it has grown beyond that. */
function readAll(file: number, maxBytes: number): Buffer | undefined {
  const bytes = Buffer.alloc(Math.min(maxBytes, fstatSync(file).size) + 1);
  let length = 0;
  for (;;) {
    const read = readSync(file, bytes, length, bytes.length - length, null);
    length += read;
    if (read === 0) return bytes.subarray(0, length);
    if (length === bytes.length) {
      bytes.fill(0);
      return undefined;
    }
  }
}

function raise(error: Error): never {
  throw error;
}
