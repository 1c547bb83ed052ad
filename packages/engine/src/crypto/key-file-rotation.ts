import { link, realpath, rename } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';

import { syncFolder } from '../files.js';
import { keyId, readKeyFile } from './key-file.js';
import { wipe } from './secure-memory.js';

/**
 * How a key file is replaced in its place. The names of the files hold the key's id, which the store's header states: so a
 * crash leaves nothing to guess, stores that share a key file do not get in each other's way, and whoever needs a former
 * key, as for an old backup, finds it by its name.
 */

/** Where a new key waits until the store is sealed by it. */
export const pendingKeyFile = async (path: string, id: string): Promise<string> =>
  `${await realFile(path)}.new-${id}`;

/**
 * Moves the new key `id` to `path`, once the store is sealed by it. The former one stays, as `PATH.retired-ID`; at any
 * moment there is a key under `path`.
 *
 * @param keys `retired`: the id of the key at `path`, if there is one
 * @returns where the former key is kept
 */
export async function putInPlace(
  path: string,
  { id, retired }: { readonly id: string; readonly retired: string | undefined },
): Promise<string | undefined> {
  const file = await realFile(path);
  const kept = retired === undefined ? undefined : `${file}.retired-${retired}`;
  if (kept !== undefined) {
    await link(file, kept).catch(async (error: NodeJS.ErrnoException) => {
      // A crash came between this and the next step, or this key was retired before.
      if (error.code !== 'EEXIST' || (await idOf(kept)) !== retired) throw error;
    });
    await syncFolder(dirname(file));
  }
  await rename(`${file}.new-${id}`, file);
  await syncFolder(dirname(file));
  return kept;
}

/** The file of the key `id` if it was retired from `path`. */
export async function whereRetired(path: string, id: string): Promise<string | undefined> {
  const file = `${await realFile(path)}.retired-${id}`;
  return realpath(file).catch(() => undefined);
}

async function idOf(path: string): Promise<string | undefined> {
  const key = await readKeyFile(path);
  if (!key) return undefined;
  const id = keyId(key);
  wipe(key);
  return id;
}

/** What a link leads to: the link stays, and the file behind it is replaced. */
const realFile = (path: string): Promise<string> => realpath(path).catch(() => resolve(path));
