import sodium from 'sodium-native';

import { asBuffer } from '../bytes.js';
import { KEY_BYTES } from './aead.js';
import { secureBuffer, secureRandom, wipe } from './secure-memory.js';

/** Bytes of the seed of the server's signing key. */
const SEED_BYTES = 32;
const FIXED_BYTES = 3 * KEY_BYTES + 2;
const DATA_KEY_BYTES = 4 + 8 + KEY_BYTES;

/** One key that seals records. */
export interface DataKey {
  /** 1 or more; never used twice in a store. */
  readonly id: number;
  readonly createdAt: Date;
  readonly key: Buffer;
}

/**
 * Every key of a store but the root key, all in locked memory. The root key seals the ring as a whole:
 * blinding key (32) ‖ digest key (32) ‖ signing seed (32) ‖ number of data keys (2, big-endian) ‖ for each its id (4),
 * creation time (8, ms), key (32). The last data key is the one that seals new records.
 */
export class KeyRing {
  /** Makes the blinded keys that records are stored under; belongs to the store for its life. */
  readonly blinding: Buffer;
  /** Makes the digests over heads and policy. */
  readonly digest: Buffer;
  /** Seed of the Ed25519 key that signs the audit log's checkpoints. */
  readonly signingSeed: Buffer;
  readonly #dataKeys: Map<number, DataKey>;
  #newest: DataKey;

  private constructor(blinding: Buffer, digest: Buffer, signingSeed: Buffer, dataKeys: DataKey[]) {
    this.blinding = blinding;
    this.digest = digest;
    this.signingSeed = signingSeed;
    this.#dataKeys = new Map(dataKeys.map((key) => [key.id, key]));
    const newest = dataKeys.at(-1);
    if (!newest) throw new RangeError('a key ring without a data key');
    this.#newest = newest;
  }

  static create(now: Date): KeyRing {
    return new KeyRing(secureRandom(KEY_BYTES), secureRandom(KEY_BYTES), secureRandom(SEED_BYTES), [
      { id: 1, createdAt: now, key: secureRandom(KEY_BYTES) },
    ]);
  }

  /** Reads what {@link toBytes} wrote, into memory of its own; undefined if it is not that. */
  static fromBytes(bytes: Buffer): KeyRing | undefined {
    if (bytes.length < FIXED_BYTES) return undefined;
    const count = bytes.readUInt16BE(3 * KEY_BYTES);
    if (count === 0 || bytes.length !== FIXED_BYTES + count * DATA_KEY_BYTES) return undefined;
    const take = (offset: number) => {
      const key = secureBuffer(KEY_BYTES);
      bytes.copy(key, 0, offset, offset + KEY_BYTES);
      return key;
    };
    const dataKeys = Array.from({ length: count }, (_, index) => {
      const offset = FIXED_BYTES + index * DATA_KEY_BYTES;
      return {
        id: bytes.readUInt32BE(offset),
        createdAt: new Date(Number(bytes.readBigUInt64BE(offset + 4))),
        key: take(offset + 12),
      };
    });
    return new KeyRing(take(0), take(KEY_BYTES), take(2 * KEY_BYTES), dataKeys);
  }

  /** The ring with these data keys in one locked buffer, which the caller wipes after sealing it. */
  toBytes(dataKeys: readonly DataKey[] = this.dataKeys): Buffer {
    const bytes = secureBuffer(FIXED_BYTES + dataKeys.length * DATA_KEY_BYTES);
    bytes.set(this.blinding, 0);
    bytes.set(this.digest, KEY_BYTES);
    bytes.set(this.signingSeed, 2 * KEY_BYTES);
    bytes.writeUInt16BE(dataKeys.length, 3 * KEY_BYTES);
    let offset = FIXED_BYTES;
    for (const { id, createdAt, key } of dataKeys) {
      bytes.writeUInt32BE(id, offset);
      bytes.writeBigUInt64BE(BigInt(createdAt.getTime()), offset + 4);
      bytes.set(key, offset + 12);
      offset += DATA_KEY_BYTES;
    }
    return bytes;
  }

  /** One of its own, to be wiped by itself, that stays as this one is now. */
  copy(): KeyRing {
    const bytes = this.toBytes();
    const copy = KeyRing.fromBytes(bytes) as KeyRing;
    wipe(bytes);
    return copy;
  }

