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

/** @throws CofferError `insecure_root_key` unless only its owner can read the file, and that is this process's user or root */
export function requirePrivate(what: string, path: string, { mode, uid }: Stats): void {
  const own = process.getuid?.() ?? uid;
  if (uid !== own && uid !== 0) {
    throw new CofferError(
      'insecure_root_key',
      `the ${what} ${path} belongs to another user (${uid}): chown it to yours`,
    );
  }
  if ((mode & 0o077) !== 0) {
    throw new CofferError(
      'insecure_root_key',
      `the ${what} ${path} can be read by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it; if somebody may have ` +
        'copied it together with the store, every secret in it is known',
    );
  }
}
