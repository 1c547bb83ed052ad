import { hash, randomFillSync } from 'node:crypto';
import {
  type Caller,
  type Change,
  CofferError,
  type Engine,
  SERVER,
  type TransitKeyInfo,
  type TransitKeyPair,
} from '@coffer/engine';
import { decodeSeed, type KeyPair, keyPairFromBytes } from '@coffer/identity';

/** What one ring of a backend's is for, and of which keys it is made. */
export interface RingUse {
  /** As a person reads it: `transit`. */
  readonly name: string;
  readonly kind: 'curve' | 'server';
  /** Begins the operation by which the first key is made. */
  readonly firstOperation: string;
  /** Whether a seed of this kind may become one of its keys. */
  takes(kind: ReturnType<typeof decodeSeed>['kind']): boolean;
  /** What a seed has to be. */
  readonly seedIs: string;
  /** What a person should know of a seed of this kind that is taken. */
  noticeOf?(kind: ReturnType<typeof decodeSeed>['kind'], backend: string): string | undefined;
  /** The newest first. */
  read(engine: Engine, backend: string): TransitKeyPair[];
}

export interface KeyRingOptions {
  readonly engine: Engine;
  readonly backend: string;
  /** The 58 characters of a seed, which becomes the current key if the ring has never had it. They stay the caller's, who wipes them. */
  readonly seed?: Uint8Array | undefined;
  /** A sentence that a person should read. */
  readonly onNotice: (sentence: string) => void;
}

/** A key of a ring, and since when it is there. */
export interface RingKey {
  readonly pair: KeyPair;
  readonly createdAt: Date;
}

/**
 * A backend's keys for one use as they are in the store, ready for use, in locked memory: follows every change until it is closed.
 * A pair is good for the turn in which it was asked for: that of a retired key is wiped.
 */
export class KeyRing {
  readonly #use: RingUse;
  readonly #options: KeyRingOptions;
  readonly #unfollow: () => void;
  readonly #onLost = new Set<() => void>();
  #keys: readonly RingKey[] = [];
  #pairs: readonly KeyPair[] = [];
  /** Public keys, as they were read last. */
  #read: readonly string[] = [];

  /**
   * Imports the seed, if there is one, and makes the first key where the ring has none.
   *
   * @throws CofferError `invalid_argument` for a seed that the ring does not take; as a change does
   */
  static async open(use: RingUse, options: KeyRingOptions): Promise<KeyRing> {
    const { engine, backend, seed } = options;
    if (seed) await importSeed(use, seed, options);
    // Of several instances that start at the same moment one makes it: to the others it is the same operation.
    const operation = `${use.firstOperation}-${hash('sha256', backend).slice(0, 16)}`;
    if (publicKeysIn(use, engine, backend).length === 0) {
      await rotateKey(use, engine, backend, SERVER, { operation });
    }
    return new KeyRing(use, options);
  }

  private constructor(use: RingUse, options: KeyRingOptions) {
    this.#use = use;
    this.#options = options;
    this.#load();
    this.#unfollow = options.engine.onTransitChange(() => this.#reload());
  }

  /** The newest first. */
  get keys(): readonly RingKey[] {
    return this.#keys;
  }

  /** The same without their times. */
  get pairs(): readonly KeyPair[] {
    return this.#pairs;
  }

  /**
   * Calls `listener` when a key is one of the ring no more, in the turn in which that is known here.
   *
   * @returns a function that ends it
   */
  onLost(listener: () => void): () => void {
    this.#onLost.add(listener);
    return () => this.#onLost.delete(listener);
  }

  /** Wipes the keys. */
  close(): void {
    this.#onLost.clear();
    this.#unfollow();
    this.#replace([]);
  }

  /** Of a ring that cannot be read no key is used: one that was retired must not be used on. */
  #reload(): void {
    try {
      this.#load();
    } catch (error) {
      this.#replace([]);
      const { backend, onNotice } = this.#options;
      onNotice(
        `The ${this.#use.name} keys of ${backend} cannot be read (${(error as Error).message}): none is in use.`,
      );
    }
  }

  #load(): void {
    const { engine, backend } = this.#options;
    const known = new Map(this.#pairs.map((pair) => [pair.publicKey, pair]));
    this.#replace(
      this.#use.read(engine, backend).map(({ publicKey, seed, createdAt }) => {
        const pair = known.get(publicKey) ?? keyPairFromBytes(this.#use.kind, seed);
        seed.fill(0);
        return { pair, createdAt };
      }),
    );
    const before = this.#read;
    this.#read = this.#pairs.map(({ publicKey }) => publicKey);
    if (before.every((key) => this.#read.includes(key))) return;
    for (const listener of this.#onLost) listener();
  }

  #replace(keys: readonly RingKey[]): void {
    const pairs = keys.map(({ pair }) => pair);
    const gone = this.#pairs.filter((pair) => !pairs.includes(pair));
    this.#keys = keys;
    this.#pairs = pairs;
    for (const pair of gone) pair.wipe();
  }
}

/** Makes a new key, which is the current one of its ring from now on, and answers that. */
export async function rotateKey(
  { kind }: RingUse,
  engine: Engine,
  backend: string,
  caller: Caller,
  change?: Change,
): Promise<TransitKeyInfo> {
  // Not a small typed array, which the garbage collector could copy.
  const seed = randomFillSync(Buffer.from(new ArrayBuffer(32)));
  try {
    const key = { backend, seed, publicKey: publicKeyOf(kind, seed) };
    return await engine.addTransitKey(caller, key, change);
  } finally {
    seed.fill(0);
  }
}

async function importSeed(
  use: RingUse,
  characters: Uint8Array,
  { engine, backend, onNotice }: KeyRingOptions,
): Promise<void> {
  const { kind, bytes: seed } = seedOf(use, characters);
  try {
    const notice = use.noticeOf?.(kind, backend);
    if (notice !== undefined) onNotice(notice);
    const publicKey = publicKeyOf(use.kind, seed);
    const has = publicKeysIn(use, engine, backend).includes(publicKey);
    if (!has) await engine.addTransitKey(SERVER, { backend, publicKey, seed });
  } catch (error) {
    if (!(error instanceof CofferError) || error.code !== 'conflict') throw error;
    onNotice(`The ${use.name} key of the given seed is not in use: ${error.message}.`);
  } finally {
    seed.fill(0);
  }
}

/** What a seed is of, and its 32 bytes; what it was instead is not said, since it is secret. */
function seedOf(
  { name, takes, seedIs }: RingUse,
  characters: Uint8Array,
): Pick<ReturnType<typeof decodeSeed>, 'kind' | 'bytes'> {
  const wrong = () => new CofferError('invalid_argument', `the seed of a ${name} key is that of ${seedIs}`);
  let found: ReturnType<typeof decodeSeed>;
  try {
    found = decodeSeed(characters);
  } catch {
    throw wrong();
  }
  if (takes(found.kind)) return found;
  found.bytes.fill(0);
  throw wrong();
}

function publicKeyOf(kind: RingUse['kind'], seed: Uint8Array): string {
  using pair = keyPairFromBytes(kind, seed);
  return pair.publicKey;
}

function publicKeysIn(use: RingUse, engine: Engine, backend: string): string[] {
  return use.read(engine, backend).map(({ publicKey, seed }) => {
    seed.fill(0);
    return publicKey;
  });
}
