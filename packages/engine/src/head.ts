import { CofferError } from './errors.js';
import type { NumberSet } from './number-set.js';
import { NO_OPERATIONS, type Operations } from './operations.js';
import { decodeOperations, encodeOperations, type OperationJson } from './operations-json.js';

/** All that is known of a secret but its values. */
export interface Head {
  readonly name: string;
  /** 0 in a tombstone only. */
  readonly active: number;
  /** The highest number ever used. */
  readonly highest: number;
  /** Those that exist, by number, ascending. */
  readonly versions: ReadonlyMap<number, VersionEntry>;
  /** Numbers of deleted versions: never used again while the name lives. */
  readonly deleted: NumberSet;
  readonly operations: Operations;
  /** Set in a tombstone: the secret is gone, and only the memory of its operations is kept a while. */
  readonly deletedAt?: Date;
}

export interface VersionEntry {
  /** 16 random bytes: the record's own name beside the secret's, so that two writers never share a record. */
  readonly recordId: Uint8Array;
  /** Generation of the head that brought the value in; the value's record is bound to it. */
  readonly generation: number;
  readonly createdAt: Date;
  /** It was put as binary: whoever gets it as text or bytes gets bytes, even where they would be text. */
  readonly binary: boolean;
}

/** Of a secret before its first version. */
export const firstHead = (name: string): Head => ({
  name,
  active: 0,
  highest: 0,
  versions: new Map(),
  deleted: [],
  operations: NO_OPERATIONS,
});

/** What is left of a deleted secret. */
export const tombstoneOf = ({ name, operations }: Head, deletedAt: Date): Head => ({
  ...firstHead(name),
  operations,
  deletedAt,
});

/** The short names keep a head small: opening a store reads all of them. */
interface HeadJson {
  n: string;
  a: number;
  h: number;
  /** The last field stands only where it is 1: binary; since format 4. */
  v: [number: number, recordId: string, generation: number, createdAt: number, binary?: 1][];
  d?: [number, number][];
  o?: readonly OperationJson[];
  s?: string;
  x?: number;
}

export function encodeHead(head: Head): Buffer {
  const { recent, spent } = encodeOperations(head.operations);
  const json: HeadJson = {
    n: head.name,
    a: head.active,
    h: head.highest,
    v: [...head.versions].map(([number, { recordId, generation, createdAt, binary }]) => [
      number,
      Buffer.from(recordId).toString('base64'),
      generation,
      createdAt.getTime(),
      ...(binary ? ([1] as const) : ([] as const)),
    ]),
    ...(head.deleted.length > 0 && { d: head.deleted.map(([from, to]): [number, number] => [from, to]) }),
    ...(recent.length > 0 && { o: recent }),
    ...(spent !== undefined && { s: spent }),
    ...(head.deletedAt && { x: head.deletedAt.getTime() }),
  };
  return Buffer.from(JSON.stringify(json));
}

/** Reads what {@link encodeHead} wrote; the record's authentication has already proven that we wrote it. */
export function decodeHead(plaintext: Buffer): Head {
  let json: HeadJson;
  try {
    json = JSON.parse(plaintext.toString()) as HeadJson;
  } catch (cause) {
    throw new CofferError('tampered', 'a head is not in the format of this version', { cause });
  }
  return {
    name: json.n,
    active: json.a,
    highest: json.h,
    versions: new Map(
      json.v.map(([number, recordId, generation, createdAt, binary]) => [
        number,
        {
          recordId: Buffer.from(recordId, 'base64'),
          generation,
          createdAt: new Date(createdAt),
          binary: binary === 1,
        },
      ]),
    ),
    deleted: json.d ?? [],
    operations: decodeOperations({ recent: json.o ?? [], ...(json.s !== undefined && { spent: json.s }) }),
    ...(json.x !== undefined && { deletedAt: new Date(json.x) }),
  };
}
