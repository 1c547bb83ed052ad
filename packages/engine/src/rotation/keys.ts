import type { AuditSubject } from '../audit/entry.js';
import type { Caller } from '../caller.js';
import { wipe } from '../crypto/secure-memory.js';
import { CofferError } from '../errors.js';
import type { EngineFacts } from '../facts.js';
import { accessDenied, type Gate } from '../gate.js';
import { type HeaderChange, mayBeTrue, type StoreHeader } from '../header/store-header.js';
import { type Change, type Operations, repetitionOf } from '../operations.js';
import { untilNotOvertaken } from '../overtaken.js';
import { administersAll, type Rights } from '../rights.js';
import type { Storage } from '../storage/storage.js';
import { requireMember } from '../storage-care.js';
import type { Rewriter, RotationProgress } from './rewriter.js';
import { requireRootKeyEverywhere } from './root-key-holders.js';
import type { RootKeys } from './root-key-rotation.js';

/** The keys of a store, without themselves. */
export interface KeysInfo {
  readonly rootKey: {
    readonly kind: 'file' | 'passphrase' | 'xkey-seed';
    /** Fingerprint, 16 hexadecimal digits; none of a passphrase. */
    readonly id?: string;
    /** Since when the store is sealed by it; not known of a store that is older than this field. */
    readonly since?: Date;
  };
  /** As `Engine.lacksRootKey`. */
  readonly lacksRootKey: boolean;
  /** By id, ascending. */
  readonly dataKeys: readonly DataKeyInfo[];
  /** Undefined if all records are under one key. */
  readonly rotation: RotationProgress | undefined;
}

export interface DataKeyInfo {
  readonly id: number;
  readonly createdAt: Date;
  /** `active` seals new records; `retiring` opens old ones until none is left, then it is destroyed. */
  readonly state: 'active' | 'retiring';
  /** How many records are under it. */
  readonly records: number;
}

/** Which key to change: the data key, or the root key. */
export interface Rotation {
  readonly root?: boolean | undefined;
  /** Where the new root key is, or is to be made: `file:PATH`, `passphrase:file:PATH`, `passphrase:env:NAME`, `xkey-seed:file:PATH` or `xkey-seed:env:NAME`. */
  readonly to?: string | undefined;
  /** Of the data key: members that lack the root key, by id or name, which are to answer nothing until they are given it. */
  readonly without?: readonly string[] | undefined;
}

/** Each data key waits for its records to be re-encrypted: more at once help nobody. */
const DATA_KEYS_MAX = 32;

export interface KeysContext extends Rights {
  readonly storage: Pick<Storage, 'shared' | 'get'>;
  readonly header: StoreHeader;
  readonly rootKeys: RootKeys;
  readonly rewriter: Rewriter;
  readonly gate: Gate;
  readonly now: () => Date;
}

/** Listing and changing the store's keys: for who administers everything, and audited. */
export class Keys {
  readonly #context: KeysContext;

  constructor(context: KeysContext) {
    this.#context = context;
  }

  async list(caller: Caller): Promise<KeysInfo> {
    await this.#allow(caller);
    return this.#info();
  }

  /** For whoever asks the engine how it is. */
  facts(): EngineFacts['keys'] {
    const { header, rewriter } = this.#context;
    return {
      dataKeys: header.ring.dataKeys.length,
      remaining: rewriter.progress?.remaining ?? 0,
      lacksRootKey: header.lacksRootKey,
    };
  }

  /** As in {@link KeysInfo}; costs no count. */
  async progress(caller: Caller): Promise<RotationProgress | undefined> {
    await this.#allow(caller);
    return this.#context.rewriter.look();
  }

  /** Resolves when the new key is in force; records are re-encrypted under a new data key in the background. */
  async rotate(caller: Caller, { root = false, to, without }: Rotation, change?: Change): Promise<KeysInfo> {
    if (to !== undefined && !root) {
      throw new CofferError('invalid_argument', '"to" is for the root key: it needs "root": true');
    }
    if (without !== undefined && root) {
      throw new CofferError('invalid_argument', '"without" is for the data key: it does not go with "root"');
    }
    for (const member of without ?? []) requireMember(member);
    const action = root ? 'rotate-root-key' : 'rotate-data-key';
    const asked = { caller, action } as const;
    // A token that was stolen must not take the root key to where its owner does not have it.
    const allowed =
      to === undefined ? administersAll(this.#context, caller) : this.#context.policy().isOperator(caller);
    if (!allowed) return this.#context.gate.deny(asked);
    const request = { action, to, without } as const;
    await this.#change(asked, change, request, () =>
      root ? this.#nextRootKey(to) : this.#nextDataKey(without),
    );
    if (!root) this.#context.rewriter.start();
    return this.#info();
  }

