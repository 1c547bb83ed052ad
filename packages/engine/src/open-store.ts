import { join } from 'node:path';

import type { AuditLog } from './audit/log.js';
import type { StoreWitness } from './audit/rollback.js';
import type { Signer } from './audit/signer.js';
import type { AuditUpkeep } from './audit/upkeep.js';
import { Catalog } from './catalog.js';
import { RecordSealer, tampered } from './crypto/records.js';
import type { RootKeyContext } from './crypto/root-key-spec.js';
import type { CofferError } from './errors.js';
import { STORE_FORMAT } from './header/format.js';
import { StoreHeader } from './header/store-header.js';
import { Follower } from './instances/follower.js';
import { RECORD_SENSE } from './instances/record-sense.js';
import { type FoundHead, HeadsIntegrity, NO_ANCHOR } from './integrity.js';
import { HEADER_KEY } from './keys.js';
import { Manifest } from './manifest.js';
import { MoveFolders } from './migrate/folders.js';
import { openLog } from './open-log.js';
import { NO_OPERATIONS } from './operations.js';
import { AUDIT_FOLDER, DEFAULT_MIN_FREE_BYTES, type EngineOptions, STORE_FOLDER } from './options.js';
import { isConflict } from './overtaken.js';
import { LmdbStorage } from './storage/lmdb.js';
import { STATE_KEY } from './storage/lmdb-state.js';
import type { Storage } from './storage/storage.js';
import { upgradeStore } from './upgrade.js';
import { version } from './version.js';

/** A store and its log, open: what an engine works on. */
export interface OpenStore {
  readonly storage: Storage;
  readonly header: StoreHeader;
  readonly catalog: Catalog;
  readonly manifest: Manifest;
  /** Of a shared store. */
  readonly follower: Follower | undefined;
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
  const onGone = (error: CofferError) => {
    onNotice(error.message);
    stop(error);
  };
  const storage = await openStorage(options, onFatal);
  let follower: Follower | undefined;
  let header: StoreHeader | undefined;
  let upkeep: AuditUpkeep | undefined;
  try {
    ({ header, follower } = await openHeader(storage, options, onNotice, onGone));
    const opened = header;
    const { shared } = storage;
    const load = async () => {
      const records = await loadRecords(storage, opened);
      // Before anything comes in between.
      if (shared) follower ??= new Follower({ storage, shared, onNotice, onGone });
      follower?.begin({ header: opened, ...records });
      return records;
    };
    // Where the store is made at this moment, what comes in of it is let pass already.
    const { catalog, manifest, integrity } = await (shared ? shared.still(load) : load());
    await follower?.whole();
    const witness = await witnessOf(storage, opened, manifest, integrity);
    const signer = options.createSigner(header.ring.signingSeed);
    const parts = { storage, header, manifest, integrity, witness, signer, now, onFatal, onNotice };
    const log = await openLog(options, { folder: auditFolder, ...parts });
    const { audit } = log;
    ({ upkeep } = log);
    // A crash from here on must not ask for it again.
    if (options.acceptRollback) await upkeep.anchor();
    if (header.format < STORE_FORMAT) {
      await upgradeStore({ storage, header, audit, stateDir, auditFolder, now, onNotice });
    }
    const onStop = (listener: typeof stop) => {
      stop = listener;
    };
    return { storage, header, catalog, manifest, follower, audit, upkeep, signer, onStop };
  } catch (error) {
    follower?.close();
    await upkeep?.close();
    // While it was read the instance had to be a member; without its keys it is none.
    if (!header) await withdraw(storage, onNotice);
    await storage.close();
    header?.wipe();
    throw error;
  }
}

async function withdraw({ shared }: Storage, onNotice: (sentence: string) => void): Promise<void> {
  try {
    await shared?.withdraw();
  } catch (error) {
    onNotice(
      `The other instances may wait for this one, which could not tell them that it does not open the store: ${(error as Error).message}. ` +
        `If it is not started again, then at one of them: coffer storage forget ${shared?.instance}`,
    );
  }
}

