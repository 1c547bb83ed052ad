import { chmod, mkdir, open, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Failure, systemReason } from '../failure.js';
import { displayName } from '../quote.js';

/** A file to write, at a path beneath the folder that has no problem. */
export interface NewFile {
  readonly path: string;
  readonly value: Uint8Array;
}

/** What keeps a name from being the path of a file beneath a folder; undefined if nothing does. */
export function pathProblem(name: string): string | undefined {
  const parts = name.split('/');
  if (name.includes('\0')) return 'holds a NUL byte';
  if (parts.includes('')) return 'begins or ends with / or holds //';
  if (parts.includes('.')) return 'has a part that is .';
  // Three dots are no danger, but "import dir" would not read them again.
  if (parts.some((part) => part.startsWith('..'))) return 'has a part that begins with ..';
  if (parts.some((part) => Buffer.byteLength(part) > LONGEST))
    return `has a part of more than ${LONGEST} bytes`;
  return undefined;
}

/** As in all file systems of note. */
const LONGEST = 255;

/** Those names that would have to be a file and a folder at once. */
export function conflicts(names: readonly string[]): string[] {
  const folders = new Set<string>();
  for (const name of names) {
    for (let slash = name.indexOf('/'); slash >= 0; slash = name.indexOf('/', slash + 1)) {
      folders.add(name.slice(0, slash));
    }
  }
  return names.filter((name) => folders.has(name));
}

/** Fails unless the folder is empty or does not exist yet. Answers which. */
export async function requireNothingAt(folder: string): Promise<'empty' | 'none'> {
  try {
    if ((await readdir(folder)).length === 0) return 'empty';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'none';
    throw cannotWrite(folder, error);
  }
  throw new Failure(
    `${displayName(folder)} is not empty: name a folder that is, or one that does not exist yet`,
  );
}

/**
 * Writes files of mode 0600 into a folder of mode 0700, which is new or empty. If one cannot be written, none is left.
 */
export async function writeFolder(folder: string, files: readonly NewFile[]): Promise<void> {
  const before = await requireNothingAt(folder);
  try {
    if (before === 'empty') await chmod(folder, 0o700);
    else await mkdir(folder, { mode: 0o700 });
  } catch (error) {
    throw cannotWrite(folder, error);
  }
  try {
    for (const file of files) await writeFile(folder, file);
  } catch (error) {
    for (const name of await readdir(folder)) await rm(join(folder, name), { recursive: true });
    if (before === 'none') await rm(folder, { recursive: true });
    throw error;
  }
}

async function writeFile(folder: string, { path, value }: NewFile): Promise<void> {
  const at = join(folder, path);
  try {
    await mkdir(dirname(at), { recursive: true, mode: 0o700 });
    // Never through what is there already: a file system may take two of the names for one.
    const file = await open(at, 'wx', 0o600);
    try {
      await file.writeFile(value);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw cannotWrite(at, error);
  }
}

function cannotWrite(path: string, error: unknown): Failure {
  return new Failure(`cannot write ${displayName(path)}: ${systemReason(error)}`);
}
