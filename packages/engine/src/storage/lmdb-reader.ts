import { CofferError } from '../errors.js';
import { type LmdbDatabase, openDatabase } from './lmdb-database.js';
import { LmdbSnapshot } from './lmdb-snapshot.js';
import { type DriverState, type FileKind, readState, STATE_KEY } from './lmdb-state.js';
import type { StorageSnapshot } from './storage.js';

/**
 * A store that is only looked at. A server may be using it: then LMDB's own lock file holds a note of the reader, so that the
 * pages that it sees stay as they are.
 */
export class LmdbReader {
  readonly incarnation: Uint8Array;
  /** Bytes of all records, as a quota counts them. */
  readonly usedBytes: number;
  readonly snapshot: StorageSnapshot;
  readonly #db: LmdbDatabase;

  private constructor(db: LmdbDatabase, kind: FileKind, { incarnation, usedBytes }: DriverState) {
    this.#db = db;
    this.incarnation = incarnation;
    this.usedBytes = usedBytes;
    this.snapshot = new LmdbSnapshot(db, kind, 0, () => undefined);
  }

  /** @throws CofferError `unfit_store` if it is of the other kind; `newer_format`; `tampered` if it is no store */
  static async open(folder: string, kind: FileKind = 'embedded'): Promise<LmdbReader> {
    const db = await openDatabase(folder, { readOnly: true });
    try {
      const state = readState(db.getBinary(STATE_KEY), kind);
      if (!state) throw new CofferError('tampered', `${folder} holds no store`);
      return new LmdbReader(db, kind, state);
    } catch (error) {
      await db.close();
      throw error;
    }
  }

  async close(): Promise<void> {
    this.snapshot.close();
    await this.#db.close();
  }
}