/** Ends the log, then closes the store and wipes its keys. */
export async function closeStore({ storage, follower, upkeep, header }: OpenStore): Promise<void> {
  await upkeep.close();
  follower?.close();
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

async function openStorage(
  { stateDir, storage = {}, openStorage: open, onNotice }: EngineOptions,
  onFatal: (error: CofferError) => void,
): Promise<Storage> {
  if (open) return open(onFatal);
  const folder = join(stateDir, STORE_FOLDER);
  const { jetstream, minFreeBytes = DEFAULT_MIN_FREE_BYTES, quotaBytes } = storage;
  const local = { minFreeBytes, quotaBytes, onFatal };
  await new MoveFolders(stateDir).requireStore();
  if (!jetstream) return LmdbStorage.open(folder, local);
  // Who has an embedded store needs no NATS.
  const { JetStreamStorage } = await import('./storage/jetstream/storage.js');
  return JetStreamStorage.open(folder, {
    ...local,
    jetstream,
    fence: HEADER_KEY,
    sense: RECORD_SENSE,
    version: version(),
    onNotice: (sentence) => onNotice?.(sentence),
  });
}

/** The header of the store; of a shared one that is empty, the one that is made here or at the same moment elsewhere. */
async function openHeader(
  storage: Storage,
  options: EngineOptions,
  onNotice: (sentence: string) => void,
  onGone: (error: CofferError) => void,
): Promise<{ header: StoreHeader; follower: Follower | undefined }> {
  const { shared } = storage;
  const context = rootKeyContext(options);
  const header = await StoreHeader.open(storage, options.rootKey, context);
  if (!shared || !header.isNew) return { header, follower: undefined };
  const follower = new Follower({ storage, shared, onNotice, onGone });
  follower.letPass();
  try {
    await header.commit({});
    return { header, follower };
  } catch (error) {
    header.wipe();
    if (!isConflict(error)) {
      follower.close();
      throw error;
    }
  }
  try {
    for (;;) {
      const made = await StoreHeader.open(storage, options.rootKey, context);
      if (made.isCurrent) return { header: made, follower };
      made.wipe();
    }
  } catch (error) {
    follower.close();
    throw error;
  }
}

/** Reads all heads and proves that they are the newest; writes the first record of a new store. */
async function loadRecords(
  storage: Storage,
  header: StoreHeader,
): Promise<{ catalog: Catalog; manifest: Manifest; integrity: HeadsIntegrity }> {
  const { ring } = header;
  const sealer = new RecordSealer(ring, storage.incarnation);
  const isShared = storage.shared !== undefined;
  let integrity = new HeadsIntegrity(ring, sealer, { isShared });
  const catalog = new Catalog(storage, ring, sealer);
  const manifest = new Manifest(storage, ring, sealer);
  if (header.isNew) {
    storage.summarise(integrity);
    await header.commit({});
  } else {
    const heads: FoundHead[] = [{ key: HEADER_KEY, generation: header.generation }, ...catalog.load()];
    const found = manifest.load();
    if (found) heads.push(found);
    const { summary, shared } = storage;
    // Nobody can vouch for a replica that was just made but the stream, which is held against it all the time.
    const isUnknown = shared && (shared.isNewReplica || summary === undefined);
    integrity = isUnknown ? integrity.believing(heads) : integrity.check(summary, heads);
    storage.summarise(integrity);
  }
  return { catalog, manifest, integrity };
}

/** What the store knows of its log; writes the first manifest of a new store, and the first summary of a new replica. */
async function witnessOf(
  storage: Storage,
  header: StoreHeader,
  manifest: Manifest,
  integrity: HeadsIntegrity,
): Promise<StoreWitness> {
  // Also where a crash came between the first two writes. Of a shared store another instance may be faster.
  if (manifest.generation === 0) {
    await manifest.commit({ operations: NO_OPERATIONS, base: 0 }).catch((error: unknown) => {
      if (!isConflict(error)) throw error;
    });
  }
  if (storage.shared && storage.summary === undefined) await storage.refreshSummary();
  const { anchor = NO_ANCHOR, sequence } = integrity.read(storage.summary);
  const { generation } = manifest;
  if (storage.shared) return { anchor, revision: Number.MAX_SAFE_INTEGER, generation };
  // Only what is sealed counts, and in a store of format 1 it need not be there.
  if (sequence === undefined ? header.format > 1 : sequence !== storage.sequence) throw tampered(STATE_KEY);
  return { anchor, revision: header.format > 1 ? (sequence ?? 0) : 0, generation };
}
