import { type Caller, SERVER } from './caller.js';
import { isPublicXkey, publicXkeyOf } from './crypto/xkey.js';
import { CofferError } from './errors.js';
import type { ManifestContext, PlannedChange } from './manifest-changes.js';
import type { Change } from './operations.js';
import type { TransitKey } from './policy-record.js';
import { administersAll } from './rights.js';

/** A backend's name: one token of a NATS subject, printable ASCII without `.`, `*` and `>`. */
const BACKEND = /^[!-)+,\-/-=?-~]{1,128}$/;
const SEED_BYTES = 32;
/** Of one backend: each request may be tried with all of them. */
const LIVE_KEYS = 32;

/** A key that requests to a backend are sealed to. */
export interface TransitKeyInfo {
  readonly backend: string;
  /** `X…` */
  readonly publicKey: string;
  readonly createdAt: Date;
  /** Principal id. */
  readonly createdBy: string;
  /** The newest of its backend's: the one that hosts are told. */
  readonly current: boolean;
}

/** A transit key with what opens boxes. The seed is a copy, which the receiver wipes. */
export interface TransitKeyPair {
  readonly publicKey: string;
  /** 32 bytes. */
  readonly seed: Uint8Array;
  readonly createdAt: Date;
}

export interface NewTransitKey {
  readonly backend: string;
  readonly publicKey: string;
  /** The 32 bytes of the X25519 key. They stay the caller's, who wipes them when the key is added. */
  readonly seed: Uint8Array;
}

export type TransitKeyName = Pick<TransitKey, 'backend' | 'publicKey'>;

export type RetiredTransitKey = TransitKeyName & { readonly retiredAt: Date };

/**
 * The rings of keys that requests over NATS are sealed to, one ring a backend. A key that was replaced stays until it is retired,
 * since a host asks for the key once in its life; a retired one never comes back. For who administers everything, and for the
 * server itself.
 */
export class TransitKeys {
  readonly #context: ManifestContext;
  readonly #listeners = new Set<() => void>();

