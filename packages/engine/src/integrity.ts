import { asBuffer } from './bytes.js';
import { EMPTY_DIGEST, recordMember, toggle } from './crypto/digest.js';
import type { KeyRing } from './crypto/key-ring.js';
import { generationOf, type RecordSealer, tampered } from './crypto/records.js';
import { wipe } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import { headerGeneration } from './header.js';
import { HEADER_KEY } from './keys.js';
import type { Summariser } from './storage/storage.js';

const SUMMARY_KEY = Buffer.from('summary');
const SUMMARY_BINDING = { version: 0, generation: 0 };

/** How many guesses may be spent on naming the record that was put back. */
const GUESSES = 250_000;

/** A head as it was found in the store. */
export interface FoundHead {
  readonly key: Uint8Array;
  readonly generation: number;
}

/**
 * Tells at open whether every head is the newest one. The store keeps a sealed digest over all heads and their
 * generations; a head that was put back, removed or brought back from the past changes the digest that is found.
 */
export class HeadsIntegrity implements Summariser {
  readonly #ring: KeyRing;
  readonly #sealer: RecordSealer;
  readonly initial: Uint8Array;

  constructor(ring: KeyRing, sealer: RecordSealer, initial: Uint8Array = EMPTY_DIGEST) {
    this.#ring = ring;
    this.#sealer = sealer;
    this.initial = initial;
  }

  fold(
    digest: Uint8Array,
    key: Uint8Array,
    before: Uint8Array | undefined,
    after: Uint8Array | undefined,
  ): Uint8Array {
    let folded = digest;
    if (before) {
      // What lies on the disk may state anything: its generation counts once the record has proven itself.
      if (!HEADER_KEY.equals(key)) wipe(this.#sealer.open(key, asBuffer(before)));
      folded = this.#toggle(folded, { key, generation: statedGeneration(key, before) });
    }
    return after ? this.#toggle(folded, { key, generation: statedGeneration(key, after) }) : folded;
  }

  seal(digest: Uint8Array): Uint8Array {
    return this.#sealer.seal(SUMMARY_KEY, SUMMARY_BINDING, digest);
  }

  /**
   * Checks the heads that were found against the store's summary.
   *
   * @returns the integrity to go on with
   * @throws CofferError `tampered`, naming the record's blinded key where it can be told
   */
  check(summary: Uint8Array | undefined, heads: readonly FoundHead[]): HeadsIntegrity {
    if (!summary) throw tampered(SUMMARY_KEY);
    const stored = this.#sealer.open(SUMMARY_KEY, Buffer.from(summary), SUMMARY_BINDING);
    const found = heads.reduce((digest, head) => this.#toggle(digest, head), EMPTY_DIGEST);
    if (!stored.equals(found)) throw this.#culprit(stored, found, heads);
    return new HeadsIntegrity(this.#ring, this.#sealer, found);
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
