import type { Stats } from 'node:fs';
import { chmod, mkdir, open, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

import { CofferError } from './errors.js';

/** Makes the folder if it is not there; nobody but its owner can enter it afterwards. */
export async function privateFolder(folder: string): Promise<void> {
  await makeFolders(folder);
  await chmod(folder, 0o700);
}

/**
 * Makes a folder, mode 0700, and those above it, where they are missing. Level by level: Node's own way goes on for ever where
 * the system says of a folder that there is none to make it in, and there is, as in /proc.
 *
 * @throws what the file system says
 */
export async function makeFolders(folder: string): Promise<void> {
  if (await isFolder(folder)) return;
  const parent = dirname(folder);
  if (parent !== folder) await makeFolders(parent);
  await mkdir(folder, { mode: 0o700 }).catch(async (error: unknown) => {
    // Somebody else made it meanwhile.
    if (!(await isFolder(folder))) throw error;
  });
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/** Makes the names in a folder as durable as the files that they name. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Rights on a file that others than this process have, as bits of its mode. What root lets a group read is given to us if we are in
 * the group, as a Secret in a pod is (`root:fsGroup`, 0440); or by an access list, which shows as rights of the group: a
 * credential of systemd's is so (`root:root`, 0440).
 */
export function rightsOfOthers({ mode, uid, gid }: Pick<Stats, 'mode' | 'uid' | 'gid'>): number {
  const isRoot = process.getuid?.() === 0;
  const isOurs = gid === 0 || process.getgroups?.().includes(gid) === true;
  // Both are given to be read alone, also by root: a file of root's that somebody made readable for a group is not.
  const isGiven = uid === 0 && !isRoot && isOurs && (mode & 0o222) === 0;
  return mode & (isGiven ? 0o037 : 0o077);
}

/**
 * @throws CofferError `insecure_root_key` unless only its owner can read the file, who is this process's user or root, or root
 *   gives it to this process
 */
export function requirePrivate(what: string, path: string, stats: Stats): void {
  const { mode, uid } = stats;
  const own = process.getuid?.() ?? uid;
  if (uid !== own && uid !== 0) {
    throw new CofferError(
      'insecure_root_key',
      `the ${what} ${path} belongs to another user (${uid}): chown it to yours`,
    );
  }
  if (rightsOfOthers(stats) !== 0) {
    throw new CofferError(
      'insecure_root_key',
      `the ${what} ${path} can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it; if somebody may have ` +
        'copied it together with the store, every secret in it is known',
    );
  }
}
