import { hash } from 'node:crypto';
import type { Proof } from '@coffer/identity';

/** So many are remembered twice over, of some two thousand bytes each. */
const REMEMBERED = 2_048;

/**
 * Proofs whose signatures were found right, by the hash of their text, so that a caller who shows the same one again within
 * its minute costs no second look at it. When there are too many, the oldest are forgotten.
 */
export class VerifiedProofs {
  #recent = new Map<string, Proof>();
  #older = new Map<string, Proof>();

  /** @returns what to {@link recall} it by */
  key(proof: string): string {
    return hash('sha256', proof, 'base64');
  }

  recall(key: string): Proof | undefined {
    return this.#recent.get(key) ?? this.#older.get(key);
  }

  remember(key: string, proof: Proof): void {
    if (this.#recent.size >= REMEMBERED) {
      this.#older = this.#recent;
      this.#recent = new Map();
    }
    this.#recent.set(key, proof);
  }
}