  constructor(context: ManifestContext) {
    this.#context = context;
    context.manifest.onChange(({ write }) => {
      if (!write.some(({ kind }) => kind === 'transit-key')) return;
      for (const listener of this.#listeners) listener();
    });
  }

  /** A backend's keys, the newest first. */
  pairs(backend: string): TransitKeyPair[] {
    return this.#live(backend).flatMap((key) => {
      const seed = this.#context.manifest.transitSeed(key);
      return seed ? [{ publicKey: key.publicKey, seed, createdAt: key.createdAt }] : [];
    });
  }

  /**
   * Calls `listener` when a key is added or retired, in the turn in which that becomes true.
   *
   * @returns a function that ends it
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Makes this the current key of its backend. A repetition of the operation adds nothing, whatever key it brings.
   *
   * @returns the current key
   * @throws CofferError `access_denied`; `invalid_argument`; `not_found` where there is none before it, since the first one is the
   *   server's to make; `conflict` for a key that was retired, or is in the ring and not the
   *   current one, and where the ring is full
   */
  async add(
    caller: Caller,
    { backend, publicKey, seed }: NewTransitKey,
    change?: Change,
  ): Promise<TransitKeyInfo> {
    checkName({ backend, publicKey });
    if (seed.length !== SEED_BYTES || publicXkeyOf(seed) !== publicKey) {
      throw new CofferError('invalid_argument', "the seed is not that of the transit key's public key");
    }
    const asked = { caller, action: 'add-transit-key', target: targetOf({ backend, publicKey }) } as const;
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.changes.makeForAdministrator(asked, change, `add-transit-key ${backend}`, () => {
      const known = this.#find({ backend, publicKey });
      const live = this.#live(backend);
      if (known && known === live[0]) return undefined;
      if (known) throw new CofferError('conflict', known.retiredAt ? RETIRED : REPLACED);
      if (live.length === 0 && caller !== SERVER)
        throw new CofferError('not_found', `${NO_BACKEND} ${backend}`);
      if (live.length >= LIVE_KEYS) {
        throw new CofferError(
          'conflict',
          `${backend} has ${LIVE_KEYS} transit keys: retire the oldest first`,
        );
      }
      const [{ id: createdBy }] = caller.principals;
      const transitKey = { backend, publicKey, createdAt: this.#context.now(), createdBy };
      return { write: [{ kind: 'transit-key', transitKey, seed }] };
    });
    const [current] = this.#infos(backend);
    if (!current) throw new CofferError('not_found', 'the transit key was added, and retired since');
    return current;
  }

  /**
   * Requests sealed to the key are opened no more; its seed is gone from the store.
   *
   * @throws CofferError `access_denied`; `not_found`; `invalid_argument` for the current key
   */
  async retire(caller: Caller, name: TransitKeyName, change?: Change): Promise<void> {
    checkName(name);
    const target = targetOf(name);
    const asked = { caller, action: 'retire-transit-key', target } as const;
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.changes.makeForAdministrator(asked, change, `retire-transit-key ${target}`, () => {
      const known = this.#find(name);
      if (!known) throw new CofferError('not_found', `${name.backend} has no transit key ${name.publicKey}`);
      if (known.retiredAt) return undefined;
      if (known === this.#live(name.backend)[0]) {
        throw new CofferError(
          'invalid_argument',
          'this is the current transit key, which hosts are told: rotate it, and retire it when no host uses it any more',
        );
      }
      return this.#retirement(known, this.#context.now());
    });
  }

  /** Those that are not retired: of each backend the newest first. */
  async list(caller: Caller, backend?: string): Promise<TransitKeyInfo[]> {
    if (backend !== undefined) checkBackend(backend);
    const asked = { caller, action: 'list-transit-keys', target: backend } as const;
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.gate.allow(asked);
    const backends = new Set(this.#context.manifest.transitKeys.map((key) => key.backend));
    const wanted = backend === undefined ? [...backends].sort() : [backend];
    return wanted.flatMap((one) => this.#infos(one));
  }

  /** Retires what a newer state of the store had retired, by the server itself: after a restore. */
  async takeOver(retired: readonly RetiredTransitKey[]): Promise<TransitKeyName[]> {
    const taken: TransitKeyName[] = [];
    for (const { backend, publicKey, retiredAt } of retired) {
      const known = this.#find({ backend, publicKey });
      if (!known || known.retiredAt) continue;
      const target = targetOf(known);
      const asked = { caller: SERVER, action: 'retire-transit-key', target } as const;
      await this.#context.changes.makeForAdministrator(asked, undefined, 'retire-transit-key', () =>
        this.#retirement(known, retiredAt),
      );
      taken.push({ backend, publicKey });
    }
    return taken;
  }

  /** What stays is without the seed, and says that the key was retired, so that it does not come back. */
  #retirement({ backend, publicKey, createdAt, createdBy }: TransitKey, retiredAt: Date): PlannedChange {
    const transitKey = { backend, publicKey, createdAt, createdBy, retiredAt };
    return { write: [{ kind: 'transit-key', transitKey }], urgent: true };
  }

  #find({ backend, publicKey }: TransitKeyName): TransitKey | undefined {
    return this.#context.manifest.transitKeys.find(
      (key) => key.backend === backend && key.publicKey === publicKey,
    );
  }

  /** The newest first. */
  #live(backend: string): TransitKey[] {
    return this.#context.manifest.transitKeys.filter((key) => key.backend === backend && !key.retiredAt);
  }

  #infos(backend: string): TransitKeyInfo[] {
    return this.#live(backend).map(({ publicKey, createdAt, createdBy }, index) => ({
      backend,
      publicKey,
      createdAt,
      createdBy,
      current: index === 0,
    }));
  }
}

const NO_BACKEND =
  'no server has served this backend from here, which is when its first transit key is made:';
const RETIRED = 'this transit key was retired, and a retired key does not come back: make another one';
const REPLACED = 'this transit key is in the ring already, and another one has replaced it: make a new one';

function checkName({ backend, publicKey }: TransitKeyName): void {
  checkBackend(backend);
  if (isPublicXkey(publicKey)) return;
  throw new CofferError(
    'invalid_argument',
    "a transit key's public key has 56 characters, A to Z and 2 to 7, and begins with X",
  );
}

function checkBackend(backend: string): void {
  if (BACKEND.test(backend)) return;
  throw new CofferError(
    'invalid_argument',
    "a backend's name is one token of a subject: 1 to 128 characters of ASCII without spaces, dots and wildcards",
  );
}

const targetOf = ({ backend, publicKey }: TransitKeyName): string => `${backend} ${publicKey}`;

/** Reads what the log names a transit key by; undefined for anything else. */
export function transitKeyIn(target: string): TransitKeyName | undefined {
  const [backend = '', publicKey = '', ...more] = target.split(' ');
  return BACKEND.test(backend) && isPublicXkey(publicKey) && more.length === 0
    ? { backend, publicKey }
    : undefined;
}
