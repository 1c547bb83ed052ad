import { join } from 'node:path';

import { AuditCopies } from './audit/copies/copies.js';
import { AuditLog } from './audit/log.js';
import type { StoreWitness } from './audit/rollback.js';
import type { Signer } from './audit/signer.js';
import { AuditUpkeep } from './audit/upkeep.js';
import { Catalog } from './catalog.js';
import { RecordSealer, tampered } from './crypto/records.js';
import type { RootKeyContext } from './crypto/root-key-spec.js';
import type { CofferError } from './errors.js';
import { STORE_FORMAT, StoreHeader } from './header.js';
import { type FoundHead, HeadsIntegrity, NO_ANCHOR } from './integrity.js';
import { HEADER_KEY } from './keys.js';
import { Manifest } from './manifest.js';
import { NO_OPERATIONS } from './operations.js';
import { AUDIT_FOLDER, DEFAULT_MIN_FREE_BYTES, type EngineOptions, STORE_FOLDER } from './options.js';
import { LmdbStorage } from './storage/lmdb.js';
import { STATE_KEY } from './storage/lmdb-state.js';
import type { Storage } from './storage/storage.js';
import { upgradeStore } from './upgrade.js';

/** A store and its log, open: what an engine works on. */
export interface OpenStore {
  readonly storage: Storage;
  readonly header: StoreHeader;
  readonly catalog: Catalog;
  readonly manifest: Manifest;
  readonly audit: AuditLog;
  readonly upkeep: AuditUpkeep;
  readonly signer: Signer;
  onStop(listener: (error: CofferError) => void): void;
}

/**
 * Opens the store and its log, or makes them, holds one against the other, and brings an older format to this one's.
 *
 * @throws CofferError as `Engine.open`; nothing is left open then
 */
export async function openStore(options: EngineOptions): Promise<OpenStore> {
  const { stateDir } = options;
  const now = options.now ?? (() => new Date());
  const onNotice = (sentence: string) => options.onNotice?.(sentence);
  const auditFolder = join(stateDir, AUDIT_FOLDER);
  let stop: (error: CofferError) => void = () => undefined;
  const onFatal = (error: CofferError) => {
    stop(error);
    options.onFatal(error);
  };
  const storage: Storage = await LmdbStorage.open(join(stateDir, STORE_FOLDER), {
    minFreeBytes: options.storage?.minFreeBytes ?? DEFAULT_MIN_FREE_BYTES,
    quotaBytes: options.storage?.quotaBytes,
    onFatal,
  });
  let header: StoreHeader | undefined;
  let audit: AuditLog | undefined;
  let copies: AuditCopies | undefined;
  let upkeep: AuditUpkeep | undefined;
  try {
    header = await StoreHeader.open(storage, options.rootKey, rootKeyContext(options));
    const opened = header;
    const { catalog, manifest, integrity, witness } = await loadRecords(storage, opened);
    const signer = options.createSigner(header.ring.signingSeed);
    const storeId = Buffer.from(storage.incarnation).toString('hex');
    const acceptRollback = options.acceptRollback ?? false;
    const instance = storage.shared?.instance;
    audit = await AuditLog.open(auditFolder, {
      storeId,
      signer,
      instance,
      delivered: () => copies?.facts.delivered.seq,
      generation: () => manifest.generation,
      // What a store of format 1 says of its sequence is not sealed: no log vouches for it.
      revision: () => (opened.format > 1 ? storage.sequence : 0),
      witness,
      acceptRollback,
      segmentBytes: options.audit?.segmentBytes,
      segmentDays: options.audit?.segmentDays,
      now,
      onFatal,
      onNotice,
    });
    const retentionDays = options.audit?.retentionDays;
    const { jetstream: stream } = options.storage ?? {};
    if (instance !== undefined && stream) {
      const { ring } = header;
      copies = new AuditCopies({
        log: audit,
        ring,
        storeId,
        instance,
        stream,
        acceptRollback,
        now,
        onNotice,
      });
    }
    upkeep = new AuditUpkeep({ log: audit, storage, integrity, copies, now, retentionDays });
    // A crash from here on must not ask for it again.
    if (options.acceptRollback) await upkeep.anchor();
    if (header.format < STORE_FORMAT) {
      await upgradeStore({ storage, header, audit, stateDir, auditFolder, now, onNotice });
    }
    const onStop = (listener: typeof stop) => {
      stop = listener;
    };
    return { storage, header, catalog, manifest, audit, upkeep, signer, onStop };
  } catch (error) {
    await (upkeep ?? audit)?.close();
    await storage.close();
    header?.wipe();
    throw error;
  }
}

/** Ends the log, then closes the store and wipes its keys. */
export async function closeStore({ storage, upkeep, header }: OpenStore): Promise<void> {
  await upkeep.close();
  await storage.close();
  header.wipe();
}

export function rootKeyContext(options: EngineOptions): RootKeyContext {
  return {
    stateDir: options.stateDir,
    development: options.development ?? false,
    promptPassphrase: options.promptPassphrase,
    env: options.env,
    now: options.now,
    onNotice: (sentence) => options.onNotice?.(sentence),
  };
}

/** Reads all heads and proves that they are the newest; writes the first records of a new store. */
async function loadRecords(
  storage: Storage,
  header: StoreHeader,
): Promise<{ catalog: Catalog; manifest: Manifest; integrity: HeadsIntegrity; witness: StoreWitness }> {
  const { ring } = header;
  const sealer = new RecordSealer(ring, storage.incarnation);
  let integrity = new HeadsIntegrity(ring, sealer);
  const catalog = new Catalog(storage, ring, sealer);
  const manifest = new Manifest(storage, ring, sealer);
  if (header.isNew) {
    storage.summarise(integrity);
    await header.commit({});
  } else {
    const heads: FoundHead[] = [{ key: HEADER_KEY, generation: header.generation }, ...catalog.load()];
    const found = manifest.load();
    if (found) heads.push(found);
    integrity = integrity.check(storage.summary, heads);
    storage.summarise(integrity);
  }
  // Also where a crash came between the first two writes.
  if (manifest.generation === 0) await manifest.commit({ operations: NO_OPERATIONS });
  const { anchor = NO_ANCHOR, sequence } = integrity.read(storage.summary);
  // Only what is sealed counts, and in a store of format 1 it need not be there.
  if (sequence === undefined ? header.format > 1 : sequence !== storage.sequence) throw tampered(STATE_KEY);
  const revision = header.format > 1 ? (sequence ?? 0) : 0;
  return { catalog, manifest, integrity, witness: { anchor, revision, generation: manifest.generation } };
}
