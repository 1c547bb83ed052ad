import { asBuffer } from '../bytes.js';
import { CofferError } from '../errors.js';
import { NONCE_BYTES, openInto, sealInto, TAG_BYTES } from './aead.js';
import type { KeyRing } from './key-ring.js';
import { RandomPool } from './random-pool.js';
import { wipe } from './secure-memory.js';

const RECORD_FORMAT = 1;
const HEADER_BYTES = 1 + 4 + 4 + 8;
/** Longest storage key: kind, blinded name, record id. */
const MAX_KEY_BYTES = 1 + 32 + 16;
const DOMAIN = Buffer.from('coffer-record-v1\0');

/** What a record is bound to beside its storage key. */
export interface RecordBinding {
  /** Version number of a value's record, 0 for a head. */
  readonly version: number;
  /** Of a head: grows with every change. Of a value: that of the head that brought it in. */
  readonly generation: number;
}

/**
 * Seals and opens records of one store.
 *
 * A record is format (1 byte) ‖ data key id (4) ‖ version (4) ‖ generation (8), all big-endian, ‖ nonce (24) ‖
 * ciphertext ‖ tag (16). The associated data is a domain, the store's id, the storage key (kind, blinded name and, of a
 * value, its record id), and the header: no ciphertext can stand in for another, of this store or of another, or for
 * its own past.
 */
export class RecordSealer {
  readonly #ring: KeyRing;
  readonly #random = new RandomPool();
  /** The associated data of the record at hand: the context, which stays, then key and header. */
  readonly #associated: Buffer;
  readonly #contextBytes: number;

  constructor(ring: KeyRing, storeId: Uint8Array) {
    this.#ring = ring;
    const context = Buffer.concat([DOMAIN, storeId]);
    this.#contextBytes = context.length;
    this.#associated = Buffer.concat([context, Buffer.alloc(MAX_KEY_BYTES + HEADER_BYTES)]);
  }

  seal(key: Uint8Array, { version, generation }: RecordBinding, plaintext: Uint8Array): Buffer {
    const dataKey = this.#ring.newest;
    const record = Buffer.allocUnsafeSlow(HEADER_BYTES + NONCE_BYTES + plaintext.length + TAG_BYTES);
    record[0] = RECORD_FORMAT;
    record.writeUInt32BE(dataKey.id, 1);
    record.writeUInt32BE(version, 5);
    record.writeBigUInt64BE(BigInt(generation), 9);
    sealInto(record, HEADER_BYTES, plaintext, this.#associatedData(key, record), dataKey.key, this.#random);
    return record;
  }

  /**
   * @param expected what the reader knows of the record; a head at open is bound to the generation that it states.
   * @throws CofferError `tampered`, naming the record's blinded key.
   */
  open(key: Uint8Array, record: Buffer, expected?: RecordBinding): Buffer {
    const length = plaintextLength(record);
    if (length < 0 || record[0] !== RECORD_FORMAT) throw tampered(key);
    const dataKey = this.#ring.dataKey(record.readUInt32BE(1));
    if (!dataKey) throw tampered(key);
    if (expected !== undefined) {
      const same =
        record.readUInt32BE(5) === expected.version && generationOf(record) === expected.generation;
      if (!same) throw tampered(key);
    }
    const plaintext = Buffer.allocUnsafe(length);
    if (!openInto(plaintext, record.subarray(HEADER_BYTES), this.#associatedData(key, record), dataKey.key)) {
      throw tampered(key);
    }
    return plaintext;
  }

  /**
   * The same record under the newest data key: the same plaintext with the same binding. Undefined if it is under that key.
   *
   * @throws CofferError `tampered`
   */
  reseal(key: Uint8Array, record: Buffer, expected?: RecordBinding): Buffer | undefined {
    if (dataKeyOf(record) === this.#ring.newest.id) return undefined;
    const plaintext = this.open(key, record, expected);
    const binding = { version: record.readUInt32BE(5), generation: generationOf(record) };
    const sealed = this.seal(key, binding, plaintext);
    wipe(plaintext);
    return sealed;
  }

  /** False for a record under a data key that is not in the ring. */
  knows(record: Uint8Array): boolean {
    return this.#ring.dataKey(dataKeyOf(asBuffer(record))) !== undefined;
  }

  /** Good until the next call: nothing here waits. */
  #associatedData(key: Uint8Array, record: Buffer): Buffer {
    const header = this.#contextBytes + key.length;
    this.#associated.set(key, this.#contextBytes);
    record.copy(this.#associated, header, 0, HEADER_BYTES);
    return this.#associated.subarray(0, header + HEADER_BYTES);
  }
}

/** How many bytes a record holds once it is opened; negative for what is none. */
export const plaintextLength = (record: Uint8Array): number =>
  record.length - HEADER_BYTES - NONCE_BYTES - TAG_BYTES;

/** The id of the data key that a record states to be under; 0, which no key has, of what is too short for a record. */
export const dataKeyOf = (record: Buffer): number =>
  record.length < HEADER_BYTES ? 0 : record.readUInt32BE(1);

/** The generation that a record states; trustworthy once the record has been opened. */
export const generationOf = (record: Buffer): number =>
  record.readUInt32BE(9) * 2 ** 32 + record.readUInt32BE(13);

/** The version that a value's record states; as trustworthy. */
export const versionOf = (record: Buffer): number => record.readUInt32BE(5);

export const tampered = (key: Uint8Array): CofferError =>
  new CofferError(
    'tampered',
    `the record ${Buffer.from(key).toString('hex')} is not what this store wrote: it was damaged, copied or put back. ` +
      'Its value is not given out; restore it from a backup',
  );
