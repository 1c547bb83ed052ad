import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { open } from 'lmdb';

/** All records by key (latin1), from a copy of an idle store's file; each begins with its revision (8 bytes). */
export async function allRecords(stateDir: string): Promise<[key: string, record: Buffer][]> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-'));
  try {
    const path = join(folder, 'data.mdb');
    await copyFile(join(stateDir, 'store', 'data.mdb'), path);
    const db = open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary' });
    const records = [...db.getRange()].map(({ key, value }): [string, Buffer] => [
      key.toString('latin1'),
      Buffer.from(value),
    ]);
    await db.close();
    return records;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The bytes of all records under keys that start with `prefix`. */
export const recordSizes = async (stateDir: string, prefix: string): Promise<number[]> =>
  (await allRecords(stateDir)).filter(([key]) => key.startsWith(prefix)).map(([, { length }]) => length);

/** What the store tells in clear of its root key and itself; 8 bytes of revision come before it. */
export async function storedHeader(stateDir: string): Promise<Record<string, unknown>> {
  const header = (await allRecords(stateDir)).find(([key]) => key === 'header')?.[1] as Buffer;
  return JSON.parse(header.subarray(8).toString());
}

/** The first record's key that starts with `prefix`. */
export async function firstKey(stateDir: string, prefix: string): Promise<Buffer> {
  const [key] = (await allRecords(stateDir)).find(([key]) => key.startsWith(prefix)) as [string, Buffer];
  return Buffer.from(key, 'latin1');
}

/** Takes one record of a closed store away. */
export async function removeRecord(stateDir: string, key: Buffer): Promise<void> {
  const path = join(stateDir, 'store', 'data.mdb');
  const db = open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary' });
  await db.remove(key);
  await db.close();
}

/** Changes one record of a closed store, as one who has the disk would. */
export async function rewriteRecord(
  stateDir: string,
  key: Buffer,
  rewrite: (record: Buffer) => Buffer,
): Promise<void> {
  const path = join(stateDir, 'store', 'data.mdb');
  const db = open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary' });
  await db.put(key, rewrite(Buffer.from(db.getBinary(key) as Buffer)));
  await db.close();
}

/** Changes the last byte of every value in a closed store, so that none of them opens. */
export async function damageValues(stateDir: string): Promise<void> {
  const path = join(stateDir, 'store', 'data.mdb');
  const db = open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary' });
  for (const { key, value } of [...db.getRange()]) {
    if (key[0] !== 0x76) continue;
    const damaged = Buffer.from(value);
    damaged.writeUInt8((damaged.at(-1) as number) ^ 1, damaged.length - 1);
    await db.put(key, damaged);
  }
  await db.close();
}

/** Puts records in the place of those under the same keys (latin1), in a closed store. */
export async function replaceRecords(
  stateDir: string,
  records: Iterable<readonly [key: string, record: Buffer]>,
): Promise<void> {
  const path = join(stateDir, 'store', 'data.mdb');
  const db = open<Buffer, Buffer>({ path, noSubdir: true, encoding: 'binary', keyEncoding: 'binary' });
  await db.batch(() => {
    for (const [key, record] of records) db.put(Buffer.from(key, 'latin1'), record);
  });
  await db.close();
}
