import type { Engine } from '@coffer/engine';
import type { BackendOperations } from '@coffer/wasmcloud';
import type { Askers } from './askers.js';
import { fetchSecret, requireAdmission } from './own-backend.js';
import { entityOfPrincipal } from './principals.js';
import { translated } from './refuse.js';

export interface OperationsParts {
  readonly engine: Pick<Engine, 'get' | 'putAndActivate' | 'mapEntity' | 'unmapEntity' | 'mappings'>;
  readonly askers: Askers;
  /** Whom an entity's key means. @throws SecretsError */
  readonly principalOf: (entity: string) => string;
  /** Why nothing may be answered at this moment, if it may not. */
  readonly admission: () => Promise<string | undefined>;
}

/** secrets-nats-kv's administration, and coffer's own, on the engine: grants decide, but for what NATS itself lets through. */
export function ownOperations({
  engine,
  askers,
  principalOf,
  admission,
}: OperationsParts): BackendOperations {
  return {
    async putSecret({ key, kind, value }, asker) {
      await requireAdmission(admission);
      const { caller, change } = await askers.changing(asker);
      const options = { binary: kind === 'binary' };
      return translated(() => engine.putAndActivate(caller, key, value, change, options));
    },

    async addMapping(entity, names, asker) {
      await requireAdmission(admission);
      const { caller, change } = await askers.changing(asker);
      const principal = principalOf(entity);
      await translated(() => engine.mapEntity(caller, principal, names, change));
    },

    async removeMapping(entity, names, asker) {
      await requireAdmission(admission);
      const { caller, change } = await askers.changing(asker);
      const principal = principalOf(entity);
      await translated(() => engine.unmapEntity(caller, principal, names, change));
    },

    async listMappings(entity, asker) {
      await requireAdmission(admission);
      const caller = await askers.reading(asker);
      const mappings = await translated(() => engine.mappings(caller));
      const all = mappings.map(({ principal, names }) => ({ ...entityOfPrincipal(principal), names }));
      return entity === undefined ? all : all.filter((mapping) => mapping.entity === entity);
    },

    async getSecret(query, asker) {
      await requireAdmission(admission);
      return fetchSecret(engine, await askers.reading(asker), query);
    },
  };
}
