import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { logFiles } from '../audit/copy.js';
import type { StoreSigning } from '../audit/verifier.js';
import type { KeyRing } from '../crypto/key-ring.js';
import type { RootKeySpec } from '../crypto/root-key-spec.js';
import { CofferError, systemError } from '../errors.js';
import type { Grant } from '../grant.js';
import { parseHeader } from '../header/format.js';
import { HEADER_KEY } from '../keys.js';
import type { IssuedRecord, Revocation } from '../policy-record.js';
import type { RetiredTransitKey } from '../transit-keys.js';
import { RecordCheck } from './check-records.js';
import { StateContents } from './contents.js';
import { MAGIC } from './format.js';
import { type LogFindings, readNewerLog } from './newer-log.js';
import { readStore } from './read-store.js';
import { openRing } from './root-key.js';
import { type VerifyBackupOptions, withBackup } from './verify.js';

/** What is known of the time after a backup, from one place. */
export interface NewerState {
  readonly path: string;
  /** When each token was revoked, by id. */
  readonly revoked: ReadonlyMap<string, Date>;
  /** The state itself; where only a log could be read, there is none. */
  readonly state?: {
    /** Of the store's changes. */
    readonly sequence: number;
    readonly grants: readonly Grant[];
    readonly revocations: readonly Revocation[];
    readonly issued: readonly IssuedRecord[];
    readonly transitKeysRetired: readonly RetiredTransitKey[];
    readonly secrets: ReadonlyMap<string, readonly number[]>;
  };
  readonly log?: LogFindings;
}

export interface NewerOptions extends VerifyBackupOptions {
  /** Of the backup that is restored. */
  readonly storeId: Buffer;
  /** `seq` of the last line of the audit log in that backup. */
  readonly since: number;
  /** Checks the signatures of that store's server. */
  readonly logSigning: StoreSigning;
}

/**
 * Reads what is newer than a backup: a state folder (its store if that holds, and its log), a folder or a file of an audit
 * log, or another backup.
 *
 * @throws CofferError `invalid_argument` if it is none of these, or another store's; and for the root key
 */
export async function readNewer(path: string, options: NewerOptions): Promise<NewerState> {
  try {
    const kind = await kindOf(path);
    if (kind === 'backup') return await fromBackup(path, options);
    if (kind === 'log') return { path, ...(await fromLog([path], options)) };
    if (kind === 'log folder') return { path, ...(await fromLogFolder(path, options)) };
    return await fromStateFolder(path, options);
  } catch (error) {
    throw systemError(error, `${path} cannot be read`);
  }
}

const tampered = (what: string) => new CofferError('tampered', what);

type Kind = 'backup' | 'log' | 'log folder' | 'state folder';

async function kindOf(path: string): Promise<Kind> {
  if ((await stat(path)).isDirectory()) {
    const names = await readdir(path);
    if (names.includes('store') || names.includes('audit')) return 'state folder';
    if (names.some((name) => /^audit(-\d{16})?\.log$/.test(name))) return 'log folder';
  } else {
    const file = await open(path, 'r');
    try {
      const { buffer } = await file.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, 0);
      if (buffer.equals(MAGIC)) return 'backup';
      if (buffer[0] === '{'.charCodeAt(0)) return 'log';
    } finally {
      await file.close();
    }
  }
  throw new CofferError(
    'invalid_argument',
    `${path} is neither a state folder nor an audit log nor a backup: name the old state folder, or its audit folder`,
  );
}

async function fromBackup(path: string, options: NewerOptions): Promise<NewerState> {
  return withBackup(path, options, async ({ preamble, ring, items }) => {
    requireSameStore(path, preamble.storeId, options);
    const contents = new StateContents(ring, preamble.storeId);
    let sequence = 0;
    for await (const item of items()) {
      if (item.type === 'state') sequence = item.sequence;
      if (item.type === 'record') contents.add(item.key, item.record);
    }
    return { path, revoked: contents.revoked, state: { sequence, ...contentsOf(contents) } };
  });
}

