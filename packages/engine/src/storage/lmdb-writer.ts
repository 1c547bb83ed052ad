import { asBuffer } from '../bytes.js';
import { privateFolder, syncFolder } from '../files.js';
import { type LmdbDatabase, openDatabase, syncDatabase } from './lmdb-database.js';
import { type DriverState, encode, encodeState, STATE_KEY } from './lmdb-state.js';
import type { StoredRecord } from './storage.js';

/** How much is gathered for one transaction. */
const TRANSACTION_BYTES = 8 * 1024 * 1024;

/** Fills a new store with the records of another one. Nobody else has it open, and until the end nothing of it counts. */
export class LmdbWriter {
  readonly #folder: string;
  readonly #db: LmdbDatabase;
  #waiting: [key: Buffer, stored: Buffer][] = [];
  #waitingBytes = 0;
  #usedBytes = 0;

  private constructor(folder: string, db: LmdbDatabase) {
    this.#folder = folder;
    this.#db = db;
  }

  static async create(folder: string): Promise<LmdbWriter> {
    await privateFolder(folder);
    return new LmdbWriter(folder, await openDatabase(folder, { noSync: true }));
  }

  async add(key: Uint8Array, { revision, bytes }: StoredRecord): Promise<void> {
    const stored = encode(revision, bytes);
    this.#waiting.push([Buffer.from(asBuffer(key)), stored]);
    this.#waitingBytes += stored.length;
    this.#usedBytes += stored.length;
    if (this.#waitingBytes >= TRANSACTION_BYTES) await this.#write();
  }

  /** Makes it a store, closed and durable. */
  async finish(state: Omit<DriverState, 'usedBytes'>): Promise<void> {
    this.#waiting.push([STATE_KEY, encodeState({ ...state, usedBytes: this.#usedBytes })]);
    await this.#write();
    await this.close();
    await syncDatabase(this.#folder);
    await syncFolder(this.#folder);
  }

  async close(): Promise<void> {
    await this.#db.close();
  }

  async #write(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    await this.#db.batch(() => {
      for (const [key, stored] of waiting) this.#db.put(key, stored);
    });
  }
}
