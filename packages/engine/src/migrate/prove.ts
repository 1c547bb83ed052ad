import { asBuffer } from '../bytes.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { generationOf, RecordSealer } from '../crypto/records.js';
import type { RootKey } from '../crypto/root-key.js';
import { wipe } from '../crypto/secure-memory.js';
import { headerGeneration, removed } from '../header/format.js';
import { unwrap } from '../header/wrapping.js';
import { type FoundHead, HeadsIntegrity } from '../integrity.js';
import { HEADER_KEY, isHeadKey } from '../keys.js';
import { rootKeyContext } from '../open-store.js';
import type { Admission } from '../storage/shared.js';
import { compareRecords, NOTHING, type Records } from './compare.js';
import { engineOptions, type MigrateOptions } from './options.js';

/** What opens the records of a store. */
export interface StoreKeys {
  readonly ring: KeyRing;
  readonly rootKey: RootKey;
  readonly sealer: RecordSealer;
}

export function wipeKeys(keys: StoreKeys | undefined): void {
  keys?.ring.wipe();
  keys?.rootKey.wipe();
}

/**
 * Opens the ring in a header; {@link wipeKeys} afterwards.
 *
 * @throws CofferError as opening a store
 */
export async function openKeys(
  header: Uint8Array,
  incarnation: Uint8Array,
  options: MigrateOptions,
): Promise<StoreKeys> {
  const context = rootKeyContext(engineOptions(options));
  // Nothing that a crash left open is finished.
  const { ring, rootKey } = await unwrap(incarnation, header, options.rootKey, context);
  return { ring, rootKey, sealer: new RecordSealer(ring, incarnation) };
}

/**
 * Takes over all that comes, which is proven when it is there; by the keys it is seen whether it was a heal that began an epoch. Only
 * the header stays, whoever has removed it, since the keys are in it: that is `tampered`.
 */
export const takingAll = (keys: () => StoreKeys | undefined): Admission => ({
  admit(heads) {
    for (const { key, before, after } of heads)
      if (before && !after && HEADER_KEY.equals(key)) throw removed();
  },
  authenticate: (message) => keys()?.ring.authenticate(message),
});

interface ProofOptions {
  /** What sealed the summary, if the ring is another by now. */
  readonly sealedBy?: StoreKeys;
  /** Of a replica on its way: the header with some head's data key may be still to come. */
  readonly isOnItsWay?: boolean;
}

/**
 * Opens every head, and holds all of them against the summary, if there is one.
 *
 * @returns the integrity to go on with
 * @throws CofferError `tampered`
 */
export async function proven(
  records: Records,
  summary: Uint8Array | undefined,
  keys: StoreKeys,
  { sealedBy = keys, isOnItsWay = false }: ProofOptions = {},
): Promise<HeadsIntegrity> {
  const { sealer } = keys;
  const integrity = new HeadsIntegrity(sealedBy.ring, sealedBy.sealer, { isShared: true });
  const heads: FoundHead[] = [];
  for await (const { differences } of compareRecords(records, NOTHING)) {
    for (const { key, source } of differences) {
      if (!source || !isHeadKey(key)) continue;
      const record = asBuffer(source.bytes);
      const isHeader = HEADER_KEY.equals(key);
      if (!isHeader && !(isOnItsWay && !sealer.knows(record))) wipe(sealer.open(key, record));
      heads.push({ key, generation: isHeader ? headerGeneration(record) : generationOf(record) });
    }
  }
  return summary === undefined ? integrity.believing(heads) : integrity.check(summary, heads);
}
