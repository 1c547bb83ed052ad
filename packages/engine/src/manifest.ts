import { asBuffer } from './bytes.js';
import { EMPTY_DIGEST, recordMember, toggle } from './crypto/digest.js';
import type { KeyRing } from './crypto/key-ring.js';
import { generationOf, type RecordBinding, type RecordSealer, tampered } from './crypto/records.js';
import { wipe } from './crypto/secure-memory.js';
import type { Grant } from './grant.js';
import type { FoundHead } from './integrity.js';
import { manifestKey, POLICY_PREFIX, policyKey } from './keys.js';
import { NO_OPERATIONS, type Operations } from './operations.js';
import { decodeOperations, encodeOperations, type OperationJson } from './operations-json.js';
import {
  decodePolicyRecord,
  encodePolicyRecord,
  type IssuedRecord,
  idOf,
  type PolicyRecord,
  type Revocation,
  recordName,
  type StoredToken,
  type TransitKey,
  withoutSeed,
} from './policy-record.js';
import { type Resealed, Resealing, type Room } from './rotation/reseal.js';
import type { Storage } from './storage/storage.js';

/** Policy records to write and to take away, all or none. */
export interface ManifestChange {
  readonly write?: readonly PolicyRecord[];
  readonly remove?: readonly PolicyRecord[];
  readonly operations: Operations;
  /** Something is taken away from somebody: it goes through even where little room is left. */
  readonly urgent?: boolean;
  /** The grants change: who plans from the old ones is told. */
  readonly newPolicy?: boolean;
}

interface ManifestJson {
  /** Over all policy records and their generations, base64. */
  digest: string;
  policy: number;
  operations: readonly OperationJson[];
  /** Those that are forgotten and still count once; left out where there are none. */
  spent?: string;
}

const BINDING_VERSION = 0;

/**
 * The head over grants, tokens, revocations, what was issued and transit keys, each of which is a record of its own. It holds a
 * digest over them, so that none of them can be taken away or put back, and a generation that only grows.
 */
export class Manifest {
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly #key: Buffer;
  readonly #records = new Map<string, { record: PolicyRecord; key: Buffer; generation: number }>();
  #digest: Uint8Array = EMPTY_DIGEST;
  #revision = 0;
  generation = 0;
  policyGeneration = 0;
  operations = NO_OPERATIONS;

  constructor(storage: Storage, ring: KeyRing, sealer: RecordSealer) {
    this.#storage = storage;
    this.#ring = ring;
    this.#sealer = sealer;
    this.#key = manifestKey(ring);
  }