  /** The key that seals new records. */
  get newest(): DataKey {
    return this.#newest;
  }

  /** All of them, by id, ascending: the newest is the last, and no id above its own was ever used. */
  get dataKeys(): readonly DataKey[] {
    return [...this.#dataKeys.values()];
  }

  /** A key that is not in the ring yet. */
  nextDataKey(now: Date): DataKey {
    return { id: this.#newest.id + 1, createdAt: now, key: secureRandom(KEY_BYTES) };
  }

  /** Takes these in place of its data keys; what is not among them is wiped. */
  replaceDataKeys(dataKeys: readonly DataKey[]): void {
    const newest = dataKeys.at(-1);
    if (!newest) throw new RangeError('a key ring without a data key');
    const gone = this.dataKeys.filter((key) => !dataKeys.includes(key));
    this.#dataKeys.clear();
    for (const key of dataKeys) this.#dataKeys.set(key.id, key);
    this.#newest = newest;
    for (const { key } of gone) wipe(key);
  }

  /**
   * Takes over the data keys of a later state of this ring that are not here yet, and seals with that one's newest from now on;
   * what that one has lost stays until {@link replaceDataKeys}. All else of it is wiped.
   *
   * @returns the data keys that it has, as they are here; undefined if it is the ring of another store
   */
  learn(later: KeyRing): DataKey[] | undefined {
    const isOurs =
      sodium.sodium_memcmp(this.blinding, later.blinding) &&
      sodium.sodium_memcmp(this.digest, later.digest) &&
      sodium.sodium_memcmp(this.signingSeed, later.signingSeed) &&
      later.dataKeys.every(({ id, key }) => {
        const known = this.#dataKeys.get(id);
        return known === undefined || sodium.sodium_memcmp(known.key, key);
      });
    if (!isOurs) {
      later.wipe();
      return undefined;
    }
    for (const key of [later.blinding, later.digest, later.signingSeed]) wipe(key);
    const learnt = later.dataKeys.map((key) => {
      const known = this.#dataKeys.get(key.id);
      if (known) wipe(key.key);
      return known ?? key;
    });
    for (const key of learnt) this.#dataKeys.set(key.id, key);
    this.#newest = learnt.at(-1) ?? this.#newest;
    return learnt;
  }

  dataKey(id: number): DataKey | undefined {
    return this.#dataKeys.get(id);
  }

  /** HMAC-SHA-512/256 under the blinding key of kind ‖ 0 ‖ name, 32 bytes: what the disk sees instead of a name. */
  blind(kind: string, name: string): Buffer {
    const blinded = Buffer.allocUnsafeSlow(sodium.crypto_auth_BYTES);
    sodium.crypto_auth(blinded, Buffer.from(`${kind}\0${name}`), this.blinding);
    return blinded;
  }

  /**
   * Keyed BLAKE2b under the digest key of the domain, and of the ring with these data keys: tells who has the ring that it is the
   * same one, and others nothing.
   */
  proof(domain: Uint8Array, dataKeys: readonly DataKey[] = this.dataKeys): Buffer {
    const bytes = this.toBytes(dataKeys);
    const proof = Buffer.allocUnsafeSlow(32);
    sodium.crypto_generichash_batch(proof, [asBuffer(domain), bytes], this.digest);
    wipe(bytes);
    return proof;
  }

  /** Keyed BLAKE2b of the message under the digest key, 32 bytes. */
  authenticate(message: Uint8Array): Buffer {
    const mac = Buffer.allocUnsafeSlow(32);
    sodium.crypto_generichash(mac, asBuffer(message), this.digest);
    return mac;
  }

  /**
   * A key of its own for one purpose, 32 bytes in locked memory, which the caller wipes: keyed BLAKE2b of the purpose under
   * a data key, and not under a key that stays for the life of the store: a rotation changes what is to come.
   *
   * @param id of the data key; undefined if it is not in the ring
   */
  subkey(purpose: Uint8Array, id: number): Buffer | undefined {
    const dataKey = this.#dataKeys.get(id);
    if (!dataKey) return undefined;
    const key = secureBuffer(KEY_BYTES);
    sodium.crypto_generichash(key, asBuffer(purpose), dataKey.key);
    return key;
  }

  wipe(): void {
    for (const key of [this.blinding, this.digest, this.signingSeed]) wipe(key);
    for (const { key } of this.#dataKeys.values()) wipe(key);
  }
}
