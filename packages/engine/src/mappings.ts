import { hash } from 'node:crypto';

import type { Caller } from './caller.js';
import { CofferError } from './errors.js';
import { accessDenied, type Gate } from './gate.js';
import { type Grant, grantId, requireFewGrants } from './grant.js';
import type { ManifestChanges, PlannedChange } from './manifest-changes.js';
import {
  checkMapping,
  type MappingRequest,
  mappedBy,
  stillAllowed,
  withNames,
  withoutNames,
} from './mapping.js';
import { type Limits, listed } from './names.js';
import type { Change } from './operations.js';
import { recordOf } from './policy-record.js';
import type { Rights } from './rights.js';

/** The secrets that a component or provider gets by its mappings. */
export interface Mapping {
  /** `component:<account>/<key>` or `provider:<account>/<key>`. */
  readonly principal: string;
  /** Sorted. */
  readonly names: readonly string[];
}

export interface MappingsContext extends Rights {
  readonly changes: ManifestChanges;
  readonly gate: Gate;
  readonly limits: Limits;
}

/**
 * Which secrets components and providers get, one by one, as the mappings of secrets-nats-kv. A mapping is a grant to one of
 * them to `get` what is named, so that a policy shows it and can take it away.
 */
export class Mappings {
  readonly #context: MappingsContext;

  constructor(context: MappingsContext) {
    this.#context = context;
  }

  /**
   * Lets an entity get these secrets, whether they are there yet or not.
   *
   * @throws CofferError `access_denied`, as {@link checkMapping}, and `invalid_policy` for too many grants
   */
  async map(caller: Caller, entity: string, names: readonly string[], change?: Change): Promise<void> {
    const request = checkMapping(entity, names, this.#context.limits);
    await this.#change(caller, 'add-mapping', request, change, withNames);
  }

  /**
   * Takes these secrets out of an entity's mappings. What is not mapped is passed over.
   *
   * @throws CofferError `access_denied`, as {@link checkMapping}, and `conflict` if another grant lets the entity get one of
   *   them all the same: then the mapping is gone, and the right is not
   */
  async unmap(caller: Caller, entity: string, names: readonly string[], change?: Change): Promise<void> {
    const request = checkMapping(entity, names, this.#context.limits);
    await this.#change(caller, 'remove-mapping', request, change, withoutNames);
    const obstacle = stillAllowed(this.#context.policy().grants, request);
    if (obstacle !== undefined) throw new CofferError('conflict', obstacle);
  }

  /** By principal: all mappings, of names that the caller administers. */
  async list(caller: Caller): Promise<Mapping[]> {
    const { gate, knows, policy } = this.#context;
    const asked = { caller, action: 'list-mappings' } as const;
    if (!knows(caller) || !policy().isSomeAdministrator(caller)) return gate.deny(asked);
    await gate.allow(asked);
    const { grants } = policy();
    const byEntity = new Map<string, Set<string>>();
    for (const grant of grants) {
      const entity = mappedBy(grant);
      if (entity === undefined) continue;
      const names = byEntity.get(entity) ?? new Set();
      for (const name of grant.secrets) if (policy().administers(caller, name)) names.add(name);
      if (names.size > 0) byEntity.set(entity, names);
    }
    return [...byEntity.keys()]
      .sort()
      .map((principal) => ({ principal, names: [...(byEntity.get(principal) ?? [])].sort() }));
  }

  #change(
    caller: Caller,
    action: 'add-mapping' | 'remove-mapping',
    request: MappingRequest,
    change: Change | undefined,
    edit: (own: readonly Grant[], request: MappingRequest) => readonly Grant[],
  ): Promise<void> {
    const { changes, gate } = this.#context;
    const { entity, names } = request;
    const asked = { caller, action, target: `${entity} ${listed(names)}` } as const;
    if (!this.#mayMap(caller, request)) return gate.deny(asked);
    const plan = () => {
      if (!this.#mayMap(caller, request)) throw accessDenied();
      const { grants } = this.#context.policy();
      const own = grants.filter((grant) => mappedBy(grant) === entity);
      const planned = replacing(own, edit(own, request), grants.length);
      return planned && { ...planned, urgent: action === 'remove-mapping' };
    };
    const what = `${action} ${hash('sha256', JSON.stringify([entity, names]))}`;
    return changes.make(asked, change, what, plan);
  }

  #mayMap(caller: Caller, { names }: MappingRequest): boolean {
    return this.#context.knows(caller) && this.#context.policy().mayMap(caller, names);
  }
}

/** Puts some grants in the place of others, of so many in all; undefined if they are the same. */
function replacing(own: readonly Grant[], wanted: readonly Grant[], all: number): PlannedChange | undefined {
  const before = new Map(own.map((grant) => [grantId(grant), grant]));
  const after = new Map(wanted.map((grant) => [grantId(grant), grant]));
  const added = [...after].filter(([id]) => !before.has(id)).map(([, grant]) => grant);
  const removed = [...before].filter(([id]) => !after.has(id)).map(([, grant]) => grant);
  if (added.length + removed.length === 0) return undefined;
  requireFewGrants(all + added.length - removed.length);
  return { write: added.map(recordOf), remove: removed.map(recordOf), newPolicy: true };
}
