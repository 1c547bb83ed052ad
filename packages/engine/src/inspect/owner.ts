import { join } from 'node:path';

import { FolderLock } from '../storage/lock.js';

/** Which process has the store of a state folder open, in words; undefined if none has. Changes nothing. */
export function storeOwner(stateDir: string): Promise<string | undefined> {
  return FolderLock.owner(join(stateDir, 'store'));
}
