import { open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { makeFolder } from '@coffer/identity';
import { holdsSeed } from '@coffer/identity/masked';
import { Failure, systemReason } from '../failure.js';
import { write } from '../output.js';

/** Reads a file that the user named; `-` is standard input. */
export async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path === '-' ? '/dev/stdin' : path);
  } catch (error) {
    throw new Failure(`cannot read ${path}: ${systemReason(error)}`);
  }
}

/** Writes to a file, mode 0600, or to standard output where none is named. */
export async function writeOutput(path: string | undefined, data: string | Uint8Array): Promise<void> {
  if (path === undefined || path === '--' || path === '-') return write(process.stdout, data);
  await writeAs('w', path, data);
}

/** Writes a file, mode 0600, and its folder, mode 0700; one that is there only if `replace`. */
export async function writeNew(path: string, data: Uint8Array, replace: boolean): Promise<void> {
  requireNoSeed(path);
  makeFolder(dirname(path));
  await writeAs(replace ? 'w' : 'wx', path, data);
}

async function writeAs(flags: string, path: string, data: string | Uint8Array): Promise<void> {
  requireNoSeed(path);
  try {
    const file = await open(path, flags, 0o600);
    try {
      // A device or a pipe belongs to others, too.
      const isRegular = (await file.stat()).isFile();
      // It may have been there, for all to read.
      if (isRegular) await file.chmod(0o600);
      await file.writeFile(data);
      if (isRegular) await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    const again = (error as NodeJS.ErrnoException).code === 'EEXIST' ? '; --force replaces it' : '';
    throw new Failure(`cannot write ${path}: ${systemReason(error)}${again}`);
  }
}

function requireNoSeed(path: string): void {
  if (holdsSeed(path)) throw new Failure('a file cannot be called by a seed, which is secret: name another');
}
