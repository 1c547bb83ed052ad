import { asBuffer } from '../bytes.js';
import { counted } from '../counted.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { RecordSealer } from '../crypto/records.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import { decodeHead } from '../head.js';
import { HEAD_PREFIX, VALUE_PREFIX, valueKey } from '../keys.js';
import type { StoredRecord } from '../storage/storage.js';
import { broken } from './format.js';

/** A value of the store that does not hold. */
export interface DamagedValue {
  /** Key of its record, hex. */
  readonly record: string;
  /** `unknown`: a record that no version of a secret names; it is never given out. */
  readonly state: 'changed' | 'missing' | 'unknown';
  /** Not known of an `unknown` one. */
  readonly secret?: string;
  readonly version?: number;
}

/** Where a log stops to hold. */
export interface LogDamage {
  readonly seq: number;
  readonly reason: string;
}

/** What was damaged in the store and in its log before a backup was made of them. */
export interface Damage {
  readonly values: readonly DamagedValue[];
  readonly log?: LogDamage | undefined;
}

/** Finds which values do not hold, from the records in byte order of their keys. Keeps the name of every secret in memory. */
export class ValueSurvey {
  readonly #sealer: RecordSealer;
  readonly #expected = new Map<string, { secret: string; version: number; generation: number }>();
  readonly #found: DamagedValue[] = [];

  constructor(ring: KeyRing, storeId: Uint8Array) {
    this.#sealer = new RecordSealer(ring, storeId);
  }

  add(key: Buffer, { bytes }: StoredRecord): void {
    if (key[0] === HEAD_PREFIX[0]) this.#addHead(key, asBuffer(bytes));
    if (key[0] === VALUE_PREFIX[0]) this.#addValue(key, asBuffer(bytes));
  }

  finish(): DamagedValue[] {
    const missing = [...this.#expected].map(
      ([record, { secret, version }]): DamagedValue => ({ record, state: 'missing', secret, version }),
    );
    return [...this.#found, ...missing];
  }

  #addHead(key: Buffer, bytes: Buffer): void {
    const plaintext = this.#sealer.open(key, bytes);
    const { name: secret, versions } = decodeHead(plaintext);
    wipe(plaintext);
    for (const [version, { recordId, generation }] of versions) {
      this.#expected.set(valueKey(key, recordId).toString('hex'), { secret, version, generation });
    }
  }

  #addValue(key: Buffer, bytes: Buffer): void {
    const record = key.toString('hex');
    const expected = this.#expected.get(record);
    this.#expected.delete(record);
    if (!expected) {
      this.#found.push({ record, state: 'unknown' });
      return;
    }
    const { secret, version } = expected;
    try {
      wipe(this.#sealer.open(key, bytes, expected));
    } catch (error) {
      if (!(error instanceof CofferError) || error.code !== 'tampered') throw error;
      this.#found.push({ record, state: 'changed', secret, version });
    }
  }
}

/** Each in words, at most so many of them. */
export function describeDamage({ values, log }: Damage, most: number): string {
  const named = values.slice(0, most).map(describeValue);
  const more = values.length > most ? [counted(values.length - most, 'more value')] : [];
  const logs = log ? [`the audit log does not hold from its line ${log.seq} on (${log.reason})`] : [];
  return [...named, ...more, ...logs].join('; ');
}

function describeValue({ record, state, secret, version }: DamagedValue): string {
  if (secret === undefined) return `the record ${record} is of no secret`;
  const value = `the value of ${printable(secret)}, version ${version},`;
  return state === 'missing' ? `${value} is gone` : `${value} is not what the store once wrote`;
}

/** A name comes from whoever made the secret, and this goes to a terminal. */
const printable = (name: string): string =>
  JSON.stringify(name).replace(
    /[^\p{L}\p{M}\p{N}\p{P}\p{S} ]/gu,
    (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`,
  );

const NAMED_IN_ERROR = 5;

/** For a backup that is as it was written. */
export const madeOfDamage = (damage: Damage): CofferError =>
  broken(
    `is whole, but was made of a damaged store: ${describeDamage(damage, NAMED_IN_ERROR)}. Take an earlier backup; or restore ` +
      'this one with --accept-damage: what is damaged then stays as it is, and all else can be used',
  );

export const isDamaged = ({ values, log }: Damage): boolean => values.length > 0 || log !== undefined;
