import { asBuffer } from '../bytes.js';
import type { KeyRing } from '../crypto/key-ring.js';
import { RecordSealer } from '../crypto/records.js';
import { wipe } from '../crypto/secure-memory.js';
import type { Grant } from '../grant.js';
import { decodeHead } from '../head.js';
import { HEAD_PREFIX, POLICY_PREFIX } from '../keys.js';
import { decodePolicyRecord, type IssuedRecord, type Revocation, type TransitKey } from '../policy-record.js';
import type { StoredRecord } from '../storage/storage.js';
import type { RetiredTransitKey } from '../transit-keys.js';

/** What a state of a store knows, without values, from its records as they come. */
export class StateContents {
  /** When each revoked token was revoked, by id. */
  readonly revoked = new Map<string, Date>();
  readonly grants: Grant[] = [];
  /** Those in force. */
  readonly revocations: Revocation[] = [];
  readonly issued: IssuedRecord[] = [];
  readonly transitKeysRetired: RetiredTransitKey[] = [];
  /** Numbers of the versions of each secret, by name. */
  readonly secrets = new Map<string, readonly number[]>();
  readonly #sealer: RecordSealer;

  constructor(ring: KeyRing, storeId: Uint8Array) {
    this.#sealer = new RecordSealer(ring, storeId);
  }

  add(key: Buffer, { bytes }: StoredRecord): void {
    const isHead = key[0] === HEAD_PREFIX[0];
    if (!isHead && key[0] !== POLICY_PREFIX[0]) return;
    const plaintext = this.#sealer.open(key, asBuffer(bytes));
    if (isHead) this.#addHead(plaintext);
    else this.#addPolicy(plaintext);
    wipe(plaintext);
  }

  #addHead(plaintext: Buffer): void {
    const { name, versions, deletedAt } = decodeHead(plaintext);
    if (!deletedAt) this.secrets.set(name, [...versions.keys()]);
  }

  #addTransitKey({ backend, publicKey, retiredAt }: TransitKey): void {
    if (retiredAt) this.transitKeysRetired.push({ backend, publicKey, retiredAt });
  }

  #addPolicy(plaintext: Buffer): void {
    const record = decodePolicyRecord(plaintext);
    if (record.kind === 'grant') this.grants.push(record.grant);
    else if (record.kind === 'revocation') this.revocations.push(record.revocation);
    else if (record.kind === 'issued') this.issued.push(record.issued);
    else if (record.kind === 'transit-key') this.#addTransitKey(record.transitKey);
    else if (record.token.revokedAt) this.revoked.set(record.token.id, record.token.revokedAt);
  }
}
