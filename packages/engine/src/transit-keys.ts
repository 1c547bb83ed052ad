import type { AuditAction } from './audit/entry.js';
import { type Caller, SERVER } from './caller.js';
import { isPublicSigningKey, publicSigningKeyOf } from './crypto/signing-key.js';
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

/** What a backend's key is for: that requests are sealed to it, or that the backend signs with it. Its letter says which. */
export type KeyUse = 'sealing' | 'signing';

/** A key of a backend's. */
export interface TransitKeyInfo {
  readonly backend: string;
  /** `X…`, to which requests are sealed, or `N…`, which signs */
  readonly publicKey: string;
  readonly createdAt: Date;
  /** Principal id. */
  readonly createdBy: string;
  /** The newest of its backend's and its use: the one that hosts are told, or that signs. */
  readonly current: boolean;
}

/** A key with what opens boxes, or signs. The seed is a copy, which the receiver wipes. */
export interface TransitKeyPair {
  readonly publicKey: string;
  /** 32 bytes. */
  readonly seed: Uint8Array;
  readonly createdAt: Date;
}

export interface NewTransitKey {
  readonly backend: string;
  readonly publicKey: string;
  /** The 32 bytes of the X25519 key, or those of which the Ed25519 key is made. They stay the caller's, who wipes them when the key is added. */
  readonly seed: Uint8Array;
}

export type TransitKeyName = Pick<TransitKey, 'backend' | 'publicKey'>;

export type RetiredTransitKey = TransitKeyName & { readonly retiredAt: Date };

