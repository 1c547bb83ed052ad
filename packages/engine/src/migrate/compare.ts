import { asBuffer } from '../bytes.js';
import type { Storage, StoredRecord } from '../storage/storage.js';

/** How much of a store is held against another in one go. */
const PART_RECORDS = 1_000;
const PART_BYTES = 4 * 1024 * 1024;

/** What can be read from beginning to end. */
export type Records = Pick<Storage, 'scan'>;

export const NOTHING: Records = { scan: () => [] };

/** A record that is not the same in both. */
export interface Difference {
  readonly key: Buffer;
  /** Undefined: it is not to be there. */
  readonly source: StoredRecord | undefined;
  readonly target: StoredRecord | undefined;
}

export interface ComparedPart {
  /** Records of the source, and their bytes. */
  readonly records: number;
  readonly bytes: number;
  readonly differences: readonly Difference[];
}

/**
 * Holds the records of one store against another's, key by key and byte by byte, a part at a time: between two, both may change, and
 * whoever waits has his turn.
 */
export async function* compareRecords(source: Records, target: Records): AsyncGenerator<ComparedPart> {
  let after: Buffer | undefined;
  for (;;) {
    const part = partOf(source, after);
    const last = part.isLast ? undefined : part.records.at(-1)?.[0];
    yield compared(part.records, rangeOf(target, after, last));
    if (!last) return;
    after = last;
    await new Promise(setImmediate);
  }
}

type Row = readonly [key: Buffer, record: StoredRecord];

function partOf(source: Records, after: Buffer | undefined): { records: Row[]; isLast: boolean } {
  const records: Row[] = [];
  let bytes = 0;
  for (const [key, record] of source.scan(Buffer.alloc(0), after)) {
    records.push(copyOf(key, record));
    bytes += record.bytes.length;
    if (records.length >= PART_RECORDS || bytes >= PART_BYTES) return { records, isLast: false };
  }
  return { records, isLast: true };
}

/** Behind `after`, and up to `last`. */
function rangeOf(target: Records, after: Buffer | undefined, last: Buffer | undefined): Row[] {
  const records: Row[] = [];
  for (const [key, record] of target.scan(Buffer.alloc(0), after)) {
    if (last && Buffer.compare(asBuffer(key), last) > 0) break;
    records.push(copyOf(key, record));
  }
  return records;
}

/** LMDB's own memory holds a record only until the next is read. */
const copyOf = (key: Uint8Array, { revision, bytes }: StoredRecord): Row => [
  Buffer.from(key),
  { revision, bytes: Buffer.from(bytes) },
];

function compared(source: readonly Row[], target: readonly Row[]): ComparedPart {
  const others = new Map(target.map(([key, record]) => [key.toString('latin1'), record]));
  const differences: Difference[] = [];
  let bytes = 0;
  for (const [key, record] of source) {
    const text = key.toString('latin1');
    const other = others.get(text);
    others.delete(text);
    bytes += record.bytes.length;
    const isSame = other && asBuffer(record.bytes).equals(other.bytes);
    if (!isSame) differences.push({ key, source: record, target: other });
  }
  for (const [text, other] of others) {
    differences.push({ key: Buffer.from(text, 'latin1'), source: undefined, target: other });
  }
  return { records: source.length, bytes, differences };
}
