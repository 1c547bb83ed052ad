import { asBuffer } from './bytes.js';
import { EMPTY_DIGEST, recordMember, toggle } from './crypto/digest.js';
import type { KeyRing } from './crypto/key-ring.js';
import { generationOf, type RecordBinding, type RecordSealer, tampered } from './crypto/records.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import type { Grant } from './grant.js';
import { requireStore } from './instances/moved-away.js';
import type { FoundHead } from './integrity.js';
import { manifestKey, POLICY_PREFIX, policyKey } from './keys.js';
import { NO_OPERATIONS, type Operations } from './operations.js';
import { decodeOperations, encodeOperations, type OperationJson } from './operations-json.js';
import { overtaken } from './overtaken.js';
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
import { type IncomingHead, MOST_AT_ONCE } from './storage/shared.js';
import type { Storage } from './storage/storage.js';

/** Policy records to write and to take away, all or none. */
export interface ManifestChange {
  readonly write?: readonly PolicyRecord[];
  readonly remove?: readonly PolicyRecord[];
  readonly operations: Operations;
  /** The {@link Manifest.revision} on which this was decided: at another one it is a conflict. */
  readonly base: number;
  /** Something is taken away from somebody: it goes through even where little room is left. */
  readonly urgent?: boolean;
  /** The grants change: who plans from the old ones is told. */
  readonly newPolicy?: boolean;
}

