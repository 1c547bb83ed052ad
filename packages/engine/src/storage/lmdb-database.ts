import { type FileHandle, open as openFile } from 'node:fs/promises';
import { join } from 'node:path';

import { open, type RootDatabase } from 'lmdb';

import { CofferError } from '../errors.js';

export type LmdbDatabase = RootDatabase<Buffer, Buffer>;

export const DATA_FILE = 'data.mdb';

export interface DatabaseOptions {
  readonly readOnly?: boolean;
  /** Nothing is durable until {@link syncDatabase}. */
  readonly noSync?: boolean;
}

/**
 * LMDB's file in the folder, made for its owner only if it is not there.
 *
 * @throws CofferError `tampered` if it is no file of LMDB's
 */
export async function openDatabase(folder: string, options: DatabaseOptions = {}): Promise<LmdbDatabase> {
  const path = join(folder, DATA_FILE);
  await requireSound(path);
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

/** Of LMDB's first two pages, which say where all others are: mdb.c, MDB_page and MDB_meta on 64 bits, as lmdb-js has it. */
const FLAGS_AT = 18;
const META_FLAG = 0x08;
const MAGIC_AT = 24;
const MAGIC = 0xbeefc0de;
const PAGE_BYTES_AT = 48;
const META_BYTES = 168;

/** LMDB's own check; but at a file that does not pass it, lmdb-js 3.5 ends the process without a word. */
async function requireSound(path: string): Promise<void> {
  const file = await openFile(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  try {
    const { size } = await file.stat();
    if (size === 0) return;
    const first = await readMeta(file, 0);
    if (first && (await readMeta(file, first.readUInt32LE(PAGE_BYTES_AT)))) return;
  } finally {
    await file.close();
  }
  throw new CofferError('tampered', `the store's file ${path} is damaged: restore the store from a backup`);
}

async function readMeta(file: FileHandle, at: number): Promise<Buffer | undefined> {
  const page = Buffer.alloc(META_BYTES);
  const { bytesRead } = await file.read(page, 0, page.length, at);
  const sound =
    bytesRead === page.length &&
    page.readUInt32LE(MAGIC_AT) === MAGIC &&
    (page.readUInt16LE(FLAGS_AT) & META_FLAG) !== 0;
  return sound ? page : undefined;
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
