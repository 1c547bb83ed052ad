import { KEY_BYTES, NONCE_BYTES, openInto, sealInto, TAG_BYTES } from '../../crypto/aead.js';
import type { KeyRing } from '../../crypto/key-ring.js';
import type { RandomPool } from '../../crypto/random-pool.js';
import { secureBuffer, wipe } from '../../crypto/secure-memory.js';

const PURPOSE = Buffer.from('coffer-audit-copy-v1\0');
const NOTE_DOMAIN = 'coffer-audit-keys-v1\0';
const NOTE_FORMAT = 1;
const ENTRY_BYTES = 4 + KEY_BYTES;
const NOTE_OVERHEAD = 1 + 4 + NONCE_BYTES + TAG_BYTES;

/** A key that copies are sealed under, and the id of the data key that it comes from. */
export interface CopyKey {
  readonly id: number;
  readonly key: Buffer;
}

/**
 * The keys of the copies: of each data key one, the keyed BLAKE2b of `coffer-audit-copy-v1` ‖ 0 under it, so that who once saw the
 * ring reads nothing that is copied after the data key was rotated.
 *
 * A data key is destroyed when no record is under it any more, and the copies stay. So a *note of keys* holds those of the older data
 * keys, sealed under the newest one's: format (1 byte, 1) ‖ id of that (4, big-endian) ‖ nonce (24) ‖ ciphertext ‖ tag (16), with
 * the associated data `coffer-audit-keys-v1` ‖ 0 ‖ store id in hex; the plaintext is for each its id (4) and the key (32). It has
 * to be in the stream before a data key is destroyed.
 */
export class CopyKeys {
  readonly #ring: KeyRing;
  readonly #associated: Buffer;
  readonly #known = new Map<number, Buffer>();

  constructor(ring: KeyRing, storeId: string) {
    this.#ring = ring;
    this.#associated = Buffer.from(NOTE_DOMAIN + storeId);
  }

  /** The one that seals. */
  get current(): CopyKey {
    const { id } = this.#ring.newest;
    return { id, key: this.get(id) as Buffer };
  }

  /** Undefined if its data key is gone and no note was read that holds it. */
  get(id: number): Buffer | undefined {
    const known = this.#known.get(id);
    if (known) return known;
    const derived = this.#ring.subkey(PURPOSE, id);
    if (derived) this.#known.set(id, derived);
    return derived;
  }

  /** Takes over what a note holds. False if it cannot be opened. */
  learn(note: Uint8Array): boolean {
    const sealed = Buffer.from(note.buffer, note.byteOffset, note.byteLength);
    const length = sealed.length - NOTE_OVERHEAD;
    if (length < 0 || length % ENTRY_BYTES !== 0 || sealed[0] !== NOTE_FORMAT) return false;
    const key = this.get(sealed.readUInt32BE(1));
    const plaintext = secureBuffer(Math.max(1, length)).subarray(0, length);
    if (!key || !openInto(plaintext, sealed.subarray(5), this.#associated, key)) return false;
    for (let at = 0; at < length; at += ENTRY_BYTES) {
      const id = plaintext.readUInt32BE(at);
      if (this.#known.has(id)) continue;
      const learnt = secureBuffer(KEY_BYTES);
      plaintext.copy(learnt, 0, at + 4, at + ENTRY_BYTES);
      this.#known.set(id, learnt);
    }
    wipe(plaintext);
    return true;
  }

  /** Ids of the older keys that a note has to hold now. */
  get older(): number[] {
    const newest = this.#ring.newest.id;
    for (const { id } of this.#ring.dataKeys) this.get(id);
    return [...this.#known.keys()].filter((id) => id < newest).sort((a, b) => a - b);
  }

  /** A note of all {@link older} ones. */
  note(random: RandomPool): Buffer {
    const { id: newest, key } = this.current;
    const { older } = this;
    const plaintext = secureBuffer(Math.max(1, older.length * ENTRY_BYTES));
    older.forEach((id, index) => {
      plaintext.writeUInt32BE(id, index * ENTRY_BYTES);
      plaintext.set(this.get(id) as Buffer, index * ENTRY_BYTES + 4);
    });
    const held = plaintext.subarray(0, older.length * ENTRY_BYTES);
    const sealed = Buffer.allocUnsafeSlow(NOTE_OVERHEAD + held.length);
    sealed[0] = NOTE_FORMAT;
    sealed.writeUInt32BE(newest, 1);
    sealInto(sealed, 5, held, this.#associated, key, random);
    wipe(plaintext);
    return sealed;
  }

  wipe(): void {
    for (const key of this.#known.values()) wipe(key);
    this.#known.clear();
  }
}

/** Id of the data key that a note is under; 0 for what is none. */
export const noteKeyOf = (note: Uint8Array): number =>
  note.length < NOTE_OVERHEAD ? 0 : new DataView(note.buffer, note.byteOffset).getUint32(1);
