import { randomBytes } from 'node:crypto';

import { CofferError } from '../errors.js';
import type { StoredRecord } from './storage.js';

/** The layout of keys and records below. A store with a higher number is refused. */
export const STORAGE_FORMAT = 1;

/**
 * What LMDB's file is: the embedded store, one that was or is being moved elsewhere, or an instance's copy of a store that lies
 * elsewhere.
 */
export type FileKind = 'embedded' | 'moved' | 'replica';

/** In the byte of the format: a coffer that knows of no others than embedded stores takes them for a newer format. */
const KIND_FLAGS: Readonly<Record<FileKind, number>> = { embedded: 0, moved: 0x40, replica: 0x80 };
const FORMAT_BITS = 0x3f;

/** The driver's own rows begin with a zero; the engine's keys begin with a letter. */
export const STATE_KEY = Buffer.from([0]);
export const FIRST_KEY = Buffer.from([1]);
const STATE_BYTES = 1 + 16 + 8 + 8;
const REVISION_BYTES = 8;

/**
 * The driver's own record, under the key 0x00: format and kind (1 byte), incarnation (16), sequence (8, big-endian), bytes of
 * all records (8), and then the engine's sealed summary.
 */
export interface DriverState {
  readonly incarnation: Uint8Array;
  readonly sequence: number;
  readonly usedBytes: number;
  readonly summary: Uint8Array | undefined;
}

export const newState = (incarnation: Uint8Array = randomBytes(16)): DriverState => ({
  incarnation,
  sequence: 0,
  usedBytes: 0,
  summary: undefined,
});

/** @throws CofferError `unfit_store` for a file of the other kind; `newer_format`, `tampered` */
export function readState(bytes: Buffer | undefined, kind: FileKind = 'embedded'): DriverState | undefined {
  if (bytes === undefined) return undefined;
  const found = kindOf(bytes);
  if (found !== kind) throw new CofferError('unfit_store', WRONG_KIND[found]);
  const format = (bytes[0] ?? 0) & FORMAT_BITS;
  if (format > STORAGE_FORMAT) {
    throw new CofferError(
      'newer_format',
      `the store has format ${format} and this coffer reads up to ${STORAGE_FORMAT}: start it with a newer coffer`,
    );
  }
  if (format < 1 || bytes.length < STATE_BYTES) {
    throw new CofferError(
      'tampered',
      "the store's own record (key 00) is damaged: restore the store from a backup",
    );
  }
  return {
    incarnation: Buffer.from(bytes.subarray(1, 17)),
    sequence: Number(bytes.readBigUInt64BE(17)),
    usedBytes: Number(bytes.readBigUInt64BE(25)),
    summary: bytes.length > STATE_BYTES ? Buffer.from(bytes.subarray(STATE_BYTES)) : undefined,
  };
}

/** What a file is, by the driver's own record in it. */
export function kindOf(bytes: Buffer): FileKind {
  const flags = (bytes[0] ?? 0) & ~FORMAT_BITS;
  if (flags === KIND_FLAGS.embedded) return 'embedded';
  return flags === KIND_FLAGS.moved ? 'moved' : 'replica';
}

const WRONG_KIND: Readonly<Record<FileKind, string>> = {
  embedded:
    'this state folder holds an embedded store: move it into JetStream with coffer storage migrate, or name another ' +
    '--state-dir',
  moved:
    'the store in this state folder was moved into JetStream, or its move was not completed: repeat coffer storage migrate ' +
    '--to jetstream, or take the move back with coffer storage migrate --to embedded',
  replica:
    "this state folder holds an instance's replica of a store in JetStream, not an embedded store: set storage.kind to " +
    'jetstream, or name another --state-dir',
};

export function encodeState(
  { incarnation, sequence, usedBytes, summary }: DriverState,
  kind: FileKind = 'embedded',
): Buffer {
  const bytes = Buffer.alloc(STATE_BYTES + (summary?.length ?? 0));
  bytes[0] = STORAGE_FORMAT | KIND_FLAGS[kind];
  bytes.set(incarnation, 1);
  bytes.writeBigUInt64BE(BigInt(sequence), 17);
  bytes.writeBigUInt64BE(BigInt(Math.max(0, usedBytes)), 25);
  if (summary) bytes.set(summary, STATE_BYTES);
  return bytes;
}

/** Every record but the driver's own is its revision (8 bytes, big-endian) and the bytes. */
export function encode(revision: number, bytes: Uint8Array): Buffer {
  const stored = Buffer.allocUnsafeSlow(REVISION_BYTES + bytes.length);
  stored.writeBigUInt64BE(BigInt(revision), 0);
  stored.set(bytes, REVISION_BYTES);
  return stored;
}

export const readRevision = (stored: Buffer): number =>
  stored.readUInt32BE(0) * 2 ** 32 + stored.readUInt32BE(4);

export const decode = (stored: Buffer): StoredRecord => ({
  revision: readRevision(stored),
  bytes: stored.subarray(REVISION_BYTES),
});
