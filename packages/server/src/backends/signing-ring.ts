import { hash, randomFillSync } from 'node:crypto';
import {
  type Caller,
  type Change,
  CofferError,
  type Engine,
  SERVER,
  type TransitKeyInfo,
} from '@coffer/engine';
import { decodeSeed, type KeyPair, keyPairFromBytes } from '@coffer/identity';

/** A key that signs, and since when it is there. */
interface SigningPair {
  readonly pair: KeyPair;
  readonly createdAt: Date;
}

/** Who checks signatures may ask an instance for the keys that has not heard of the newest one yet. */
const KNOWN_BY_ALL_MS = 10_000;

export interface SigningRingOptions {
  readonly engine: Engine;
  readonly backend: string;
  /**
   * The 58 characters of the seed of an nkey that signs, which becomes the current key if the ring has never had it. They stay the
   * caller's, who wipes them.
   */
  readonly seed?: Uint8Array | undefined;
  readonly onNotice: (sentence: string) => void;
  readonly now?: () => Date;
}

/**
 * The keys with which a backend signs, as they are in the store, ready for use, in locked memory: follows every change until it is
 * closed. All instances of a shared store have the same.
 */
export class SigningRing {
  readonly #options: SigningRingOptions;
  readonly #now: () => Date;
  readonly #unfollow: () => void;
  #pairs: readonly SigningPair[] = [];

  /** Makes the first key where there is none. @throws CofferError as a change does */
  static async open(options: SigningRingOptions): Promise<SigningRing> {
    const { engine, backend, seed: given } = options;
    if (given) await importSeed(given, options);
    // Of several instances that start at the same moment one makes it: to the others it is the same operation.
    const operation = `first-signing-${hash('sha256', backend).slice(0, 16)}`;
    const known = engine.signingKeys(backend);
    for (const { seed } of known) seed.fill(0);
    if (known.length === 0) await rotateSigningKey(engine, backend, SERVER, { operation });
    return new SigningRing(options);
  }

  private constructor(options: SigningRingOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => new Date());
    this.#load();
    this.#unfollow = options.engine.onTransitChange(() => this.#reload());
  }

  /** The key to sign with in this turn: the newest that all instances know of by now. */
  current(): KeyPair {
    const latest = this.#now().getTime() - KNOWN_BY_ALL_MS;
    const known = this.#pairs.find(({ createdAt }) => createdAt.getTime() <= latest);
    const chosen = known ?? this.#pairs.at(-1);
    if (chosen === undefined) throw new Error('this backend has no key to sign with');
    return chosen.pair;
  }

  /** The public keys of all of them, the newest first. */
  all(): readonly string[] {
    return this.#pairs.map(({ pair }) => pair.publicKey);
  }

  /** Wipes the keys. */
  close(): void {
    this.#unfollow();
    this.#replace([]);
  }

  /** A ring that cannot be read signs nothing: a key that was retired must not sign on. */
  #reload(): void {
    try {
      this.#load();
    } catch (error) {
      this.#replace([]);
      const { backend, onNotice } = this.#options;
      onNotice(
        `The signing keys of ${backend} cannot be read (${(error as Error).message}): none is in use.`,
      );
    }
  }

  #load(): void {
    const { engine, backend } = this.#options;
    const known = new Map(this.#pairs.map(({ pair }) => [pair.publicKey, pair]));
    this.#replace(
      engine.signingKeys(backend).map(({ publicKey, seed, createdAt }) => {
        const pair = known.get(publicKey) ?? keyPairFromBytes('server', seed);
        seed.fill(0);
        return { pair, createdAt };
      }),
    );
  }

  #replace(pairs: readonly SigningPair[]): void {
    const kept = new Set(pairs.map(({ pair }) => pair));
    const gone = this.#pairs.filter(({ pair }) => !kept.has(pair));
    this.#pairs = pairs;
    for (const { pair } of gone) pair.wipe();
  }
}

async function importSeed(
  characters: Uint8Array,
  { engine, backend, onNotice }: SigningRingOptions,
): Promise<void> {
  const seed = signingSeed(characters);
  try {
    using pair = keyPairFromBytes('server', seed);
    const { publicKey } = pair;
    const known = engine.signingKeys(backend);
    for (const key of known) key.seed.fill(0);
    if (known.some((key) => key.publicKey === publicKey)) return;
    await engine.addTransitKey(SERVER, { backend, publicKey, seed });
  } catch (error) {
    if (!(error instanceof CofferError) || error.code !== 'conflict') throw error;
    onNotice(`The signing key of the given seed is not in use: ${error.message}.`);
  } finally {
    seed.fill(0);
  }
}

/** Of whatever kind: Vault sees the key itself, and not its letter. What it was instead is not said, since it is secret. */
function signingSeed(characters: Uint8Array): Uint8Array {
  const wrong = () =>
    new CofferError(
      'invalid_argument',
      'the seed of a signing key is that of an nkey: 58 characters that begin with SN',
    );
  let found: ReturnType<typeof decodeSeed>;
  try {
    found = decodeSeed(characters);
  } catch {
    throw wrong();
  }
  if (found.kind !== 'curve') return found.bytes;
  found.bytes.fill(0);
  throw wrong();
}

/** Makes a new key, with which its backend signs from now on, and answers that. */
export async function rotateSigningKey(
  engine: Engine,
  backend: string,
  caller: Caller,
  change?: Change,
): Promise<TransitKeyInfo> {
  // Not a small typed array, which the garbage collector could copy.
  const seed = randomFillSync(Buffer.from(new ArrayBuffer(32)));
  try {
    using pair = keyPairFromBytes('server', seed);
    return await engine.addTransitKey(caller, { backend, seed, publicKey: pair.publicKey }, change);
  } finally {
    seed.fill(0);
  }
}
