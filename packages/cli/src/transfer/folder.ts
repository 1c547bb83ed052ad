import { isUtf8 } from 'node:buffer';
import { constants } from 'node:fs';
import { type FileHandle, open, readdir, realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { Failure, systemReason } from '../failure.js';

/** A file of a folder that is to become a secret; or why it cannot. */
export type Found =
  | { readonly name: string; readonly path: string }
  | { readonly name: string; readonly problem: string };

/** Far above what any server takes, far below what would fill the memory. */
const LARGEST = 64 * 2 ** 20;

/**
 * Every file beneath a folder, by its path from there with `/` between, in order. Symlinks are followed where they
 * lead to something inside; `..data` and its like, of which Kubernetes makes the folders of its secrets, are what
 * those symlinks lead to, and are skipped themselves. What is no file, or cannot be read, is told with the reason.
 */
export async function findFiles(folder: string): Promise<Found[]> {
  try {
    const root = await realpath(folder);
    return await within(root, root, '', [root]);
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(`cannot read ${folder}: ${systemReason(error)}`);
  }
}

/** A file's bytes, as they are. The caller wipes them. */
export async function readSecretFile(path: string): Promise<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    // Not through a link, nor waiting for a pipe's other end, should it have been put there since we looked.
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    const facts = await file.stat();
    if (!facts.isFile()) throw new Failure('it is no file');
    if (facts.size > LARGEST) throw new Failure('the file is too large for a secret');
    return await file.readFile();
  } catch (error) {
    throw error instanceof Failure ? error : new Failure(`cannot read it: ${systemReason(error)}`);
  } finally {
    await file?.close();
  }
}

/** `above` are the real folders on the way here, so that a link to one of them is no way without end. */
async function within(
  root: string,
  folder: string,
  prefix: string,
  above: readonly string[],
): Promise<Found[]> {
  const names = (await readdir(folder, { encoding: 'buffer' })).sort(Buffer.compare);
  const found: Found[] = [];
  for (const bytes of names) {
    const name = prefix + bytes.toString('utf8');
    if (bytes.subarray(0, 2).toString() === '..') continue;
    if (!isUtf8(bytes)) found.push({ name, problem: 'its name is no UTF-8' });
    else found.push(...(await look(root, join(folder, bytes.toString('utf8')), name, above)));
  }
  return found;
}

async function look(root: string, at: string, name: string, above: readonly string[]): Promise<Found[]> {
  const problem = (text: string): Found[] => [{ name, problem: text }];
  try {
    const path = await realpath(at);
    if (path !== root && !path.startsWith(root.endsWith(sep) ? root : root + sep)) {
      return problem('it is a link that leads out of the folder');
    }
    const facts = await stat(path);
    if (facts.isFile()) return [{ name, path }];
    if (!facts.isDirectory()) return problem('it is no file');
    if (above.includes(path)) return problem('it is a link to a folder that it lies in');
    return await within(root, path, `${name}/`, [...above, path]);
  } catch (error) {
    return problem(`cannot read it: ${systemReason(error)}`);
  }
}
