import { asBuffer } from '../bytes.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { generationOf, RecordSealer } from '../crypto/records.js';
import { wipe } from '../crypto/secure-memory.js';
import { headerGeneration, lookAtRing } from '../header.js';
import { type FoundHead, HeadsIntegrity } from '../integrity.js';
import { HEADER_KEY, isHeadKey } from '../keys.js';
import { rootKeyContext } from '../open-store.js';
import type { Records } from './compare.js';
import { engineOptions, type MigrateOptions } from './options.js';

/** What opens the records of a store. */
export interface StoreKeys {
  readonly ring: KeyRing;
  readonly sealer: RecordSealer;
}

/**
 * Opens the ring in a header; wipe it afterwards.
 *
 * @throws CofferError as opening a store
 */
export async function openKeys(
  header: Uint8Array,
  incarnation: Uint8Array,
  options: MigrateOptions,
): Promise<StoreKeys> {
  const context = rootKeyContext(engineOptions(options));
  const ring = await lookAtRing(incarnation, header, options.rootKey, context);
  return { ring, sealer: new RecordSealer(ring, incarnation) };
}

/**
 * Opens every head, and holds all of them against the summary, if there is one.
 *
 * @returns the integrity to go on with
 * @throws CofferError `tampered`
 */
export function proven(
  records: Records,
  summary: Uint8Array | undefined,
  { ring, sealer }: StoreKeys,
): HeadsIntegrity {
  const integrity = new HeadsIntegrity(ring, sealer);
  const heads: FoundHead[] = [];
  for (const [found, { bytes }] of records.scan(Buffer.alloc(0))) {
    if (!isHeadKey(found)) continue;
    const key = Buffer.from(found);
    const record = Buffer.from(bytes);
    openHead(key, record, sealer);
    heads.push({ key, generation: HEADER_KEY.equals(key) ? headerGeneration(record) : generationOf(record) });
  }
  return summary === undefined ? integrity.believing(heads) : integrity.check(summary, heads);
}

/** @throws CofferError `tampered` for a head that is not this store's */
export function openHead(key: Uint8Array, record: Uint8Array, sealer: RecordSealer): void {
  if (HEADER_KEY.equals(key)) headerGeneration(record);
  else wipe(sealer.open(key, asBuffer(record)));
}
