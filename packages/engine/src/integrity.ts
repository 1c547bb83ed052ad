import { asBuffer } from './bytes.js';
import { EMPTY_DIGEST, recordMember, toggle } from './crypto/digest.js';
import type { KeyRing } from './crypto/key-ring.js';
import { generationOf, type RecordSealer, tampered } from './crypto/records.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { headerGeneration } from './header/format.js';
import { HEADER_KEY } from './keys.js';
import type { Summariser } from './storage/storage.js';

const SUMMARY_KEY = Buffer.from('summary');
const SUMMARY_BINDING = { version: 0, generation: 0 };
const DIGEST_BYTES = EMPTY_DIGEST.length;
const HASH_BYTES = 32;
const SUMMARY_BYTES = DIGEST_BYTES + 8 + 8 + HASH_BYTES;

/** How many guesses may be spent on naming the record that was put back. */
const GUESSES = 250_000;

/** A head as it was found in the store. */
export interface FoundHead {
  readonly key: Uint8Array;
  readonly generation: number;
}

/** A line of the audit log that was durable, by which a cut or rolled back log is noticed. */
export interface Anchor {
  readonly seq: number;
  /** SHA-256 of the line, hex; 64 zeros before the first. */
  readonly hash: string;
}

/** What a store's sealed summary says: digest (32 bytes) ‖ store's sequence (8, big-endian) ‖ anchor's seq (8) ‖ its hash (32). */
export interface Summary {
  readonly digest: Uint8Array;
  /** Missing in a store of format 1, whose summary is the digest alone. */
  readonly sequence?: number;
  readonly anchor?: Anchor;
}

export const NO_ANCHOR: Anchor = { seq: 0, hash: '0'.repeat(2 * HASH_BYTES) };

/**
 * Tells at open whether every head is the newest one. The store keeps a sealed digest over all heads and their
 * generations; a head that was put back, removed or brought back from the past changes the digest that is found.
 */
export class HeadsIntegrity implements Summariser {
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly #isShared: boolean;
  readonly initial: Uint8Array;
  /** The newest line of the audit log that is durable, for the summaries to come. */
  anchor: () => Anchor;
  /** `seq` of the anchor in the last summary that was made. */
  anchored = 0;

  constructor(
    ring: KeyRing,
    sealer: RecordSealer,
    {
      initial = EMPTY_DIGEST,
      anchor = NO_ANCHOR,
      isShared = false,
    }: { initial?: Uint8Array; anchor?: Anchor; isShared?: boolean } = {},
  ) {
    this.#ring = ring;
    this.#sealer = sealer;
    this.#isShared = isShared;
    this.initial = initial;
    this.anchor = () => anchor;
  }

  fold(
    digest: Uint8Array,
    key: Uint8Array,
    before: Uint8Array | undefined,
    after: Uint8Array | undefined,
  ): Uint8Array {
    // What lies on the disk may state anything: its generation counts once the record has proven itself. In a shared store one may
    // be there for a moment whose data key is still to come.
    if (before && !HEADER_KEY.equals(key) && !(this.#isShared && !this.#sealer.knows(before))) {
      wipe(this.#sealer.open(key, asBuffer(before)));
    }
    let folded = digest;
    if (before) folded = this.#toggle(folded, { key, generation: statedGeneration(key, before) });
    return after ? this.#toggle(folded, { key, generation: statedGeneration(key, after) }) : folded;
  }

  seal(digest: Uint8Array, sequence: number): Uint8Array {
    const anchor = this.anchor();
    this.anchored = anchor.seq;
    return this.#sealer.seal(SUMMARY_KEY, SUMMARY_BINDING, encodeSummary(digest, sequence, anchor));
  }

  /** @throws CofferError `tampered` */
  read(summary: Uint8Array | undefined): Summary {
    if (!summary) throw tampered(SUMMARY_KEY);
    const decoded = decodeSummary(this.#sealer.open(SUMMARY_KEY, Buffer.from(summary), SUMMARY_BINDING));
    if (!decoded) throw tampered(SUMMARY_KEY);
    return decoded;
  }

  /**
   * Checks the heads that were found against the store's summary.
   *
   * @returns the integrity to go on with
   * @throws CofferError `tampered`, naming the record's blinded key where it can be told
   */
  check(summary: Uint8Array | undefined, heads: readonly FoundHead[]): HeadsIntegrity {
    const { digest: stored, anchor } = this.read(summary);
    const found = this.#digestOf(heads);
    if (!asBuffer(stored).equals(found)) throw this.#culprit(stored, found, heads);
    return this.#from(found, anchor);
  }

  /** Takes these heads for the newest: nobody knows better. */
  believing(heads: readonly FoundHead[]): HeadsIntegrity {
    return this.#from(this.#digestOf(heads), NO_ANCHOR);
  }

  #from(initial: Uint8Array, anchor: Anchor = NO_ANCHOR): HeadsIntegrity {
    return new HeadsIntegrity(this.#ring, this.#sealer, { initial, anchor, isShared: this.#isShared });
  }

  #digestOf(heads: readonly FoundHead[]): Uint8Array {
    return heads.reduce((digest, head) => this.#toggle(digest, head), EMPTY_DIGEST);
  }

  #toggle(digest: Uint8Array, { key, generation }: FoundHead): Uint8Array {
    return toggle(digest, this.#ring, recordMember(key, generation));
  }

  /** One head that is older than it should be, or should not be there, gives itself away: its absence would explain all. */
  #culprit(stored: Uint8Array, found: Uint8Array, heads: readonly FoundHead[]): CofferError {
    const target = Buffer.from(stored);
    const ahead = Math.max(16, Math.floor(GUESSES / Math.max(1, heads.length)));
    for (const head of heads) {
      const without = this.#toggle(found, head);
      if (target.equals(without)) return tampered(head.key);
    }
    for (const head of heads) {
      const without = this.#toggle(found, head);
      for (let step = 1; step <= ahead; step++) {
        const guess = { key: head.key, generation: head.generation + step };
        if (target.equals(this.#toggle(without, guess))) return tampered(head.key);
      }
    }
    return new CofferError(
      'tampered',
      'records of this store were removed or put back to an earlier state; no single one explains it. Restore the store ' +
        'from a backup',
    );
  }
}

const statedGeneration = (key: Uint8Array, record: Uint8Array): number =>
  HEADER_KEY.equals(key) ? headerGeneration(record) : generationOf(asBuffer(record));

function encodeSummary(digest: Uint8Array, sequence: number, anchor: Anchor): Buffer {
  const bytes = Buffer.alloc(SUMMARY_BYTES);
  bytes.set(digest, 0);
  bytes.writeBigUInt64BE(BigInt(sequence), DIGEST_BYTES);
  bytes.writeBigUInt64BE(BigInt(anchor.seq), DIGEST_BYTES + 8);
  bytes.write(anchor.hash, DIGEST_BYTES + 16, 'hex');
  return bytes;
}

function decodeSummary(bytes: Buffer): Summary | undefined {
  const digest = bytes.subarray(0, DIGEST_BYTES);
  if (bytes.length === DIGEST_BYTES) return { digest };
  if (bytes.length !== SUMMARY_BYTES) return undefined;
  return {
    digest,
    sequence: Number(bytes.readBigUInt64BE(DIGEST_BYTES)),
    anchor: {
      seq: Number(bytes.readBigUInt64BE(DIGEST_BYTES + 8)),
      hash: bytes.toString('hex', DIGEST_BYTES + 16),
    },
  };
}
