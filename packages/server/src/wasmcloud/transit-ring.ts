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
import type { TransitKeys } from '@coffer/wasmcloud';

import type { TransitUse } from './transit-use.js';

export interface TransitRingOptions {
  readonly engine: Engine;
  /** Whose requests, such as `nats-kv`. */
  readonly backend: string;
  readonly use: TransitUse;
  /**
   * The 58 characters of an xkey's seed (`SX…`), which becomes the current key if the ring has never had it. They stay the
   * caller's, who wipes them.
   */
  readonly seed?: Uint8Array | undefined;
  /** A sentence that a person should read. */
  readonly onNotice: (sentence: string) => void;
}

/**
 * A backend's transit keys as they are in the store, ready for use, in locked memory: follows every change until it is closed.
 * A pair is good for the turn in which it was asked for: that of a retired key is wiped.
 */
export class TransitRing implements TransitKeys {
  readonly #options: TransitRingOptions;
  readonly #unfollow: () => void;
  #pairs: readonly KeyPair[] = [];

  /**
   * Imports the seed, if there is one, and makes the first key where the ring has none.
   *
   * @throws CofferError `invalid_argument` for a seed that is no xkey's; as a change does
   */
  static async open(options: TransitRingOptions): Promise<TransitRing> {
    const { engine, backend, seed } = options;
    if (seed) await importSeed(seed, options);
    // Of several instances that start at the same moment one makes it: to the others it is the same operation.
    const operation = `first-${hash('sha256', backend).slice(0, 16)}`;
    if (isEmpty(engine, backend)) await rotateTransitKey(engine, backend, SERVER, { operation });
    return new TransitRing(options);
  }

  private constructor(options: TransitRingOptions) {
    this.#options = options;
    this.#load();
    this.#unfollow = options.engine.onTransitChange(() => this.#reload());
  }

  keys(): readonly KeyPair[] {
    return this.#pairs;
  }

  used(publicKey: string): void {
    this.#options.use.used(publicKey);
  }

  /** Wipes the keys. */
  close(): void {
    this.#unfollow();
    this.#replace([]);
  }

  /** A ring that cannot be read opens nothing: a key that was retired must not be served on. */
  #reload(): void {
    try {
      this.#load();
    } catch (error) {
      this.#replace([]);
      const { backend, onNotice } = this.#options;
      onNotice(
        `The transit keys of ${backend} cannot be read (${(error as Error).message}): none is in use.`,
      );
    }
  }

  #load(): void {
    const { engine, backend } = this.#options;
    const known = new Map(this.#pairs.map((pair) => [pair.publicKey, pair]));
    this.#replace(
      engine.transitKeys(backend).map(({ publicKey, seed }) => {
        const pair = known.get(publicKey) ?? keyPairFromBytes('curve', seed);
        seed.fill(0);
        return pair;
      }),
    );
  }

  #replace(pairs: readonly KeyPair[]): void {
    const gone = this.#pairs.filter((pair) => !pairs.includes(pair));
    this.#pairs = pairs;
    for (const pair of gone) pair.wipe();
  }
}

/** Makes a new key, which is its backend's current one from now on, and answers that. */
export async function rotateTransitKey(
  engine: Engine,
  backend: string,
  caller: Caller,
  change?: Change,
): Promise<TransitKeyInfo> {
  // Not a small typed array, which the garbage collector could copy.
  const seed = randomFillSync(Buffer.from(new ArrayBuffer(32)));
  try {
    const key = { backend, seed, publicKey: publicKeyOf(seed) };
    return await engine.addTransitKey(caller, key, change);
  } finally {
    seed.fill(0);
  }
}

async function importSeed(
  characters: Uint8Array,
  { engine, backend, onNotice }: TransitRingOptions,
): Promise<void> {
  const seed = curveSeed(characters);
  try {
    const publicKey = publicKeyOf(seed);
    const has = keysOf(engine, backend).includes(publicKey);
    if (!has) await engine.addTransitKey(SERVER, { backend, publicKey, seed });
  } catch (error) {
    if (!(error instanceof CofferError) || error.code !== 'conflict') throw error;
    onNotice(`The transit key of the given seed is not in use: ${error.message}.`);
  } finally {
    seed.fill(0);
  }
}

/** The 32 bytes of an xkey's seed; what it was instead is not said, since it is secret. */
function curveSeed(characters: Uint8Array): Uint8Array {
  const wrong = () =>
    new CofferError(
      'invalid_argument',
      'the seed of a transit key is that of an xkey: 58 characters that begin with SX',
    );
  let found: ReturnType<typeof decodeSeed>;
  try {
    found = decodeSeed(characters);
  } catch {
    throw wrong();
  }
  if (found.kind === 'curve') return found.bytes;
  found.bytes.fill(0);
  throw wrong();
}

function publicKeyOf(seed: Uint8Array): string {
  const pair = keyPairFromBytes('curve', seed);
  const { publicKey } = pair;
  pair.wipe();
  return publicKey;
}

const isEmpty = (engine: Engine, backend: string): boolean => keysOf(engine, backend).length === 0;

function keysOf(engine: Engine, backend: string): string[] {
  return engine.transitKeys(backend).map(({ publicKey, seed }) => {
    seed.fill(0);
    return publicKey;
  });
}
