import type { RangeOptions, Transaction } from 'lmdb';

import { asBuffer } from '../bytes.js';
import { CofferError } from '../errors.js';
import type { LmdbDatabase } from './lmdb-database.js';
import { type DriverState, decode, FIRST_KEY, type FileKind, readState, STATE_KEY } from './lmdb-state.js';
import type { StorageSnapshot, StoredRecord } from './storage.js';

/** A read transaction of LMDB's, which keeps the pages that it sees from being used again. */
export class LmdbSnapshot implements StorageSnapshot {
  readonly sequence: number;
  readonly summary: Uint8Array | undefined;
  readonly #db: LmdbDatabase;
  readonly #onClose: () => void;
  #transaction: Transaction | undefined;

  /** @param committed the last sequence that the store has acknowledged */
  constructor(db: LmdbDatabase, kind: FileKind, committed: number, onClose: () => void) {
    this.#db = db;
    this.#onClose = onClose;
    // Else it would be the one that reads of this turn of the event loop share, begun at the first of them.
    db.resetReadTxn();
    const transaction = db.useReadTransaction();
    this.#transaction = transaction;
    const { sequence, summary } = readState(db.get(STATE_KEY, { transaction }), kind) as DriverState;
    this.sequence = sequence;
    this.summary = summary;
    if (sequence < committed) {
      this.close();
      throw new CofferError('io', 'the store gave a snapshot that lacks what it has acknowledged');
    }
  }

  scan(prefix: Uint8Array, after?: Uint8Array): Iterable<[Uint8Array, StoredRecord]> {
    const transaction = this.#transaction;
    if (!transaction) throw new CofferError('stopped', 'the snapshot of the store is closed');
    return scanRange(this.#db, prefix, after, transaction);
  }

  close(): void {
    this.#transaction?.done();
    this.#transaction = undefined;
    this.#onClose();
  }
}

/** Records whose key starts with `prefix` and lies behind `after`; without a transaction, as of now. */
export function* scanRange(
  db: LmdbDatabase,
  prefix: Uint8Array,
  after: Uint8Array | undefined,
  transaction?: Transaction,
): Iterable<[Uint8Array, StoredRecord]> {
  // No key lies between `after` and `after` with a zero behind it.
  const next = after && Buffer.concat([after, Buffer.alloc(1)]);
  const start = next ?? (prefix.length > 0 ? asBuffer(prefix) : FIRST_KEY);
  const range: RangeOptions = { start, snapshot: true, ...(transaction && { transaction }) };
  for (const { key, value } of db.getRange(range)) {
    if (!key.subarray(0, prefix.length).equals(prefix)) return;
    yield [key, decode(value)];
  }
}
