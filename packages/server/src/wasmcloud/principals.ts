import type { Principal } from '@coffer/engine';
import { kindOfPublicKey } from '@coffer/identity';
import { type Entity, SecretsError } from '@coffer/wasmcloud';
import type { WasmcloudConfig } from '../config/nats.js';
import type { TrustConfig } from '../config/trust.js';
import { shownName } from '../trust/shown-name.js';

/** In the place of an account, for whom is believed on its own word. */
const SELF_ISSUED = 'self-issued';

/**
 * The principals of a component or provider: that below its verified account, and, where entities are believed on their own
 * word, that which any of them can have.
 */
export function principalsOfEntity(
  { kind, key, name, account }: Pick<Entity, 'kind' | 'key' | 'name' | 'account'>,
  selfIssued: boolean,
): [Principal, ...Principal[]] {
  const shown = shownName(name);
  const below = (issuer: string): Principal => ({
    id: `${kind}:${issuer}/${key}`,
    kind,
    ...(shown !== '' && { name: shown }),
  });
  if (account === undefined) return [below(SELF_ISSUED)];
  return selfIssued ? [below(account), below(SELF_ISSUED)] : [below(account)];
}

/** What decides to whom a mapping of an entity is. */
export interface MappingGround {
  readonly trust: Pick<TrustConfig, 'operators' | 'accounts' | 'resolver'> | undefined;
  readonly wasmcloud: Pick<WasmcloudConfig, 'mappingAccount' | 'trust'>;
}

/**
 * The principal that an entity's key stands for in a mapping, which says nothing of an account.
 *
 * @param entity a component's or provider's key
 * @throws SecretsError `Other`, where the configuration does not say of which account
 */
export function mappingPrincipal(entity: string, ground: MappingGround): string {
  const kind = kindOfPublicKey(entity);
  if (kind !== 'component' && kind !== 'provider') throw new SecretsError('InvalidRequest');
  return `${kind}:${mappingAccount(ground)}/${entity}`;
}

function mappingAccount({ trust, wasmcloud }: MappingGround): string {
  if (wasmcloud.mappingAccount !== undefined) return wasmcloud.mappingAccount;
  if (trust === undefined && wasmcloud.trust === SELF_ISSUED) return SELF_ISSUED;
  const bare = trust !== undefined && trust.operators.length === 0 && trust.resolver?.store === undefined;
  const [only, ...others] = bare ? trust.accounts : [];
  if (only !== undefined && others.length === 0) return only;
  throw new SecretsError(
    'Other',
    'the server trusts several accounts, and a mapping does not say which: it needs wasmcloud.mappingAccount in its configuration',
  );
}

/** `component:<account>/M…` taken apart. */
export function entityOfPrincipal(id: string): { readonly entity: string; readonly account?: string } {
  const [issuer = '', entity = ''] = id.slice(id.indexOf(':') + 1).split('/');
  return issuer === SELF_ISSUED ? { entity } : { entity, account: issuer };
}
