import { createHash } from 'node:crypto';

import { CofferError } from '../errors.js';

/**
 * The file format `coffer-backup-v1`. All numbers are big-endian.
 *
 * - `coffer-backup-v1` and a newline (17 bytes);
 * - the preamble: its length (4), and JSON in clear, see {@link Preamble};
 * - SHA-256 of all until here (32), which tells a damaged file from a wrong root key;
 * - the header of a libsodium secretstream, XChaCha20-Poly1305 (24). Its key is the keyed BLAKE2b, under the data key
 *   that was the newest then, of `coffer-backup-key-v1` ‖ 0 ‖ backup id (16): who once saw the ring opens no backup
 *   that is made after the data key was rotated;
 * - blocks, each its length (4) and so many bytes: up to 64 KiB of content, sealed (17 more). The SHA-256 above is the
 *   associated data of each. The last one says that it is (`TAG_FINAL`): no block can be left out, repeated, moved,
 *   changed or taken from another backup, nor the end be cut off;
 * - the trailer, in clear, so that a file can be checked for damage without a key: number of records (8); what
 *   was found damaged in the store when the backup was made, see {@link FoundDamage}: records (8) and line (8); `seq` of the audit log's last line (8), that line's SHA-256 (32), SHA-256 of all until here (32). Then the file ends.
 *
 * The content is a sequence of items over all blocks: type (1), length (4), body.
 *
 * - 1, the state, first: the store's sequence (8) and its sealed summary;
 * - 2, a record, in byte order of their keys: length of the key (1), key, revision (8), and the bytes as the store has
 *   them, sealed under its data keys;
 * - 3, a file of the audit log, from the oldest to the current one, which is always called `audit.log`: its name;
 * - 4, bytes of that file, whole lines in the end;
 * - 5, the end: JSON, see {@link EndItem}.
 */
export const MAGIC = Buffer.from('coffer-backup-v1\n');
export const BLOCK_BYTES = 64 * 1024;
export const HASH_BYTES = 32;
export const TRAILER_BYTES = 8 + 8 + 8 + 8 + HASH_BYTES + HASH_BYTES;
const ID_BYTES = 16;
const PREAMBLE_BYTES_MAX = 1024 * 1024;
const KEY_DOMAIN = Buffer.from('coffer-backup-key-v1\0');

/** What is known of a backup before any key is. */
export interface Preamble {
  /** Random, 16 bytes. */
  readonly backupId: Buffer;
  /** The store's incarnation, 16 bytes. */
  readonly storeId: Buffer;
  readonly madeAt: Date;
  /** Id of the data key that the stream's key is derived from. */
  readonly dataKey: number;
  /** The store's header record, which holds the wrapped key ring. */
  readonly header: Buffer;
}

/** The newest line of an audit log. */
export interface LogHead {
  readonly seq: number;
  /** SHA-256 of the line, hex. */
  readonly hash: string;
}

/** What who made a backup found damaged in what it is made of. */
export interface FoundDamage {
  /** How many records do not hold. */
  readonly records: number;
  /** The line of the audit log that does not hold; 0 if all do. */
  readonly auditLine: number;
}

export interface Trailer {
  readonly records: number;
  readonly damaged: FoundDamage;
  readonly auditHead: LogHead;
}

/** Counts, and SHA-256 in hex of all items before this one, so that a mistake of ours would be noticed. */
export interface EndItem {
  readonly records: number;
  readonly auditFiles: number;
  readonly auditBytes: number;
  readonly damaged: FoundDamage;
  readonly auditHead: LogHead;
  readonly hash: string;
}

/** What the stream's key is derived for. */
export const keyPurpose = (backupId: Uint8Array): Buffer => Buffer.concat([KEY_DOMAIN, backupId]);

/** Magic, length and preamble; what follows is their SHA-256. */
export function encodePreamble({ backupId, storeId, madeAt, dataKey, header }: Preamble): Buffer {
  const json = Buffer.from(
    JSON.stringify({
      backupId: backupId.toString('hex'),
      storeId: storeId.toString('hex'),
      madeAt: madeAt.toISOString(),
      dataKey,
      header: header.toString('base64'),
    }),
  );
  return Buffer.concat([MAGIC, uint32(json.length), json]);
}

/** @throws CofferError `backup_broken` */
export function preambleLength(length: Buffer): number {
  const bytes = length.readUInt32BE(0);
  if (bytes > PREAMBLE_BYTES_MAX) throw damagedPreamble();
  return bytes;
}

/** @throws CofferError `backup_broken` */
export function parsePreamble(json: Buffer): Preamble {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(json.toString()) as Record<string, unknown>;
  } catch (cause) {
    throw damagedPreamble(cause);
  }
  const { backupId, storeId, madeAt, dataKey, header, ...rest } = fields ?? {};
  const whole =
    isId(backupId) &&
    isId(storeId) &&
    typeof madeAt === 'string' &&
    TIME.test(madeAt) &&
    Number.isSafeInteger(dataKey) &&
    typeof header === 'string' &&
    BASE64.test(header) &&
    Object.keys(rest).length === 0;
  if (!whole) throw damagedPreamble();
  return {
    backupId: Buffer.from(backupId, 'hex'),
    storeId: Buffer.from(storeId, 'hex'),
    madeAt: new Date(madeAt),
    dataKey: dataKey as number,
    header: Buffer.from(header, 'base64'),
  };
}

/** Without the hash at its end. */
export function encodeTrailer({ records, damaged, auditHead }: Trailer): Buffer {
  const numbers = [records, damaged.records, damaged.auditLine, auditHead.seq];
  return Buffer.concat([...numbers.map(uint64), Buffer.from(auditHead.hash, 'hex')]);
}

export function parseTrailer(trailer: Buffer): Trailer {
  const number = (index: number) => Number(trailer.readBigUInt64BE(8 * index));
  return {
    records: number(0),
    damaged: { records: number(1), auditLine: number(2) },
    auditHead: { seq: number(3), hash: trailer.toString('hex', 32, 32 + HASH_BYTES) },
  };
}

export const sha256 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value, 0);
  return bytes;
}

export function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value), 0);
  return bytes;
}

/** @param what completes the sentence "the backup …" */
export const broken = (what: string, cause?: unknown): CofferError =>
  new CofferError('backup_broken', `the backup ${what}`, { cause });

export const damagedPreamble = (cause?: unknown): CofferError =>
  broken('is damaged at its very beginning: take another copy of it', cause);

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const ID = new RegExp(`^[0-9a-f]{${2 * ID_BYTES}}$`);
const isId = (value: unknown): value is string => typeof value === 'string' && ID.test(value);
