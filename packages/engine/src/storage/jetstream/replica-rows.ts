import { hash } from 'node:crypto';

import type { Ancestor, KnownMember, ReplicaEntry } from './replica-contract.js';

/**
 * What a replica keeps beside the records, which lie under their own keys as in an embedded store. A removed record is an entry
 * without a record, so that nobody who reads records meets it.
 *
 * - 00 01: the copy's own state, JSON, see `replica-state.ts`.
 * - 00 02 ‖ key: the entry of the record under that key: flags (1 byte: 1 removed, 2 head), revision (8, big-endian), number of
 *   chunks (4), fingerprint (8), and for each ancestor its revision (8) and fingerprint (8).
 * - 00 03 ‖ length of key (2) ‖ key ‖ index (4): a chunk whose record has not come, its revision (8) and bytes.
 * - 00 04 ‖ instance, 8 bytes: another instance that was heard of, JSON `{name, version, life, isForgotten, epoch, at}`.
 */
export const REPLICA_KEY = Buffer.from([0, 1]);
const ENTRY_PREFIX = Buffer.from([0, 2]);
const CHUNK_PREFIX = Buffer.from([0, 3]);
export const ENTRIES_END = CHUNK_PREFIX;
export const CHUNKS_START = CHUNK_PREFIX;
export const MEMBERS_START = Buffer.from([0, 4]);
export const CHUNKS_END = MEMBERS_START;
export const MEMBERS_END = Buffer.from([0, 5]);

const REMOVED = 1;
const HEAD = 2;
const ANCESTOR_BYTES = 16;
const ENTRY_BYTES = 1 + 8 + 4 + 8;

/** The first 8 bytes of SHA-256, hex; of nothing for what was removed. */
export const fingerprintOf = (bytes: Uint8Array | undefined): string =>
  hash('sha256', bytes ?? Buffer.alloc(0)).slice(0, 16);

export const entryKey = (key: Uint8Array): Buffer => Buffer.concat([ENTRY_PREFIX, key]);

/** The record's key in an entry's. */
export const keyOfEntry = (row: Buffer): Buffer => row.subarray(ENTRY_PREFIX.length);

/** The first row behind the entry of `after`; without it, behind none. */
export const entriesAfter = (after: Uint8Array | undefined): Buffer =>
  after ? Buffer.concat([ENTRY_PREFIX, after, Buffer.alloc(1)]) : ENTRY_PREFIX;

export function encodeEntry(entry: ReplicaEntry): Buffer {
  const bytes = Buffer.alloc(ENTRY_BYTES + entry.lineage.length * ANCESTOR_BYTES);
  bytes[0] = (entry.removed ? REMOVED : 0) | (entry.isHead ? HEAD : 0);
  bytes.writeBigUInt64BE(BigInt(entry.revision), 1);
  bytes.writeUInt32BE(entry.chunks, 9);
  bytes.write(entry.fingerprint, 13, 'hex');
  let at = ENTRY_BYTES;
  for (const { revision, fingerprint } of entry.lineage) {
    bytes.writeBigUInt64BE(BigInt(revision), at);
    bytes.write(fingerprint, at + 8, 'hex');
    at += ANCESTOR_BYTES;
  }
  return bytes;
}

export function decodeEntry(row: Buffer): ReplicaEntry {
  const flags = row[0] ?? 0;
  const lineage: Ancestor[] = [];
  for (let at = ENTRY_BYTES; at < row.length; at += ANCESTOR_BYTES) {
    const fingerprint = row.toString('hex', at + 8, at + ANCESTOR_BYTES);
    lineage.push({ revision: Number(row.readBigUInt64BE(at)), fingerprint });
  }
  return {
    revision: Number(row.readBigUInt64BE(1)),
    removed: (flags & REMOVED) !== 0,
    isHead: (flags & HEAD) !== 0,
    fingerprint: row.toString('hex', 13, ENTRY_BYTES),
    lineage,
    chunks: row.readUInt32BE(9),
  };
}

/** Rows of all chunks of a key: from here on, and before that. */
export function chunkRange(key: Uint8Array): { start: Buffer; end: Buffer } {
  const start = chunkKey(key, 0);
  return { start, end: Buffer.concat([chunkKey(key, 0xffff_ffff), Buffer.alloc(1)]) };
}

export function chunkKey(key: Uint8Array, index: number): Buffer {
  const row = Buffer.alloc(CHUNK_PREFIX.length + 2 + key.length + 4);
  row.set(CHUNK_PREFIX, 0);
  row.writeUInt16BE(key.length, CHUNK_PREFIX.length);
  row.set(key, CHUNK_PREFIX.length + 2);
  row.writeUInt32BE(index, row.length - 4);
  return row;
}

/** @returns undefined for what no part lies under */
export function readChunkKey(row: Buffer): { key: Buffer; index: number } | undefined {
  if (row.length <= CHUNK_PREFIX.length + 2 + 4) return undefined;
  const key = row.subarray(CHUNK_PREFIX.length + 2, row.length - 4);
  return { key, index: row.readUInt32BE(row.length - 4) };
}

export const memberKey = (instance: string): Buffer =>
  Buffer.concat([MEMBERS_START, Buffer.from(instance, 'hex')]);

export const encodeMember = ({ instance: _, at, ...said }: KnownMember): Buffer =>
  Buffer.from(JSON.stringify({ ...said, at: at.toISOString() }));

/** @returns undefined for a row that does not read so: what one says of itself is heard again, and must not keep an instance from opening */
export function decodeMember(row: Buffer, stored: Buffer): KnownMember | undefined {
  try {
    const { life = 0, isForgotten = false, at, ...said } = JSON.parse(String(stored)) as MemberJson;
    const instance = row.toString('hex', MEMBERS_START.length);
    const member = { ...said, instance, life, isForgotten, at: new Date(at) };
    return Number.isSafeInteger(said.epoch) && !Number.isNaN(member.at.getTime()) ? member : undefined;
  } catch {
    return undefined;
  }
}

interface MemberJson extends Pick<KnownMember, 'name' | 'version' | 'epoch'> {
  life?: number;
  isForgotten?: boolean;
  at: string;
}