  /**
   * Reads it; answers the head for the check of integrity, undefined in a new store.
   *
   * @throws CofferError `tampered`
   */
  load(): FoundHead | undefined {
    const stored = this.#storage.get(this.#key);
    const digest = this.#loadRecords();
    if (!stored) {
      if (this.#records.size > 0) throw tampered(this.#key);
      return undefined;
    }
    const bytes = Buffer.from(stored.bytes);
    const json = decodeManifest(this.#sealer.open(this.#key, bytes));
    if (!digest.equals(Buffer.from(json.digest, 'base64'))) throw tampered(this.#key);
    this.#digest = digest;
    this.#revision = stored.revision;
    this.generation = generationOf(bytes);
    this.policyGeneration = json.policy;
    this.operations = decodeOperations({ recent: json.operations, ...(json.spent && { spent: json.spent }) });
    return { key: this.#key, generation: this.generation };
  }

  get grants(): Grant[] {
    return this.#all('grant').map(({ grant }) => grant);
  }

  get tokens(): StoredToken[] {
    return this.#all('token').map(({ token }) => token);
  }

  get revocations(): Revocation[] {
    return this.#all('revocation').map(({ revocation }) => revocation);
  }

  get issued(): IssuedRecord[] {
    return this.#all('issued').map(({ issued }) => issued);
  }

  /** The newest first: a retired one as new as its retirement. */
  get transitKeys(): TransitKey[] {
    return [...this.#records.values()]
      .sort((a, b) => b.generation - a.generation)
      .flatMap(({ record }) => (record.kind === 'transit-key' ? [record.transitKey] : []));
  }

  /**
   * A copy of the seed of a transit key, for the caller to wipe; undefined if it was retired this very moment. It is read from
   * the store, so that none lies in memory here.
   *
   * @throws CofferError `tampered`
   */
  transitSeed(transitKey: TransitKey): Buffer | undefined {
    const known = this.#records.get(idOf({ kind: 'transit-key', transitKey }));
    const stored = known && this.#storage.get(known.key);
    if (!known || !stored) throw tampered(this.#key);
    const sealed = asBuffer(stored.bytes);
    const plaintext = this.#sealer.open(known.key, sealed);
    try {
      if (generationOf(sealed) > known.generation) return undefined;
      const record = decodePolicyRecord(plaintext);
      const whole = generationOf(sealed) === known.generation && record.kind === 'transit-key' && record.seed;
      if (!whole) throw tampered(known.key);
      const seed = Buffer.from(new ArrayBuffer(whole.length));
      seed.set(whole);
      return seed;
    } finally {
      wipe(plaintext);
    }
  }

  /** @throws CofferError as {@link Storage.commit} */
  async commit({
    write = [],
    remove = [],
    operations,
    newPolicy = false,
    urgent = false,
  }: ManifestChange): Promise<void> {
    const generation = this.generation + 1;
    const policy = this.policyGeneration + (newPolicy ? 1 : 0);
    const gone = [...write, ...remove].flatMap((record) => this.#records.get(idOf(record)) ?? []);
    const added = write.map((record) => ({ record, generation, key: this.#keyOf(record) }));
    const digest = [...gone, ...added].reduce(
      (sum, { key, generation }) => this.#toggle(sum, key, generation),
      this.#digest,
    );
    const { recent, spent } = encodeOperations(operations);
    const json: ManifestJson = {
      digest: Buffer.from(digest).toString('base64'),
      policy,
      operations: recent,
      ...(spent !== undefined && { spent }),
    };
    const binding = { version: BINDING_VERSION, generation };
    this.#revision = await this.#storage.commit({
      urgent,
      head: {
        key: this.#key,
        bytes: this.#sealer.seal(this.#key, binding, Buffer.from(JSON.stringify(json))),
      },
      expectedRevision: this.#revision,
      put: added.map(({ record, key }) => ({ key, bytes: this.#seal(key, binding, record) })),
      remove: remove.map((record) => this.#keyOf(record)),
    });
    for (const record of remove) this.#records.delete(idOf(record));
    for (const one of added) this.#records.set(idOf(one.record), { ...one, record: withoutSeed(one.record) });
    this.#digest = digest;
    this.generation = generation;
    this.policyGeneration = policy;
    this.operations = operations;
  }

  /**
   * Seals policy records and the manifest, where they are under an older data key, under the newest, as they are. Nobody
   * else may be changing the manifest.
   *
   * @param after goes on behind this key of a policy record
   * @throws CofferError as {@link Storage.commit}
   */
  async reseal(room: Room, after?: Uint8Array): Promise<Resealed<Uint8Array>> {
    const resealing = new Resealing(this.#sealer, room);
    let goOnAfter: Uint8Array | undefined;
    for (const [found, record] of this.#storage.scan(POLICY_PREFIX, after)) {
      const key = Buffer.from(found);
      resealing.side(key, record);
      if (resealing.isFull) {
        goOnAfter = key;
        break;
      }
    }
    const stored = this.#storage.get(this.#key);
    const binding = { version: BINDING_VERSION, generation: this.generation };
    const sealed = resealing.head(this.#key, stored, binding);
    const { put, damaged } = resealing;
    const records = put.length + (sealed ? 1 : 0);
    const bytes = sealed ?? stored?.bytes;
    if (records > 0 && bytes) {
      const head = { key: this.#key, bytes };
      this.#revision = await this.#storage.commit({ head, expectedRevision: this.#revision, put });
    }
    return { records, damaged, goOnAfter };
  }

  #loadRecords(): Buffer {
    let digest = EMPTY_DIGEST;
    for (const [found, { bytes }] of this.#storage.scan(POLICY_PREFIX)) {
      const key = Buffer.from(found);
      const sealed = Buffer.from(bytes);
      const plaintext = this.#sealer.open(key, sealed);
      const record = withoutSeed(decodePolicyRecord(plaintext));
      wipe(plaintext);
      const generation = generationOf(sealed);
      this.#records.set(idOf(record), { record, key, generation });
      digest = this.#toggle(digest, key, generation);
    }
    return Buffer.from(digest);
  }

  #seal(key: Buffer, binding: RecordBinding, record: PolicyRecord): Buffer {
    const plaintext = encodePolicyRecord(record);
    const sealed = this.#sealer.seal(key, binding, plaintext);
    wipe(plaintext);
    return sealed;
  }

  #toggle(digest: Uint8Array, key: Uint8Array, generation: number): Uint8Array {
    return toggle(digest, this.#ring, recordMember(key, generation));
  }

  #keyOf(record: PolicyRecord): Buffer {
    return policyKey(this.#ring, record.kind, recordName(record));
  }

  #all<Kind extends PolicyRecord['kind']>(kind: Kind): Extract<PolicyRecord, { kind: Kind }>[] {
    return [...this.#records.values()].flatMap(({ record }) =>
      record.kind === kind ? [record as Extract<PolicyRecord, { kind: Kind }>] : [],
    );
  }
}

export const decodeManifest = (plaintext: Buffer): ManifestJson =>
  JSON.parse(plaintext.toString()) as ManifestJson;
