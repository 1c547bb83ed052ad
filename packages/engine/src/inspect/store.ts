import { mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import type { Signer } from '../audit/signer.js';
import { asBuffer } from '../bytes.js';
import { RecordSealer } from '../crypto/records.js';
import type { RootKeyContext, RootKeySpec } from '../crypto/root-key-spec.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError, systemError } from '../errors.js';
import { parseHeader, STORE_FORMAT } from '../header/format.js';
import { lookAtRing } from '../header/wrapping.js';
import { movedAway } from '../instances/moved-away.js';
import { type Anchor, HeadsIntegrity, NO_ANCHOR } from '../integrity.js';
import { HEADER_KEY, POLICY_PREFIX } from '../keys.js';
import { decodePolicyRecord } from '../policy-record.js';
import { DATA_FILE } from '../storage/lmdb-database.js';
import { LmdbReader } from '../storage/lmdb-reader.js';

/** What a store says of itself to who only looks. */
export interface StoreState {
  /** The incarnation id, hex. */
  readonly storeId: string;
  readonly format: number;
  /** The format that the next start brings it to, if that is another. */
  readonly upgradesTo?: number;
  readonly development: boolean;
  readonly rootKeyKind: string;
  /** Bytes of all records, which a quota counts. */
  readonly usedBytes: number;
  /** What only the root key shows; missing where none was given. */
  readonly keys?: StoreKeys;
}

export interface StoreKeys {
  /** The server's public nkey. */
  readonly serverKey: string;
  /** The oldest first; the last one seals new records. More than one: a rotation is under way. */
  readonly dataKeys: readonly { readonly id: number; readonly createdAt: Date }[];
  /** A line that the audit log must have, `seq` 0 if there was none yet; undefined in a store of format 1. */
  readonly anchor?: Anchor;
  /** Of each operator and account when its newest token was issued that was ever seen, in seconds since 1970. */
  readonly issued: ReadonlyMap<string, number>;
}

export interface InspectStoreOptions extends Omit<RootKeyContext, 'promptPassphrase' | 'onNotice'> {
  /** A server has the store open. */
  readonly inUse: boolean;
  /** It is an instance's replica of a store in JetStream. */
  readonly replica?: boolean | undefined;
  /** Opens the store's keys for a look, if it is given: proof that it is the right one. */
  readonly rootKey?: RootKeySpec | undefined;
  createSigner(seed: Uint8Array): Signer & { wipe?(): void };
}

/**
 * Looks into the store of a state folder, whether a server has it open or not. Changes nothing, and says nothing of
 * secrets.
 *
 * @returns undefined for a store without a header: an empty one
 * @throws CofferError `newer_format`, `tampered`, `io`; `unfit_store` for a replica of a store that was moved away; with a root key also `development_store`, `wrong_root_key`,
 *   `no_root_key`, `insecure_root_key`
 */
export async function inspectStore(options: InspectStoreOptions): Promise<StoreState | undefined> {
  const { stateDir, inUse } = options;
  const folder = join(resolve(stateDir), 'store');
  try {
    if (!(await isFilled(folder))) return undefined;
    return await (inUse ? readIn(folder, options) : withLink(folder, (link) => readIn(link, options)));
  } catch (error) {
    throw systemError(error, `the store in ${stateDir} cannot be read`);
  }
}

/** LMDB reads no empty file; the first start fills it. */
async function isFilled(folder: string): Promise<boolean> {
  const { size } = await stat(join(folder, DATA_FILE));
  return size > 0;
}

async function readIn(folder: string, options: InspectStoreOptions): Promise<StoreState | undefined> {
  const reader = await LmdbReader.open(folder, options.replica ? 'replica' : 'embedded');
  try {
    return await look(reader, options);
  } finally {
    await reader.close();
  }
}

/** LMDB's lock file, which every reader writes to, is then beside a link elsewhere. */
export async function withLink<T>(folder: string, use: (link: string) => Promise<T>): Promise<T> {
  const elsewhere = await mkdtemp(join(tmpdir(), 'coffer-'));
  try {
    await symlink(join(folder, DATA_FILE), join(elsewhere, DATA_FILE));
    return await use(elsewhere);
  } catch (error) {
    // The link's name says nothing to anybody.
    if (error instanceof CofferError)
      throw new CofferError(error.code, error.message.replaceAll(elsewhere, folder));
    throw error;
  } finally {
    await rm(elsewhere, { recursive: true, force: true });
  }
}

async function look(reader: LmdbReader, options: InspectStoreOptions): Promise<StoreState | undefined> {
  const header = headerRecord(reader);
  if (header === undefined) return undefined;
  const storeId = Buffer.from(reader.incarnation).toString('hex');
  const { format, development, rootKey, moved } = parseHeader(header);
  if (moved !== undefined) throw movedAway();
  const state = {
    storeId,
    format,
    ...(format < STORE_FORMAT && { upgradesTo: STORE_FORMAT }),
    development,
    rootKeyKind: rootKey.kind,
    usedBytes: reader.usedBytes,
  };
  if (options.rootKey === undefined) return state;
  const context = { ...options, onNotice: () => undefined };
  const ring = await lookAtRing(reader.incarnation, header, options.rootKey, context);
  try {
    const signer = options.createSigner(ring.signingSeed);
    const dataKeys = ring.dataKeys.map(({ id, createdAt }) => ({ id, createdAt }));
    signer.wipe?.();
    const sealer = new RecordSealer(ring, reader.incarnation);
    const { summary } = reader.snapshot;
    // A replica that was filled, and never served, has none yet.
    const isUnserved = options.replica && summary === undefined;
    const { anchor } = isUnserved ? { anchor: NO_ANCHOR } : new HeadsIntegrity(ring, sealer).read(summary);
    const issued = issuedIn(reader, sealer);
    return { ...state, keys: { serverKey: signer.publicKey, dataKeys, issued, ...(anchor && { anchor }) } };
  } finally {
    ring.wipe();
  }
}

function issuedIn({ snapshot }: LmdbReader, sealer: RecordSealer): Map<string, number> {
  const issued = new Map<string, number>();
  for (const [key, { bytes }] of snapshot.scan(POLICY_PREFIX)) {
    const plaintext = sealer.open(asBuffer(key), asBuffer(bytes));
    const record = decodePolicyRecord(plaintext);
    wipe(plaintext);
    if (record.kind === 'issued') issued.set(record.issued.key, record.issued.iat);
  }
  return issued;
}

export function headerRecord({ snapshot }: LmdbReader): Uint8Array | undefined {
  for (const [key, record] of snapshot.scan(HEADER_KEY))
    return HEADER_KEY.equals(key) ? record.bytes : undefined;
  return undefined;
}
