import { HeadsIntegrity } from '../integrity.js';
import { LmdbStorage } from '../storage/lmdb.js';
import { LmdbWriter } from '../storage/lmdb-writer.js';
import { compareRecords, NOTHING, type Records } from './compare.js';
import { type Copied, requireSame } from './copy.js';
import { localOptions, type MigrateOptions } from './options.js';
import type { StoreKeys } from './prove.js';

/** What an embedded store is made of. */
export interface EmbeddedContent {
  readonly records: Records;
  readonly incarnation: Uint8Array;
  /** To count on from: no revision is higher. */
  readonly sequence: number;
  /** Of all heads. */
  readonly digest: Uint8Array;
  readonly keys: StoreKeys;
}

/**
 * Writes an embedded store, and reads all of it back. It begins a log of its own, of which it knows no line yet.
 *
 * @throws CofferError `io`, `storage_full`
 */
export async function buildEmbedded(
  folder: string,
  { records: source, incarnation, sequence, digest, keys: { ring, sealer } }: EmbeddedContent,
  options: MigrateOptions,
): Promise<Copied> {
  const writer = await LmdbWriter.create(folder);
  let records = 0;
  try {
    for await (const part of compareRecords(source, NOTHING)) {
      for (const { key, source: record } of part.differences) if (record) await writer.add(key, record);
      records += part.records;
      options.onProgress?.({ step: 'copy', records });
    }
  } catch (error) {
    await writer.close();
    throw error;
  }
  const summary = new HeadsIntegrity(ring, sealer).seal(digest, sequence);
  await writer.finish({ incarnation, sequence, summary });
  const copy = await LmdbStorage.open(folder, localOptions(options));
  try {
    return await requireSame(source, copy);
  } finally {
    await copy.close();
  }
}
