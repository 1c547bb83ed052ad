import { HeadsIntegrity } from '../integrity.js';
import { LmdbStorage } from '../storage/lmdb.js';
import { LmdbWriter } from '../storage/lmdb-writer.js';
import type { StorageSnapshot } from '../storage/storage.js';
import { compareRecords, type Records } from './compare.js';
import { type Copied, requireSame } from './copy.js';
import { localOptions, type MigrateOptions } from './options.js';
import type { StoreKeys } from './prove.js';

const NOTHING: Records = { scan: () => [] };

/**
 * Writes an embedded store with the records and the summary of a snapshot, and reads all of it back.
 *
 * @param sequence to count on from: no revision is higher
 * @throws CofferError `io`, `storage_full`
 */
export async function buildEmbedded(
  folder: string,
  source: StorageSnapshot,
  incarnation: Uint8Array,
  sequence: number,
  { ring, sealer }: StoreKeys,
  options: MigrateOptions,
): Promise<Copied> {
  const writer = await LmdbWriter.create(folder);
  let records = 0;
  try {
    for (const part of compareRecords(source, NOTHING)) {
      for (const { key, source: record } of part.differences) if (record) await writer.add(key, record);
      records += part.records;
      options.onProgress?.({ step: 'copy', records });
    }
  } catch (error) {
    await writer.close();
    throw error;
  }
  // It begins a log of its own: it knows of no line.
  const { digest } = new HeadsIntegrity(ring, sealer).read(source.summary);
  const summary = new HeadsIntegrity(ring, sealer).seal(digest, sequence);
  await writer.finish({ incarnation, sequence, summary });
  const copy = await LmdbStorage.open(folder, localOptions(options));
  try {
    return requireSame(source, copy);
  } finally {
    await copy.close();
  }
}