/** What has become true: told once, whoever made it. */
export interface ManifestNews {
  readonly write: readonly PolicyRecord[];
  readonly remove: readonly PolicyRecord[];
  /** The grants are others. */
  readonly newPolicy: boolean;
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

interface KnownRecord {
  readonly record: PolicyRecord;
  readonly key: Buffer;
  readonly generation: number;
}

/** Of the manifest, with what changes of the records under it. */
interface NewState {
  readonly revision: number;
  readonly generation: number;
  readonly policy: number;
  readonly operations: Operations;
  readonly digest: Uint8Array;
  readonly added: readonly KnownRecord[];
  readonly gone: readonly PolicyRecord[];
}

/**
 * The head over grants, tokens, revocations, what was issued and transit keys, each of which is a record of its own. It holds a
 * digest over them, so that none of them can be taken away or put back, and a generation that only grows.
 */
export class Manifest {
  readonly #storage: Storage;
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly #key: Buffer;
  readonly #records = new Map<string, KnownRecord>();
  readonly #listeners = new Set<(news: ManifestNews) => void>();
  #digest: Uint8Array = EMPTY_DIGEST;
  #isWhole = true;
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
   * Reads it; answers the head for the check of integrity, undefined in a new store. In a shared one {@link isWhole} may be false
   * then.
   *
   * @throws CofferError `tampered`
   */
  load(): FoundHead | undefined {
    const stored = this.#storage.get(this.#key);
    const isWhole = this.takeOver();
    if (!isWhole && !this.#storage.shared) throw tampered(this.#key);
    return stored && { key: this.#key, generation: generationOf(asBuffer(stored.bytes)) };
  }

  /** True for the manifest's key in the store. */
  isAt(key: Uint8Array): boolean {
    return this.#key.equals(key);
  }

  /**
   * Calls `listener` when a change has become true, in the turn in which it does.
   *
   * @returns a function that ends it
   */
  onChange(listener: (news: ManifestNews) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Looks at what somebody committed to a shared store, before it is visible, as `Catalog.admit` does.
   *
   * @throws CofferError `tampered`
   */
  admit({ before, after }: IncomingHead): void {
    if (!after) throw tampered(this.#key);
    if (!this.#sealer.knows(after)) return;
    wipe(this.#sealer.open(this.#key, asBuffer(after)));
    if (before && generationOf(asBuffer(after)) < generationOf(asBuffer(before.bytes)))
      throw tampered(this.#key);
  }

  /**
   * Takes over the manifest and what is under it as they are in the store now, whoever wrote them. Where they do not fit together,
   * all stays as it was: a replica that catches up may have a record before its head, or the data key of one is still to come.
   *
   * @returns whether they fit
   */
  takeOver(): boolean {
    const stored = this.#storage.get(this.#key);
    if (stored && this.#isWhole && stored.revision === this.#revision) return true;
    const bytes = stored && Buffer.from(stored.bytes);
    this.#isWhole = this.#takeOver(bytes, stored?.revision ?? 0);
    return this.#isWhole;
  }

  /** False while the store has a newer state that cannot be taken over yet. */
  get isWhole(): boolean {
    return this.#isWhole;
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

  /** Of the state that is known here; 0 before the first. */
  get revision(): number {
    return this.#revision;
  }

  /**
   * In a shared store the records are written at once: one without its head, left by an instance that was killed between them, would
   * keep every instance from ever taking over the policy again.
   *
   * @throws CofferError `invalid_argument` for more of them than that
   */
  requireFits({ write = [], remove = [] }: Pick<ManifestChange, 'write' | 'remove'>): void {
    const records = write.length + remove.length;
    if (!this.#storage.shared || records <= MOST_AT_ONCE) return;
    throw new CofferError(
      'invalid_argument',
      `${records} grants would change at once, and a store in NATS JetStream takes ${MOST_AT_ONCE}, added and removed ones together: ` +
        'apply the policy in parts, first a file that has fewer of the changes; nothing was changed',
    );
  }

  /** @throws CofferError as {@link Storage.commit} */
  async commit({
    write = [],
    remove = [],
    operations,
    base,
    newPolicy = false,
    urgent = false,
  }: ManifestChange): Promise<void> {
    // It was decided a while ago, since its intent is in the log by now.
    if (base !== this.#revision) throw overtaken();
    requireStore(this.#storage);
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
    const revision = await this.#storage.commit({
      urgent,
      head: {
        key: this.#key,
        bytes: this.#sealer.seal(this.#key, binding, Buffer.from(JSON.stringify(json))),
      },
      expectedRevision: this.#revision,
      put: added.map(({ record, key }) => ({ key, bytes: this.#seal(key, binding, record) })),
      remove: remove.map((record) => this.#keyOf(record)),
    });
    // In a shared store it was taken over when it became visible, and others may have gone on since.
    if (this.#revision >= revision) return;
    const bare = added.map((one) => ({ ...one, record: withoutSeed(one.record) }));
    this.#apply({ revision, generation, policy, operations, digest, added: bare, gone: remove });
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
      requireStore(this.#storage);
      const head = { key: this.#key, bytes };
      const revision = await this.#storage.commit({ head, expectedRevision: this.#revision, put });
      this.#revision = Math.max(this.#revision, revision);
    }
    return { records, damaged, goOnAfter };
  }

  /** @param bytes the manifest's; undefined if there is none */
  #takeOver(bytes: Buffer | undefined, revision: number): boolean {
    const found = this.#findRecords();
    if (!found) return false;
    const { added, gone } = found;
    if (!bytes) return this.#records.size + added.length === 0;
    const json = this.#openHead(bytes);
    if (!json) return false;
    const before = [...added, ...gone].flatMap(({ record }) => this.#records.get(idOf(record)) ?? []);
    const digest = [...before, ...added].reduce(
      (sum, { key, generation }) => this.#toggle(sum, key, generation),
      this.#digest,
    );
    if (!asBuffer(digest).equals(Buffer.from(json.digest, 'base64'))) return false;
    this.#apply({
      revision,
      digest,
      generation: generationOf(bytes),
      policy: json.policy,
      operations: decodeOperations({ recent: json.operations, ...(json.spent && { spent: json.spent }) }),
      added,
      gone: gone.map(({ record }) => record),
    });
    return true;
  }

  #openHead(bytes: Buffer): ManifestJson | undefined {
    if (this.#storage.shared && !this.#sealer.knows(bytes)) return undefined;
    return decodeManifest(this.#sealer.open(this.#key, bytes));
  }

  /** What the store has that is not known here, and what it has no more; undefined if the data key of one is still to come. */
  #findRecords(): { added: KnownRecord[]; gone: KnownRecord[] } | undefined {
    const gone = new Map([...this.#records.values()].map((known) => [known.key.toString('latin1'), known]));
    const added: KnownRecord[] = [];
    for (const [found, { bytes }] of this.#storage.scan(POLICY_PREFIX)) {
      const key = Buffer.from(found);
      const place = key.toString('latin1');
      const sealed = Buffer.from(bytes);
      const generation = generationOf(sealed);
      const known = gone.get(place);
      gone.delete(place);
      if (known?.generation === generation) continue;
      if (this.#storage.shared && !this.#sealer.knows(sealed)) return undefined;
      const plaintext = this.#sealer.open(key, sealed);
      const record = withoutSeed(decodePolicyRecord(plaintext));
      wipe(plaintext);
      added.push({ record, key, generation });
    }
    return { added, gone: [...gone.values()] };
  }

  #apply({ added, gone, ...state }: NewState): void {
    const newPolicy = state.policy !== this.policyGeneration;
    for (const record of gone) this.#records.delete(idOf(record));
    for (const one of added) this.#records.set(idOf(one.record), one);
    this.#digest = state.digest;
    this.#revision = state.revision;
    this.generation = state.generation;
    this.policyGeneration = state.policy;
    this.operations = state.operations;
    if (added.length + gone.length === 0 && !newPolicy) return;
    const news = { write: added.map(({ record }) => record), remove: gone, newPolicy };
    for (const listener of this.#listeners) listener(news);
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
