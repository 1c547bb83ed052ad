import { stat } from 'node:fs/promises';
import { join } from 'node:path';

import { DATA_FILE, openDatabase } from './lmdb-database.js';
import { encodeState, type FileKind, kindOf, readState, STATE_KEY } from './lmdb-state.js';
import { FolderLock } from './lock.js';

/** What LMDB's file in the folder is; undefined if there is none, or nothing in it. A server may have it open. */
export async function fileKind(folder: string): Promise<FileKind | undefined> {
  const found = await stat(join(folder, DATA_FILE)).catch(() => undefined);
  if (!found || found.size === 0) return undefined;
  const db = await openDatabase(folder, { readOnly: true });
  try {
    const state = db.getBinary(STATE_KEY);
    return state && kindOf(state);
  } finally {
    await db.close();
  }
}

/**
 * Makes an embedded store one that was moved, which nobody opens, or takes that back; durably.
 *
 * @throws CofferError `store_locked` if a server has it open; `unfit_store` if it is of neither kind
 */
export async function setMoved(folder: string, moved: boolean): Promise<void> {
  const [from, to] = moved ? (['embedded', 'moved'] as const) : (['moved', 'embedded'] as const);
  const lock = await FolderLock.acquire(folder);
  try {
    const db = await openDatabase(folder);
    try {
      const state = readState(db.getBinary(STATE_KEY), from);
      if (state) await db.put(STATE_KEY, encodeState(state, to));
    } finally {
      await db.close();
    }
  } finally {
    await lock.release();
  }
}
