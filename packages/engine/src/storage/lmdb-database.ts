import { type FileHandle, open as openFile } from 'node:fs/promises';
import { join } from 'node:path';

import { open, type RootDatabase } from 'lmdb';

export type LmdbDatabase = RootDatabase<Buffer, Buffer>;

const DATA_FILE = 'data.mdb';

export interface DatabaseOptions {
  readonly readOnly?: boolean;
  /** Nothing is durable until {@link syncDatabase}. */
  readonly noSync?: boolean;
}

/** LMDB's file in the folder, made for its owner only if it is not there. */
export async function openDatabase(folder: string, options: DatabaseOptions = {}): Promise<LmdbDatabase> {
  const path = join(folder, DATA_FILE);
  if (!options.readOnly) {
    // The file exists with its mode before LMDB, which would make it 0664, opens it.
    await (await openFile(path, 'a', 0o600)).close();
    await (await openFile(`${path}-lock`, 'a', 0o600)).close();
  }
  return open<Buffer, Buffer>({
    path,
    noSubdir: true,
    encoding: 'binary',
    keyEncoding: 'binary',
    cache: false,
    compression: false,
    maxDbs: 1,
    overlappingSync: false,
    eventTurnBatching: false,
    ...options,
  });
}

/** Makes durable what was written without; after the database was closed. */
export async function syncDatabase(folder: string): Promise<void> {
  const file: FileHandle = await openFile(join(folder, DATA_FILE), 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
