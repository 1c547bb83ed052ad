import type { AuditSubject } from './audit/entry.js';
import { type Caller, SERVER } from './caller.js';
import { CofferError } from './errors.js';
import { codeOf, type Gate } from './gate.js';
import type { StoreHeader } from './header/store-header.js';
import { administersAll, type Rights } from './rights.js';
import type {
  ForkJoin,
  HealReport,
  HealRequest,
  MemberName,
  ReplicaCount,
  SetAside,
  SharedStatus,
  SharedStorage,
  TakenAwayByHeal,
} from './storage/shared.js';
import type { Storage, StorageFacts } from './storage/storage.js';
import { retirementOf } from './transit-keys.js';

/** How a store is: alone in its folder, or shared with other instances. */
export interface StorageInfo {
  /** Of this instance: its store, or its replica. */
  readonly facts: StorageFacts;
  readonly shared: SharedStatus | undefined;
  /** As `Engine.lacksRootKey`. */
  readonly lacksRootKey: boolean;
}

export interface StorageCareContext extends Rights {
  readonly storage: Storage;
  readonly gate: Gate;
  readonly header: Pick<StoreHeader, 'lacksRootKey'>;
  /** Sees what two futures of a record had taken away. */
  readonly join: Omit<ForkJoin, 'announce'>;
}

/** Of a member's name at most. */
const MEMBER_LENGTH = 256;

/** Looking at the store and mending it: for who administers everything, and audited. */
export class StorageCare {
  readonly #context: StorageCareContext;

  constructor(context: StorageCareContext) {
    this.#context = context;
  }

  async status(caller: Caller): Promise<StorageInfo> {
    await this.#allow({ caller, action: 'storage-status' });
    const { storage, header } = this.#context;
    return {
      facts: await storage.facts(),
      shared: await storage.shared?.status(),
      lacksRootKey: header.lacksRootKey,
    };
  }

  /** @throws CofferError as {@link SharedStorage.setReplicas}; `unfit_store` if the store is not shared; `invalid_argument` */
  async setReplicas(caller: Caller, replicas: number): Promise<void> {
    const asked = { caller, action: 'storage-replicas', target: String(replicas) } as const;
    await this.#act(asked, async (shared) => {
      if (!isReplicaCount(replicas)) {
        throw new CofferError('invalid_argument', 'a store is kept on 1, 3 or 5 servers');
      }
      await shared.setReplicas(replicas);
    });
  }

  /** @throws CofferError as {@link SharedStorage.forget}; `unfit_store`, `invalid_argument` */
  async forget(caller: Caller, member: string): Promise<MemberName> {
    const asked = { caller, action: 'storage-forget', target: member } as const;
    return this.#act(asked, (shared) => {
      requireMember(member);
      return shared.forget(member);
    });
  }

  /** @throws CofferError as {@link SharedStorage.heal}; `unfit_store` */
  async heal(
    caller: Caller,
    { dryRun, giveUpDamaged, without = [] }: Omit<HealRequest, 'join'>,
  ): Promise<HealReport> {
    const target = dryRun ? 'dry run' : without.length > 0 ? `without ${without.join(', ')}` : undefined;
    const asked = { caller, action: 'storage-heal', ...(target !== undefined && { target }) } as const;
    const { join: own } = this.#context;
    const join: ForkJoin = {
      fence: own.fence,
      join: (key, winner, losers) => own.join(key, winner, losers),
      nameOf: (key, bytes) => own.nameOf(key, bytes),
      opens: (key, bytes) => own.opens(key, bytes),
      mayGiveUp: (key) => own.mayGiveUp(key),
      announce: async (taken) => {
        for (const one of taken) await this.#context.gate.allowStale(takenAway(one));
      },
    };
    return this.#act(asked, (shared) => {
      for (const member of without) requireMember(member);
      return shared.heal({ dryRun, giveUpDamaged, without, join });
    });
  }

  /** @throws CofferError as {@link SharedStorage.setAside}; `unfit_store` */
  async setAside(caller: Caller, { remove }: { readonly remove: boolean }): Promise<SetAside> {
    const asked = { caller, action: 'storage-set-aside', ...(remove && { target: 'remove' }) } as const;
    return this.#act(asked, (shared) => shared.setAside(remove));
  }

  /** Logged before it begins, and again when it ends, with its error if it failed. */
  async #act<T>(asked: AuditSubject, act: (shared: SharedStorage) => Promise<T>): Promise<T> {
    const begun = await this.#allow(asked);
    const { gate, storage } = this.#context;
    try {
      const { shared } = storage;
      if (shared === undefined) {
        throw new CofferError(
          'unfit_store',
          "this server's store is in its own state folder, and not shared: that is for one in NATS JetStream",
        );
      }
      const result = await act(shared);
      await gate.ended(asked, undefined, begun);
      return result;
    } catch (error) {
      await gate.ended(asked, codeOf(error), begun);
      throw error;
    }
  }

  async #allow(asked: AuditSubject): Promise<number> {
    const { gate } = this.#context;
    if (!administersAll(this.#context, asked.caller)) await gate.deny(asked);
    return gate.allowStale(asked);
  }
}

export function requireMember(member: string): void {
  if (member !== '' && member.length <= MEMBER_LENGTH) return;
  throw new CofferError('invalid_argument', 'a member is named by its 16 hexadecimal digits, or by its name');
}

/** As the same is logged when somebody asks for it, but by the server itself. */
function takenAway({ what, target, version }: TakenAwayByHeal): AuditSubject {
  const caller = SERVER;
  switch (what) {
    case 'token':
      return { caller, action: 'revoke-token', target };
    case 'identity':
      return { caller, action: 'revoke', target };
    case 'grant':
      return { caller, action: 'apply-policy', target: 'a grant taken away by a heal' };
    case 'transit-key':
      return { caller, action: retirementOf(target), target };
    case 'issued':
      return { caller, action: 'issued', target };
    default:
      return { caller, action: 'delete', secret: target, ...(version !== undefined && { version }) };
  }
}

const isReplicaCount = (count: number): count is ReplicaCount => count === 1 || count === 3 || count === 5;
