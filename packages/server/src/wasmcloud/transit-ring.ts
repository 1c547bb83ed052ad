import type { Caller, Change, Engine, TransitKeyInfo } from '@coffer/engine';
import type { KeyPair } from '@coffer/identity';
import type { TransitKeys } from '@coffer/wasmcloud';
import { KeyRing, type KeyRingOptions, type RingUse, rotateKey } from './key-ring.js';
import type { TransitUse } from './transit-use.js';

const TRANSIT: RingUse = {
  name: 'transit',
  kind: 'curve',
  firstOperation: 'first',
  takes: (kind) => kind === 'curve',
  seedIs: 'an xkey: 58 characters that begin with SX',
  read: (engine, backend) => engine.transitKeys(backend),
};

export interface TransitRingOptions extends KeyRingOptions {
  readonly use: TransitUse;
}

/** A backend's transit keys, such as those of `nats-kv`, as a {@link KeyRing}. */
export class TransitRing implements TransitKeys {
  readonly #ring: KeyRing;
  readonly #use: TransitUse;

  /** @throws CofferError `invalid_argument` for a seed that is no xkey's; as a change does */
  static async open({ use, ...options }: TransitRingOptions): Promise<TransitRing> {
    return new TransitRing(await KeyRing.open(TRANSIT, options), use);
  }

  private constructor(ring: KeyRing, use: TransitUse) {
    this.#ring = ring;
    this.#use = use;
  }

  keys(): readonly KeyPair[] {
    return this.#ring.pairs;
  }

  used(publicKey: string): void {
    this.#use.used(publicKey);
  }

  /** Wipes the keys. */
  close(): void {
    this.#ring.close();
  }
}

/** Makes a new key, which is its backend's current one from now on, and answers that. */
export const rotateTransitKey = (
  engine: Engine,
  backend: string,
  caller: Caller,
  change?: Change,
): Promise<TransitKeyInfo> => rotateKey(TRANSIT, engine, backend, caller, change);
