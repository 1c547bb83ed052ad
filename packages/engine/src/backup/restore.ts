import { createReadStream } from 'node:fs';
import { type FileHandle, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { CURRENT_LOG, logFiles } from '../audit/copy.js';
import { RecordSealer } from '../crypto/records.js';
import { Engine } from '../engine.js';
import { CofferError, systemError } from '../errors.js';
import { privateFolder, syncFolder } from '../files.js';
import { HeadsIntegrity, NO_ANCHOR } from '../integrity.js';
import { AUDIT_FOLDER, STORE_FOLDER } from '../options.js';
import { LmdbStorage } from '../storage/lmdb.js';
import { LmdbWriter } from '../storage/lmdb-writer.js';
import { BackupCheck, type BackupContent } from './check.js';
import { StateContents } from './contents.js';
import { type Damage, describeDamage, isDamaged, madeOfDamage, ValueSurvey } from './damage.js';
import { type Item, malformed } from './items.js';
import { type Merged, mergeNewer } from './merge.js';
import { type NewerState, readNewer } from './newer.js';
import { RestoreFolder } from './restore-folder.js';
import { headerOf } from './root-key.js';
import type { TakenByRestore } from './take-away.js';
import { type OpenedBackup, type VerifyBackupOptions, withBackup } from './verify.js';

/**
 * How far the restored store's sequence is ahead of the backup's: beyond all that may have happened since, so that no
 * revision and no event's id of that time comes again.
 */
const SEQUENCE_LEAP = 2 ** 32;

export interface RestoreOptions extends VerifyBackupOptions {
  /** Absent or empty; the store's own folder afterwards. */
  readonly stateDir: string;
  /** Whether a development store is expected. */
  readonly development: boolean;
  /** Where newer revocations are looked for: state folders, audit logs, newer backups. */
  readonly mergeFrom: readonly string[];
  /** The root key of those, if it is not the backup's. */
  readonly mergeRootKey?: VerifyBackupOptions['rootKey'] | undefined;
  /** Goes on though values or the audit log were damaged when the backup was made; they stay as they are. */
  readonly acceptDamage?: boolean | undefined;
  /** Who restores, for the audit log. */
  readonly by?: string | undefined;
  readonly now?: (() => Date) | undefined;
}

/** What a restore did. */
export interface Restored
  extends TakenByRestore,
    Omit<Merged, 'revoked' | 'grantsGone' | 'revocations' | 'issued' | 'transitKeysRetired'> {
  readonly content: BackupContent;
  /** What was accepted. */
  readonly damage: Damage;
}

/**
 * Makes a state folder of a backup. The folder is absent until all of it is written, read back and checked; then it
 * is there as a whole.
 *
 * @param path the backup's file, or `-` for standard input
 * @throws CofferError as {@link verifyBackup}; `invalid_argument` if the state folder is not empty or something to merge is not
 *   of this store; `development_store`; `store_locked` while another restore to it is under way; `io`
 */
export async function restoreBackup(path: string, options: RestoreOptions): Promise<Restored> {
  const { stateDir } = options;
  const folder = await RestoreFolder.claim(stateDir).catch((error: unknown) => {
    throw systemError(error, `${stateDir} cannot be made`);
  });
  try {
    const restored = await withBackup(path, options, (backup) => build(folder.path, backup, options));
    await folder.complete();
    return restored;
  } catch (error) {
    await folder.abandon().catch(() => undefined);
    throw systemError(error, `the backup cannot be restored to ${stateDir}`);
  }
}

async function build(folder: string, backup: OpenedBackup, options: RestoreOptions): Promise<Restored> {
  requireKind(backup, options.development);
  const contents = new StateContents(backup.ring, backup.preamble.storeId);
  const content = await unpack(folder, backup, contents);
  const damage = await readBack(folder, backup, content, options);
  if (isDamaged(damage) && !options.acceptDamage) throw madeOfDamage(damage);
  const states = await newerStates(backup, content, options);
  const { revoked, grantsGone, revocations, issued, transitKeysRetired, ...found } = mergeNewer(
    { sequence: content.sequence, contents },
    states,
  );
  const engine = await openRestored(folder, options, damage);
  try {
    const why = whyOf(content, options, damage);
    const since = { revoked, grants: grantsGone, revocations, issued, transitKeysRetired };
    const taken = await engine.takeAway(since, why);
    return { content, damage, ...taken, ...found };
  } finally {
    await engine.close();
  }
}

function requireKind({ preamble }: OpenedBackup, development: boolean): void {
  if (headerOf(preamble).development === development) return;
  throw new CofferError(
    'development_store',
    development
      ? 'the backup is of a production store: a development server, where everybody has every right, does not get it'
      : 'the backup is of a development store, whose root key was never kept apart: restore it with --dev, for a ' +
          'development server, or put the secrets anew',
  );
}

/** Writes what the backup holds, checked as it is read, into the folder; durable when this resolves. */
async function unpack(folder: string, backup: OpenedBackup, contents: StateContents): Promise<BackupContent> {
  const { storeId } = backup.preamble;
  const auditFolder = join(folder, AUDIT_FOLDER);
  await privateFolder(auditFolder);
  const store = await LmdbWriter.create(join(folder, STORE_FOLDER));
  const log = new LogWriter(auditFolder);
  let state: Extract<Item, { type: 'state' }> | undefined;
  try {
    const items = backup.items();
    for (;;) {
      const next = await items.next();
      if (next.done) {
        if (!state) throw malformed();
        await log.finish();
        const { sequence, summary } = state;
        await store.finish({ incarnation: storeId, sequence: sequence + SEQUENCE_LEAP, summary });
        return next.value;
      }
      const item = next.value;
      if (item.type === 'state') state = item;
      if (item.type === 'record') {
        await store.add(item.key, item.record);
        contents.add(item.key, item.record);
      }
      if (item.type === 'audit-file') await log.begin(item.name);
      if (item.type === 'audit') await log.write(item.bytes);
    }
  } catch (error) {
    await log.close();
    await store.close();
    throw error;
  }
}

/** The files of an audit log, one after the other. */
class LogWriter {
  readonly #folder: string;
  #file: FileHandle | undefined;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async begin(name: string): Promise<void> {
    await this.#sync();
    // Nothing is ever added to a closed one.
    this.#file = await open(join(this.#folder, name), 'wx', name === CURRENT_LOG ? 0o600 : 0o400);
  }

  async write(bytes: Buffer): Promise<void> {
    if (!this.#file) throw malformed();
    await this.#file.writeFile(bytes);
  }

  async finish(): Promise<void> {
    await this.#sync();
    await syncFolder(this.#folder);
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #sync(): Promise<void> {
    await this.#file?.sync();
    await this.close();
  }
}

/** Checks all that was written, as the store and the files give it back, and seals the store in its new state. */
async function readBack(
  folder: string,
  { preamble, ring }: OpenedBackup,
  content: BackupContent,
  options: RestoreOptions,
): Promise<Damage> {
  const storage = await openStorage(folder);
  try {
    const check = new BackupCheck(preamble, ring, options);
    const { sequence } = content;
    check.add({ type: 'state', sequence, summary: Buffer.from(storage.summary ?? []) });
    for (const [key, record] of storage.scan(Buffer.alloc(0))) {
      check.add({ type: 'record', key: Buffer.from(key), record });
    }
    for (const name of await logFiles(join(folder, AUDIT_FOLDER))) {
      for await (const bytes of createReadStream(join(folder, AUDIT_FOLDER, name))) {
        check.add({ type: 'audit', bytes: bytes as Buffer });
      }
    }
    const { records, valuesHold, audit } = check.finish(content);
    const same =
      records === content.records &&
      valuesHold === content.valuesHold &&
      audit.broken?.seq === content.audit.broken?.seq;
    if (!same) throw new CofferError('io', 'the store that was written is not the one that was read');
    const survey = new ValueSurvey(ring, preamble.storeId);
    if (!valuesHold) {
      for (const [key, record] of storage.scan(Buffer.alloc(0))) survey.add(Buffer.from(key), record);
    }
    const sealer = new RecordSealer(ring, preamble.storeId);
    const { digest, anchor = NO_ANCHOR } = new HeadsIntegrity(ring, sealer).read(storage.summary);
    storage.summarise(new HeadsIntegrity(ring, sealer, { initial: digest, anchor }));
    await storage.refreshSummary();
    return { values: survey.finish(), log: audit.broken };
  } finally {
    await storage.close();
  }
}

async function newerStates(
  { preamble }: OpenedBackup,
  content: BackupContent,
  options: RestoreOptions,
): Promise<NewerState[]> {
  const { mergeFrom, mergeRootKey, rootKey } = options;
  const found: NewerState[] = [];
  for (const path of mergeFrom) {
    const { storeId } = preamble;
    const { serverKey, auditHead } = content;
    const logSigning = {
      storeId: content.storeId,
      verify: (message: Uint8Array, signature: Uint8Array, key: string) =>
        key === serverKey && options.verify(message, signature, key),
    };
    const newer = { ...options, rootKey: mergeRootKey ?? rootKey, storeId, since: auditHead.seq, logSigning };
    found.push(await readNewer(path, newer));
  }
  return found;
}

const openStorage = (folder: string): Promise<LmdbStorage> =>
  LmdbStorage.open(join(folder, STORE_FOLDER), { minFreeBytes: 0, onFatal: () => undefined });

/** A log whose end does not hold begins anew, as after a start of a server on it: the old one lies beside. */
async function openRestored(folder: string, options: RestoreOptions, { log }: Damage): Promise<Engine> {
  const open = () =>
    Engine.open({
      stateDir: folder,
      rootKey: options.rootKey,
      development: options.development,
      createSigner: (seed) => options.createSigner(seed),
      storage: { minFreeBytes: 0 },
      promptPassphrase: options.promptPassphrase,
      now: options.now,
      acceptRollback: log !== undefined,
      // Whatever is lost here is lost in a folder that nobody uses; the call that met it fails.
      onFatal: () => undefined,
      onNotice: (sentence) => options.onNotice?.(sentence),
    });
  try {
    return await open();
  } catch (error) {
    if (log === undefined || !(error instanceof CofferError) || error.code !== 'audit_broken') throw error;
    await rename(join(folder, AUDIT_FOLDER), join(folder, DAMAGED_LOG));
    await syncFolder(folder);
    options.onNotice?.(
      `The end of the audit log does not hold: it is kept in the folder ${DAMAGED_LOG}, and a new one begins.`,
    );
    return open();
  }
}

const DAMAGED_LOG = 'audit.damaged';
/** In one line of the log. */
const NAMED_IN_LOG = 500;

function whyOf({ backupId, madeAt }: BackupContent, { by }: RestoreOptions, damage: Damage): string {
  const accepted = isDamaged(damage) ? `; accepted as damaged: ${describeDamage(damage, NAMED_IN_LOG)}` : '';
  return `backup ${backupId} of ${madeAt.toISOString()}${by === undefined ? '' : `, by ${by}`}${accepted}`;
}
