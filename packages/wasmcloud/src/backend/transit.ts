import type { KeyPair } from '@coffer/identity';
import { isBox, openBox } from '../protocol/sealing.js';
import { Allowance } from './allowance.js';
import type { TransitKeys } from './options.js';
import { BUSY } from './refusal.js';

/** The newest key and that of the others which was of use last: for any request, they are tried. */
const ALWAYS_TRIED = 2;
/** Of all other keys together: whoever may publish could else make us try each of them for each message, and do nothing else. */
const OTHER_TRIES = { perSecond: 200, most: 200 };
/** To try a key on so many bytes costs twice as much as on none. */
const BYTES_AS_A_TRY = 128 * 1024;
/** More than a ring has. */
const REMEMBERED = 64;

/** Opens requests with whichever transit key they were sealed to. To try one costs as much as opening. */
export class TransitOpener {
  readonly #keys: TransitKeys;
  readonly #others = new Allowance(OTHER_TRIES);
  /** Public keys that opened something, the last one first. */
  #recent: readonly string[] = [];

  constructor(keys: TransitKeys) {
    this.#keys = keys;
  }

  /** What hosts are told to seal to. */
  get current(): string {
    const [newest] = this.#keys.keys();
    if (newest === undefined) throw new Error('this backend has no transit key');
    return newest.publicKey;
  }

  /**
   * Undefined: no key opens it. The plaintext is the caller's to wipe.
   *
   * @throws SecretsError `Other: busy`: a key that was not tried may open it, later
   */
  open(box: Uint8Array, hostXkey: string): Uint8Array | undefined {
    if (!isBox(box)) return undefined;
    const keys = this.#inOrder();
    const others = keys.slice(ALWAYS_TRIED);
    const opened = this.#try(keys.slice(0, ALWAYS_TRIED), box, hostXkey);
    if (opened || others.length === 0) return opened;
    // All of them or none: else many askers use up what there is on their first keys, and none comes to its own.
    if (!this.#others.take(others.length * (1 + box.length / BYTES_AS_A_TRY))) throw BUSY;
    return this.#try(others, box, hostXkey);
  }

  #try(keys: readonly KeyPair[], box: Uint8Array, hostXkey: string): Uint8Array | undefined {
    for (const key of keys) {
      const plaintext = openBox(box, key, hostXkey);
      if (plaintext === undefined) continue;
      this.#used(key);
      return plaintext;
    }
    return undefined;
  }

  #used({ publicKey }: KeyPair): void {
    this.#keys.used(publicKey);
    if (this.#recent[0] === publicKey) return;
    this.#recent = [publicKey, ...this.#recent.filter((other) => other !== publicKey)].slice(0, REMEMBERED);
  }

  /** The newest, and the others as they were of use, then by age; the first two in the order in which they were of use. */
  #inOrder(): readonly KeyPair[] {
    const keys = this.#keys.keys();
    const [newest, second] = keys;
    if (newest === undefined || second === undefined) return keys;
    const [likeliest = second, ...others] = keys.slice(1).sort((a, b) => this.#age(a) - this.#age(b));
    const first = this.#age(likeliest) < this.#age(newest) ? [likeliest, newest] : [newest, likeliest];
    return [...first, ...others];
  }

  #age({ publicKey }: KeyPair): number {
    const at = this.#recent.indexOf(publicKey);
    return at < 0 ? REMEMBERED : at;
  }
}
