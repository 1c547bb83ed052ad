import { asBuffer } from '../bytes.js';
import type { RecordBinding, RecordSealer } from '../crypto/records.js';
import { CofferError } from '../errors.js';
import { MOST_RESEALED_AT_ONCE } from '../storage/shared.js';
import type { StoredRecord } from '../storage/storage.js';

/** How many bytes of records may still be looked at before others get their turn; shared by the commits of one moment. */
export interface Room {
  bytes: number;
}

/** A record costs its bytes and this. */
const RECORD_COST = 256;

/** What became of one secret's, or the policy's, records. `Place` says where to go on if there was no room for all. */
export interface Resealed<Place> {
  /** How many are under the newest data key that were not before. */
  readonly records: number;
  /** Keys of those that fail authentication. They were left as they are. */
  readonly damaged: readonly Uint8Array[];
  readonly goOnAfter: Place | undefined;
}

/** Seals records of one commit anew, as they are, under the newest data key. */
export class Resealing {
  readonly put: { key: Uint8Array; bytes: Buffer }[] = [];
  readonly damaged: Uint8Array[] = [];
  readonly #sealer: RecordSealer;
  readonly #room: Room;
  #looked = 0;

  constructor(sealer: RecordSealer, room: Room) {
    this.#sealer = sealer;
    this.#room = room;
  }

  /** One record always has room, of whatever size. Records that are replaced go at once, however small they are. */
  get isFull(): boolean {
    if (this.#looked >= MOST_RESEALED_AT_ONCE) return true;
    return this.#room.bytes <= 0 && this.#looked > 0;
  }

  /** A record beside the head. */
  side(key: Uint8Array, record: StoredRecord | undefined, expected?: RecordBinding): void {
    const bytes = this.head(key, record, expected);
    if (bytes) this.put.push({ key, bytes });
  }

  /** Undefined if the record is under the newest data key, is not there, or is damaged. */
  head(key: Uint8Array, record: StoredRecord | undefined, expected?: RecordBinding): Buffer | undefined {
    if (!record) return undefined;
    this.#looked++;
    this.#room.bytes -= record.bytes.length + RECORD_COST;
    try {
      return this.#sealer.reseal(key, asBuffer(record.bytes), expected);
    } catch (error) {
      if (!(error instanceof CofferError) || error.code !== 'tampered') throw error;
      this.damaged.push(key);
      return undefined;
    }
  }
}
