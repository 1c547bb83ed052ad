import { asBuffer } from '../bytes.js';
import { EMPTY_DIGEST, recordMember, toggle } from '../crypto/digest.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { generationOf, RecordSealer, versionOf } from '../crypto/records.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { decodeHead } from '../head.js';
import { headerGeneration } from '../header/format.js';
import { HeadsIntegrity, type Summary } from '../integrity.js';
import { HEAD_PREFIX, HEADER_KEY, manifestKey, POLICY_PREFIX, VALUE_PREFIX, valueKey } from '../keys.js';
import { decodeManifest } from '../manifest.js';
import { decodePolicyRecord } from '../policy-record.js';
import type { StoredRecord } from '../storage/storage.js';
import { broken, type Preamble } from './format.js';

/** What the records of a store hold. */
export interface RecordCounts {
  readonly records: number;
  readonly secrets: number;
  readonly versions: number;
  readonly tokens: number;
  readonly grants: number;
  readonly revocations: number;
  /** False if values that the heads name are missing or do not open, or there are others. All else holds. */
  readonly valuesHold: boolean;
}

/**
 * Opens every record of a store as they come, in byte order of their keys, and tells in the end whether they are all
 * there are: the heads by the sealed summary, the policy by the manifest, the values by the heads. Its memory does not grow
 * with the store, since what is to be compared is a digest over each set.
 */
export class RecordCheck {
  readonly summary: Summary;
  readonly #preamble: Pick<Preamble, 'storeId' | 'header'>;
  readonly #blame: Blame;
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly #sequence: number;
  readonly #manifestKey: Buffer;
  readonly #counts = { records: 0, secrets: 0, versions: 0, tokens: 0, grants: 0, revocations: 0 };
  #last: Buffer = Buffer.alloc(0);
  #heads = EMPTY_DIGEST;
  #policy = EMPTY_DIGEST;
  #policyByManifest: Uint8Array | undefined;
  #valuesByHeads = EMPTY_DIGEST;
  #values = EMPTY_DIGEST;
  #closedValues = 0;

  /** @param blame makes the error for a record that does not hold */
  constructor(
    preamble: Pick<Preamble, 'storeId' | 'header'>,
    ring: KeyRing,
    state: { sequence: number; summary: Buffer },
    blame: Blame,
  ) {
    this.#preamble = preamble;
    this.#blame = blame;
    this.#ring = ring;
    this.#sealer = new RecordSealer(ring, preamble.storeId);
    this.#sequence = state.sequence;
    this.#manifestKey = manifestKey(ring);
    this.summary = this.#holds(() => new HeadsIntegrity(ring, this.#sealer).read(state.summary));
    if (this.summary.sequence !== undefined && this.summary.sequence !== state.sequence) {
      throw this.#blame('its sealed sequence is not that of its records');
    }
  }

  /** @throws what `blame` makes */
  add(key: Buffer, { bytes, revision }: StoredRecord): void {
    if (Buffer.compare(this.#last, key) >= 0) throw this.#blame('its records are not in order');
    if (revision > this.#sequence) throw this.#blame('a record is newer than the store');
    this.#last = key;
    this.#counts.records++;
    this.#holds(() => this.#open(key, asBuffer(bytes)));
  }

  /** How many values do not open. */
  get closedValues(): number {
    return this.#closedValues;
  }

  /** @throws what `blame` makes */
  finish(): RecordCounts {
    if (!asBuffer(this.summary.digest).equals(this.#heads)) {
      throw this.#blame('heads were removed from it or put back to an earlier state');
    }
    if (!this.#policyByManifest || !asBuffer(this.#policyByManifest).equals(this.#policy)) {
      throw this.#blame('grants, tokens or revocations were removed from it or put back to an earlier state');
    }
    const valuesHold = this.#closedValues === 0 && asBuffer(this.#values).equals(this.#valuesByHeads);
    return { ...this.#counts, valuesHold };
  }

  #open(key: Buffer, record: Buffer): void {
    if (key.equals(HEADER_KEY)) {
      if (!record.equals(this.#preamble.header)) throw this.#blame('its header is not that of the backup');
      this.#heads = this.#toggle(this.#heads, key, headerGeneration(record));
      return;
    }
    if (startsWith(key, VALUE_PREFIX)) {
      this.#openValue(key, record);
      return;
    }
    const plaintext = this.#sealer.open(key, record);
    try {
      const generation = generationOf(record);
      if (key.equals(this.#manifestKey)) {
        this.#heads = this.#toggle(this.#heads, key, generation);
        this.#policyByManifest = Buffer.from(decodeManifest(plaintext).digest, 'base64');
      } else if (startsWith(key, HEAD_PREFIX)) {
        this.#heads = this.#toggle(this.#heads, key, generation);
        this.#addHead(key, plaintext);
      } else if (startsWith(key, POLICY_PREFIX)) {
        this.#policy = this.#toggle(this.#policy, key, generation);
        const { kind } = decodePolicyRecord(plaintext);
        if (kind === 'grant' || kind === 'token' || kind === 'revocation') this.#counts[`${kind}s`]++;
      } else {
        throw this.#blame(`it has a record of an unknown kind (${key.toString('hex')})`);
      }
    } finally {
      wipe(plaintext);
    }
  }

  /** One that does not open is its own secret's misfortune only. */
  #openValue(key: Buffer, record: Buffer): void {
    try {
      wipe(this.#sealer.open(key, record));
      this.#values = this.#toggleValue(this.#values, key, versionOf(record), generationOf(record));
    } catch (error) {
      if (!(error instanceof CofferError) || error.code !== 'tampered') throw error;
      this.#closedValues++;
    }
  }

  #addHead(key: Buffer, plaintext: Buffer): void {
    const { versions, deletedAt } = decodeHead(plaintext);
    if (!deletedAt) this.#counts.secrets++;
    for (const [version, { recordId, generation }] of versions) {
      this.#counts.versions++;
      const value = valueKey(key, recordId);
      this.#valuesByHeads = this.#toggleValue(this.#valuesByHeads, value, version, generation);
    }
  }

  /** A record that does not open was damaged before it came here. */
  #holds<T>(open: () => T): T {
    try {
      return open();
    } catch (error) {
      if (!(error instanceof CofferError) || error.code !== 'tampered') throw error;
      const [record = 'a record'] = /record [0-9a-f]+/.exec(error.message) ?? [];
      throw this.#blame(`${record} is not what the store once wrote`);
    }
  }

  #toggle(digest: Uint8Array, key: Uint8Array, generation: number): Uint8Array {
    return toggle(digest, this.#ring, recordMember(key, generation));
  }

  #toggleValue(digest: Uint8Array, key: Uint8Array, version: number, generation: number): Uint8Array {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(version, 0);
    return this.#toggle(digest, Buffer.concat([key, number]), generation);
  }
}

/** What a store is damaged by, as an error about where its records come from. */
export type Blame = (what: string) => CofferError;

const startsWith = (key: Buffer, prefix: Buffer): boolean => key.subarray(0, prefix.length).equals(prefix);

/** Blames a backup that is as it was written. */
export const unusable: Blame = (what) =>
  broken(`is whole, but was made of a damaged store: ${what}. Take an earlier backup`);
