import type { Caller, Change, Engine, TransitKeyInfo } from '@coffer/engine';
import type { KeyPair } from '@coffer/identity';
import {
  KeyRing,
  type KeyRingOptions,
  type RingKey,
  type RingUse,
  rotateKey,
} from '../wasmcloud/key-ring.js';

/** Who checks signatures may ask an instance for the keys that has not heard of the newest one yet. */
const KNOWN_BY_ALL_MS = 10_000;

const SIGNING: RingUse = {
  name: 'signing',
  kind: 'server',
  firstOperation: 'first-signing',
  // Of whatever kind that signs, as secrets-vault takes them: Vault sees the key itself, and not its letter.
  takes: (kind) => kind !== 'curve',
  seedIs: 'an nkey: 58 characters that begin with SN',
  noticeOf: (kind, backend) =>
    ['operator', 'account', 'user'].includes(kind)
      ? `The seed with which ${backend} signs its log-ins is that of a NATS ${kind}: whoever comes by it is that ${kind} as well, and to ` +
        'retire it here does not help there. Give it a key of its own: coffer wasmcloud signing-keys rotate, retire this one, and leave ' +
        'the seed out.'
      : undefined,
  read: (engine, backend) => engine.signingKeys(backend),
};

export interface SigningRingOptions extends KeyRingOptions {
  readonly now?: () => Date;
}

/** The keys with which a backend signs, as a {@link KeyRing}. All instances of a shared store have the same. */
export class SigningRing {
  readonly #ring: KeyRing;
  readonly #now: () => Date;
  readonly #seen = new WeakMap<KeyPair, number>();

  /** @throws CofferError `invalid_argument` for a seed that signs nothing; as a change does */
  static async open({ now = () => new Date(), ...options }: SigningRingOptions): Promise<SigningRing> {
    return new SigningRing(await KeyRing.open(SIGNING, options), now);
  }

  private constructor(ring: KeyRing, now: () => Date) {
    this.#ring = ring;
    this.#now = now;
  }

  /** The key to sign with in this turn: the newest that all instances know of by now. */
  current(): KeyPair {
    const latest = this.#now().getTime() - KNOWN_BY_ALL_MS;
    const { keys } = this.#ring;
    const known = keys.find((key) => this.#since(key) <= latest);
    const chosen = known ?? keys.at(-1);
    if (chosen === undefined) throw new Error('this backend has no key to sign with');
    return chosen.pair;
  }

  /** By the clock of another instance it may be made later than it was seen here. */
  #since({ pair, createdAt }: RingKey): number {
    const seen = this.#seen.get(pair) ?? this.#now().getTime();
    this.#seen.set(pair, seen);
    return Math.min(createdAt.getTime(), seen);
  }

  /** The public keys of all of them, the newest first. */
  all(): readonly string[] {
    return this.#ring.pairs.map(({ publicKey }) => publicKey);
  }

  /** As {@link KeyRing.onLost}. */
  onLost(listener: () => void): () => void {
    return this.#ring.onLost(listener);
  }

  /** Wipes the keys. */
  close(): void {
    this.#ring.close();
  }
}

/** Makes a new key, with which its backend signs from now on, and answers that. */
export const rotateSigningKey = (
  engine: Engine,
  backend: string,
  caller: Caller,
  change?: Change,
): Promise<TransitKeyInfo> => rotateKey(SIGNING, engine, backend, caller, change);