/**
 * The rings of keys that requests over NATS are sealed to, one ring a backend. A key that was replaced stays until it is retired,
 * since a host asks for the key once in its life; a retired one never comes back. For who administers everything, and for the
 * server itself. A backend that signs, as for Vault, has another ring, of keys to sign with.
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
  pairs(backend: string, use: KeyUse): TransitKeyPair[] {
    return this.#live(backend, use).flatMap((key) => {
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
    const use = useOf(publicKey);
    const { word, publicKeyOf, actions } = USES[use];
    if (seed.length !== SEED_BYTES || publicKeyOf(seed) !== publicKey) {
      throw new CofferError('invalid_argument', `the seed is not that of the ${word} key's public key`);
    }
    const asked = { caller, action: actions.add, target: targetOf({ backend, publicKey }) };
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    const request = `add-transit-key ${backend}${use === 'sealing' ? '' : ` ${use}`}`;
    await this.#context.changes.makeForAdministrator(asked, change, request, () => {
      const known = this.#find({ backend, publicKey });
      const live = this.#live(backend, use);
      if (known && known === live[0]) return undefined;
      if (known) throw new CofferError('conflict', known.retiredAt ? retired(word) : replaced(word));
      if (live.length === 0 && caller !== SERVER)
        throw new CofferError('not_found', `${noBackend(word)} ${backend}`);
      if (live.length >= LIVE_KEYS) {
        throw new CofferError(
          'conflict',
          `${backend} has ${LIVE_KEYS} ${word} keys: retire the oldest first`,
        );
      }
      const [{ id: createdBy }] = caller.principals;
      const transitKey = { backend, publicKey, createdAt: this.#context.now(), createdBy };
      return { write: [{ kind: 'transit-key', transitKey, seed }] };
    });
    const [current] = this.#infos(backend, use);
    if (!current) throw new CofferError('not_found', `the ${word} key was added, and retired since`);
    return current;
  }

  /**
   * Requests sealed to the key are opened no more; its seed is gone from the store.
   *
   * @throws CofferError `access_denied`; `not_found`; `invalid_argument` for the current key
   */
  async retire(caller: Caller, name: TransitKeyName, change?: Change): Promise<void> {
    checkName(name);
    const use = useOf(name.publicKey);
    const { word, isCurrent, actions } = USES[use];
    const target = targetOf(name);
    const asked = { caller, action: actions.retire, target };
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.changes.makeForAdministrator(asked, change, `retire-transit-key ${target}`, () => {
      const known = this.#find(name);
      if (!known) throw new CofferError('not_found', `${name.backend} has no ${word} key ${name.publicKey}`);
      if (known.retiredAt) return undefined;
      if (known === this.#live(name.backend, use)[0]) throw new CofferError('invalid_argument', isCurrent);
      return this.#retirement(known, this.#context.now());
    });
  }

  /** Those that are not retired: of each backend the newest first. @param use default: of both */
  async list(caller: Caller, backend?: string, use?: KeyUse): Promise<TransitKeyInfo[]> {
    if (backend !== undefined) checkBackend(backend);
    const asked = { caller, action: USES[use ?? 'sealing'].actions.list, target: backend };
    if (!administersAll(this.#context, caller)) return this.#context.gate.deny(asked);
    await this.#context.gate.allow(asked);
    const backends = new Set(this.#context.manifest.transitKeys.map((key) => key.backend));
    const wanted = backend === undefined ? [...backends].sort() : [backend];
    const uses = use === undefined ? (['sealing', 'signing'] as const) : [use];
    return wanted.flatMap((one) => uses.flatMap((each) => this.#infos(one, each)));
  }

  /** Retires what a newer state of the store had retired, by the server itself: after a restore. */
  async takeOver(retired: readonly RetiredTransitKey[]): Promise<TransitKeyName[]> {
    const taken: TransitKeyName[] = [];
    for (const { backend, publicKey, retiredAt } of retired) {
      const known = this.#find({ backend, publicKey });
      if (!known || known.retiredAt) continue;
      const target = targetOf(known);
      const { retire: action } = USES[useOf(publicKey)].actions;
      await this.#context.changes.makeForAdministrator(
        { caller: SERVER, action, target },
        undefined,
        action,
        () => this.#retirement(known, retiredAt),
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
  #live(backend: string, use: KeyUse): TransitKey[] {
    return this.#context.manifest.transitKeys.filter(
      (key) => key.backend === backend && !key.retiredAt && useOf(key.publicKey) === use,
    );
  }

  #infos(backend: string, use: KeyUse): TransitKeyInfo[] {
    return this.#live(backend, use).map(({ publicKey, createdAt, createdBy }, index) => ({
      backend,
      publicKey,
      createdAt,
      createdBy,
      current: index === 0,
    }));
  }
}

const useOf = (publicKey: string): KeyUse => (isPublicSigningKey(publicKey) ? 'signing' : 'sealing');

interface Use {
  readonly word: string;
  readonly publicKeyOf: (seed: Uint8Array) => string;
  readonly isCurrent: string;
  /** In the audit log. */
  readonly actions: Readonly<Record<'add' | 'retire' | 'list', AuditAction>>;
}

const USES: Readonly<Record<KeyUse, Use>> = {
  sealing: {
    word: 'transit',
    publicKeyOf: publicXkeyOf,
    isCurrent:
      'this is the current transit key, which hosts are told: rotate it, and retire it when no host uses it any more',
    actions: { add: 'add-transit-key', retire: 'retire-transit-key', list: 'list-transit-keys' },
  },
  signing: {
    word: 'signing',
    publicKeyOf: publicSigningKeyOf,
    isCurrent: 'this is the current signing key: rotate it, and retire it when what it signed has ended',
    actions: { add: 'add-signing-key', retire: 'retire-signing-key', list: 'list-signing-keys' },
  },
};

const noBackend = (word: string) =>
  `no server has served this backend from here, which is when its first ${word} key is made:`;
const retired = (word: string) =>
  `this ${word} key was retired, and a retired key does not come back: make another one`;
const replaced = (word: string) =>
  `this ${word} key is in the ring already, and another one has replaced it: make a new one`;

const isPublicKey = (text: string): boolean => isPublicXkey(text) || isPublicSigningKey(text);

function checkName({ backend, publicKey }: TransitKeyName): void {
  checkBackend(backend);
  if (isPublicKey(publicKey)) return;
  throw new CofferError(
    'invalid_argument',
    "a transit key's public key has 56 characters, A to Z and 2 to 7, and begins with X; a signing key's with N",
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

/** How the log names that a key was retired. @param target the backend's name and the public key */
export const retirementOf = (target: string): AuditAction =>
  USES[useOf(transitKeyIn(target)?.publicKey ?? '')].actions.retire;

/** Reads what the log names a transit key, or one that signs, by; undefined for anything else. */
export function transitKeyIn(target: string): TransitKeyName | undefined {
  const [backend = '', publicKey = '', ...more] = target.split(' ');
  return BACKEND.test(backend) && isPublicKey(publicKey) && more.length === 0
    ? { backend, publicKey }
    : undefined;
}
