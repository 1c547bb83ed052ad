import { randomBytes } from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { wipeable } from '../keys/wipeable.js';
import { StoreError } from './errors.js';

/**
 * Files of nsc's folders. All are small, and read and written synchronously: what uses them is a command, not a server.
 * A file is replaced whole or not at all. What is written for the time being has a hidden name without nsc's endings,
 * which nsc does not look at.
 */

/** No token, seed, creds file or configuration is larger. */
const FILE_BYTES = 2 * 1024 * 1024;
/** What comes out of a pipe is a seed or creds. */
const PIPE_BYTES = 64 * 1024;

/**
 * The bytes of a file, in memory that the receiver can wipe; nothing if there is no such file.
 *
 * @param secret it is one of ours with a seed: if others may read it, they may no more
 */
export function readBytes(
  path: string,
  { secret = false }: { readonly secret?: boolean } = {},
): Buffer | undefined {
  return doing('read', path, () => {
    const file = openIfThere(path);
    if (file === undefined) return undefined;
    try {
      const found = fstatSync(file);
      if (secret && found.isFile() && (found.mode & 0o077) !== 0) makeSecret(file);
      // Of a pipe, such as a shell's <(…), only the end tells how long it is.
      const room = found.isFile() ? found.size : PIPE_BYTES + 1;
      const tooLarge = new StoreError('damaged_store', `${path} is too large to be what its name says`);
      if (room > FILE_BYTES) throw tooLarge;
      const bytes = wipeable(room);
      let length = 0;
      while (length < room) {
        const more = readSync(file, bytes, length, room - length, null);
        if (more === 0) break;
        length += more;
      }
      if (!found.isFile() && length > PIPE_BYTES) throw tooLarge;
      return bytes.subarray(0, length);
    } finally {
      closeSync(file);
    }
  });
}

export const readText = (path: string): string | undefined => readBytes(path)?.toString('utf8');

/**
 * Writes a file so that it is there whole or not at all, whatever happens meanwhile, and its folders, mode 0700, if they
 * are missing.
 *
 * @param mode of a new file; one that is there keeps its own, unless `fixed`
 */
export function writeFile(
  path: string,
  content: Uint8Array | string,
  { mode = 0o600, fixed = false }: { mode?: number; fixed?: boolean } = {},
): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  makeFolder(dirname(path));
  doing('write', path, () => {
    const wanted = fixed ? mode : (modeOf(path) ?? mode);
    for (let triesLeft = 3; !replace(path, bytes, wanted, triesLeft > 0); triesLeft--) {
      makeFolder(dirname(path));
    }
    syncFolder(dirname(path));
  });
}

/** Answers false if somebody who tidies up took the draft away, with its folder perhaps. */
function replace(path: string, bytes: Uint8Array, mode: number, mayFail: boolean): boolean {
  const draft = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  try {
    const file = openSync(draft, 'wx', 0o600);
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      fchmodSync(file, mode);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    renameSync(draft, path);
    return true;
  } catch (error) {
    rmSync(draft, { force: true });
    if (mayFail && (error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** What `writeFile` had written when it was killed: it ends with these twelve digits. */
const DRAFT = /^\..+\.[0-9a-f]{12}$/;

/** Removes what was left, under a folder, of files whose writing was killed, and whose names end like this. */
export function removeDrafts(folder: string, ending: string): void {
  for (const path of pathsUnder(folder)) {
    const name = basename(path);
    if (DRAFT.test(name) && name.slice(0, -'.0123456789ab'.length).endsWith(ending)) removeQuietly(path);
  }
}

function pathsUnder(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => join(folder, path));
  } catch {
    // Nothing is there, or it cannot be looked into: then nothing of ours was left there either.
    return [];
  }
}

function removeQuietly(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Another was faster, or it belongs to somebody else.
  }
}

/** It may be somebody else's file, which can be read all the same. */
function makeSecret(file: number): void {
  try {
    fchmodSync(file, 0o600);
  } catch {
    // As its owner wants it.
  }
}

/** Puts a folder in its place, where there is none or an empty one. */
export function moveFolder(from: string, to: string): void {
  doing('make', to, () => renameSync(from, to));
  syncFolder(dirname(to));
}

/** Adds a line at the end of a file, in one write. */
export function appendLine(path: string, line: string): void {
  makeFolder(dirname(path));
  doing('write', path, () => {
    const file = openSync(path, 'a', 0o600);
    try {
      writeSync(file, `${line}\n`);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
  });
}

/** A folder, mode 0700, and those above it, where they are missing. */
export function makeFolder(path: string): void {
  doing('make', path, () => makeLevels(path));
}

/** Node's own way goes on for ever where the system says of a folder that there is none to make it in, as in /proc. */
function makeLevels(path: string): void {
  if (isFolder(path)) return;
  if (dirname(path) !== path) makeLevels(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Somebody else made it meanwhile.
    if (!isFolder(path)) throw error;
  }
}

/** Removes a file. Answers whether there was one. */
export function removeFile(path: string): boolean {
  return doing('remove', path, () => {
    try {
      unlinkSync(path);
    } catch (error) {
      if (isMissing(error)) return false;
      throw error;
    }
    syncFolder(dirname(path));
    return true;
  });
}

/** Removes a folder if nothing is in it. */
export function removeEmptyFolder(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // Something is in it, or it is gone: either is as it should be.
  }
}

export function removeFolder(path: string): void {
  if (!isFolder(path)) return;
  doing('remove', path, () => rmSync(path, { recursive: true, force: true }));
  syncFolder(dirname(path));
}

/** What is in a folder, sorted by bytes as Go does, hidden names left out; nothing if there is no such folder. */
export function listFolder(path: string): { readonly name: string; readonly isFolder: boolean }[] {
  return doing('list', path, () => {
    try {
      return readdirSync(path, { withFileTypes: true })
        .filter(({ name }) => !name.startsWith('.'))
        .map((entry) => ({
          name: entry.name,
          isFolder: entry.isSymbolicLink() ? isFolder(join(path, entry.name)) : entry.isDirectory(),
        }))
        .sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)));
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  });
}

/** The folders in a folder that are not to be seen. */
export function hiddenFolders(path: string): string[] {
  return doing('list', path, () => {
    try {
      const entries = readdirSync(path, { withFileTypes: true });
      return entries
        .filter((each) => each.name.startsWith('.') && each.isDirectory())
        .map(({ name }) => name);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  });
}

export const isFile = (path: string): boolean => {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
};
export const isFolder = (path: string): boolean => {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch {
    return false;
  }
};

/** Of a name that is too long there can be no file either. */
export const isMissing = (error: unknown): boolean =>
  ['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes((error as NodeJS.ErrnoException).code ?? '');

/** Turns what the operating system says into one of our errors. */
function doing<T>(what: string, path: string, act: () => T): T {
  try {
    return act();
  } catch (error) {
    if (error instanceof StoreError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new StoreError('file_failed', `cannot ${what} ${path}: ${REASONS[code ?? ''] ?? code ?? message}`);
  }
}

const REASONS: Record<string, string> = {
  EACCES: 'permission denied',
  ENOENT: 'there can be nothing of that name',
  EPERM: 'permission denied',
  EROFS: 'the file system cannot be written',
  ENOSPC: 'no space left on the device',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is no folder',
  EEXIST: 'a file of that name is in the way',
  ENOTEMPTY: 'a folder of that name is in the way',
  ENAMETOOLONG: 'the name is too long',
};

function openIfThere(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

function modeOf(path: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found === undefined ? undefined : found.mode & 0o777;
}

/** A name is durable when its folder is. */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
