import type { Stats } from 'node:fs';
import { chmod, mkdir, open } from 'node:fs/promises';

import { CofferError } from './errors.js';

/** Makes the folder if it is not there; nobody but its owner can enter it afterwards. */
export async function privateFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await chmod(folder, 0o700);
}

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
