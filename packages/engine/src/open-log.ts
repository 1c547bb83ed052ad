import { AuditCopies } from './audit/copies/copies.js';
import { AuditLog } from './audit/log.js';
import { NOT_NEEDED, type StoreWitness } from './audit/rollback.js';
import type { Signer } from './audit/signer.js';
import { AuditUpkeep } from './audit/upkeep.js';
import type { CofferError } from './errors.js';
import type { StoreHeader } from './header/store-header.js';
import type { HeadsIntegrity } from './integrity.js';
import type { Manifest } from './manifest.js';
import type { EngineOptions } from './options.js';
import type { Storage } from './storage/storage.js';

export interface LogParts {
  readonly folder: string;
  readonly storage: Storage;
  readonly header: StoreHeader;
  readonly manifest: Manifest;
  readonly integrity: HeadsIntegrity;
  /** What the store knows of the log. */
  readonly witness: StoreWitness;
  readonly signer: Signer;
  readonly now: () => Date;
  onFatal(error: CofferError): void;
  onNotice(sentence: string): void;
}

export interface OpenLog {
  readonly audit: AuditLog;
  /** Closes it, too. */
  readonly upkeep: AuditUpkeep;
}

/**
 * Opens a store's audit log, or makes it, and holds it against the store; where instances share that, with the copies of all logs.
 *
 * @throws CofferError `audit_broken`; `audit_rolled_back` and `store_rolled_back` unless that was accepted; `io`
 */
export async function openLog(
  { acceptRollback = false, audit: settings = {}, storage: { jetstream: stream } = {} }: EngineOptions,
  { folder, storage, header, manifest, integrity, witness, signer, now, onFatal, onNotice }: LogParts,
): Promise<OpenLog> {
  const { shared } = storage;
  const storeId = Buffer.from(storage.incarnation).toString('hex');
  let copies: AuditCopies | undefined;
  const log = await AuditLog.open(folder, {
    storeId,
    signer,
    instance: shared?.instance,
    delivered: () => copies?.facts.delivered.seq,
    generation: () => manifest.generation,
    // What a store of format 1 says of its sequence is not sealed: no log vouches for it. A replica's is no other replica's.
    revision: () => (header.format > 1 && !shared ? storage.sequence : 0),
    witness,
    acceptRollback,
    segmentBytes: settings.segmentBytes,
    segmentDays: settings.segmentDays,
    now,
    onFatal,
    onNotice,
  });
  try {
    const { instance } = log;
    if (shared && instance !== undefined && stream) {
      const { ring } = header;
      copies = new AuditCopies({ log, ring, storeId, instance, stream, acceptRollback, now, onNotice });
    }
    // Where there are copies they have a word in this, too.
    else if (acceptRollback && !log.hasAccepted) onNotice(NOT_NEEDED);
    const { retentionDays } = settings;
    return { audit: log, upkeep: new AuditUpkeep({ log, storage, integrity, copies, now, retentionDays }) };
  } catch (error) {
    await log.close();
    throw error;
  }
}