async function fromStateFolder(path: string, options: NewerOptions): Promise<NewerState> {
  const store = await fromStore(path, options).catch((error: unknown) => {
    // Another store, or a root key that does not open this one, is a mistake to be told; anything else is damage.
    const { code } = error as CofferError;
    if (error instanceof CofferError && !DAMAGE.has(code)) throw error;
    options.onNotice?.(
      `The store in ${path} cannot be read (${(error as Error).message}): only its audit log counts, which knows the ` +
        'tokens and identities that were revoked, and not the grants.',
    );
    return undefined;
  });
  const log = await fromLogFolder(join(path, 'audit'), options).catch((error: unknown) => {
    if (!store) throw error;
    return undefined;
  });
  const revoked = new Map([...(log?.revoked ?? []), ...(store?.revoked ?? [])]);
  return { path, revoked, ...(store && { state: store.state }), ...(log && { log: log.log }) };
}

const DAMAGE: ReadonlySet<string> = new Set(['tampered', 'backup_broken', 'newer_format', 'io']);

async function fromStore(path: string, options: NewerOptions): Promise<Required<Omit<NewerState, 'log'>>> {
  const { storeId, items, stop } = await readStore(join(path, 'store'));
  let opened: { ring: KeyRing; contents: StateContents; check: RecordCheck } | undefined;
  let state: { readonly sequence: number; readonly summary: Buffer } = {
    sequence: 0,
    summary: Buffer.alloc(0),
  };
  try {
    requireSameStore(path, storeId, options);
    for await (const item of items) {
      if (item.type === 'state') state = item;
      if (item.type !== 'record') continue;
      const { key, record } = item;
      if (HEADER_KEY.equals(key)) {
        const header = Buffer.from(record.bytes);
        const ring = await openNewerRing(path, { storeId, header }, options);
        const contents = new StateContents(ring, storeId);
        opened = { ring, contents, check: new RecordCheck({ storeId, header }, ring, state, tampered) };
      }
      // The header is the first: no other key begins with a letter before it.
      if (!opened) break;
      opened.check.add(key, record);
      opened.contents.add(key, record);
    }
    if (!opened) throw new CofferError('tampered', 'its header is gone');
    opened.check.finish();
    const { contents } = opened;
    return { path, revoked: contents.revoked, state: { sequence: state.sequence, ...contentsOf(contents) } };
  } finally {
    stop();
    opened?.ring.wipe();
  }
}

function openNewerRing(
  path: string,
  { storeId, header }: { storeId: Buffer; header: Buffer },
  { rootKey, promptPassphrase, onNotice }: NewerOptions & { rootKey: RootKeySpec },
) {
  const context = { stateDir: path, promptPassphrase, onNotice: (sentence: string) => onNotice?.(sentence) };
  return openRing(
    storeId,
    parseHeader(header),
    rootKey,
    context,
    (given) =>
      `the root key does not open the store in ${path}: its root key was changed since the backup (${given}): name the new ` +
      'one with --merge-root-key',
  );
}

async function fromLogFolder(folder: string, options: NewerOptions) {
  const names = await logFiles(folder);
  return fromLog(
    names.map((name) => join(folder, name)),
    options,
  );
}

async function fromLog(paths: readonly string[], { since, logSigning }: NewerOptions) {
  const log = await readNewerLog(paths, since, logSigning);
  return { revoked: log.revoked, log };
}

function requireSameStore(path: string, storeId: Buffer, options: NewerOptions): void {
  if (storeId.equals(options.storeId)) return;
  throw new CofferError(
    'invalid_argument',
    `${path} is of another store (${storeId.toString('hex')}), and the backup is of ${options.storeId.toString('hex')}: ` +
      'nothing of it can be merged. If it is the same store, and damaged, name its audit folder',
  );
}

const contentsOf = ({ grants, revocations, issued, transitKeysRetired, secrets }: StateContents) => ({
  grants,
  revocations,
  issued,
  transitKeysRetired,
  secrets,
});