  async #nextDataKey(without: readonly string[] = []): Promise<Step> {
    const { storage, header, now } = this.#context;
    const { dataKeys } = header.ring;
    if (dataKeys.length >= DATA_KEYS_MAX) {
      throw new CofferError(
        'conflict',
        `there are ${dataKeys.length} data keys: wait until the records of older ones are re-encrypted`,
      );
    }
    await requireRootKeyEverywhere(storage, without);
    const key = header.ring.nextDataKey(now());
    return {
      change: { dataKeys: [...dataKeys, key] },
      dropped: async () => wipe(key.key),
    };
  }

  async #nextRootKey(to: string | undefined): Promise<Step> {
    const { header, rootKeys } = this.#context;
    const next = await rootKeys.next(header.rootKey, to);
    return {
      change: { rootKey: next.rootKey },
      sealed: next.sealed,
      dropped: async () => {
        next.rootKey.wipe();
        await next.dropped();
      },
    };
  }

  /** One after the other, since all of it hangs on the header. Asked again with the same operation, nothing is done. */
  async #change(
    asked: AuditSubject,
    change: Change | undefined,
    { action, to, without = [] }: Omit<Rotation, 'root'> & { readonly action: string },
    begin: () => Promise<Step>,
  ): Promise<void> {
    const { header, gate } = this.#context;
    const { operation, ...counting } = gate.operationOf(change);
    const by = asked.caller.principals[0].id;
    const request = JSON.stringify([action, to, ...without]);
    const digest = header.ring.authenticate(Buffer.from(request)).toString('base64', 0, 16);
    const added = { id: operation, by, request: digest, result: 0, ...counting };
    const decide = (): Decision => {
      const { generation: base, operations } = header;
      // A permission that was taken away while the change waited for its turn is gone at once.
      if (!administersAll(this.#context, asked.caller)) throw accessDenied();
      const repetition = counting.given ? repetitionOf(operations, added) : undefined;
      if (!repetition) return { base, operations: gate.remember(operations, added), isNew: true };
      const { prolonged, refusal } = repetition;
      if (refusal && !prolonged) throw refusal;
      return { base, operations: prolonged, refusal, isNew: false };
    };
    const made = await header.alone(async () => {
      const left = without.length > 0 ? ` without ${without.join(', ')}` : '';
      const target = asked.action === 'rotate-data-key' ? `${header.ring.newest.id + 1}${left}` : to;
      const labelled = { ...asked, operation, target };
      let first: Decision;
      try {
        first = decide();
      } catch (error) {
        return refuse(gate, labelled, error);
      }
      if (!first.operations) {
        await gate.allow(labelled);
        return undefined;
      }
      return gate.change(labelled, async () => {
        const refusal = await untilNotOvertaken(first, (one) => this.#commit(one, begin), decide);
        if (refusal) throw refusal;
      });
    });
    await made?.settle();
  }

  /** @returns the answer, if it is an error: to be thrown, and not tried again */
  async #commit(
    { base, operations, refusal, isNew }: Decision,
    begin: () => Promise<Step>,
  ): Promise<unknown> {
    const { header } = this.#context;
    if (!operations) return refusal;
    if (!isNew) {
      await header.commit({ base, operations });
      return refusal;
    }
    let step: Step;
    try {
      step = await begin();
    } catch (error) {
      return error;
    }
    const { change, sealed, dropped } = step;
    try {
      await header.commit({ ...change, base, operations });
    } catch (error) {
      // Otherwise it is not known what is in the store: the next start looks.
      if (!mayBeTrue(error)) await dropped().catch(() => undefined);
      throw error;
    }
    await sealed?.();
    return undefined;
  }

  async #info(): Promise<KeysInfo> {
    const { header, rewriter } = this.#context;
    const { counts } = await rewriter.census();
    const { kind, since } = header.rootKey.parameters;
    const { id } = header.rootKey;
    const { dataKeys, newest } = header.ring;
    return {
      rootKey: {
        kind,
        ...(id !== undefined && { id }),
        ...(since !== undefined && { since: new Date(since) }),
      },
      lacksRootKey: header.lacksRootKey,
      dataKeys: dataKeys.map(({ id, createdAt }) => ({
        id,
        createdAt,
        state: id === newest.id ? 'active' : 'retiring',
        records: counts.get(id) ?? 0,
      })),
      rotation: rewriter.progress,
    };
  }

  async #allow(caller: Caller): Promise<void> {
    const asked = { caller, action: 'list-keys' } as const;
    if (!administersAll(this.#context, caller)) await this.#context.gate.deny(asked);
    await this.#context.gate.allow(asked);
  }
}

/** What is to be done: without operations, nothing. */
interface Decision {
  readonly base: number;
  readonly operations: Operations | undefined;
  /** The answer, once they are remembered. */
  readonly refusal?: CofferError | undefined;
  readonly isNew: boolean;
}

/** A change of the header, and what follows it. */
interface Step {
  readonly change: HeaderChange;
  sealed?(): Promise<void>;
  dropped(): Promise<void>;
}

function refuse(gate: Gate, asked: AuditSubject, error: unknown): Promise<never> {
  if (error instanceof CofferError && error.code === 'access_denied') return gate.deny(asked);
  return gate.fail(asked, error);
}
