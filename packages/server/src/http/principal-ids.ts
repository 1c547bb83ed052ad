import { NATS_PERMISSION } from '@coffer/engine';
import { IdentityError, type KeyKind, parsePublicKey } from '@coffer/identity';
import { Refusal } from '../refusal.js';

/**
 * Refuses a grant to an identity that cannot be one: the key is mistyped, or a name stands where a key must. Patterns with a
 * `*`, and principals of other kinds, may be anything; but to `nats-permission` there is nothing to grant.
 *
 * @throws Refusal `bad_request`
 */
export function checkPrincipals(grants: readonly { readonly to: readonly string[] }[]): void {
  for (const { to } of grants) {
    for (const id of to) if (!id.includes('*') && !isPossible(id)) throw impossible(id);
  }
}

function isPossible(id: string): boolean {
  if (id === NATS_PERMISSION.id) return false;
  if (id.startsWith('nats:')) {
    const [account = '', user = '', ...more] = id.slice('nats:'.length).split('/');
    return isKey(account, 'account') && isKey(user, 'user') && more.length === 0;
  }
  if (id.startsWith('nats-tag:')) {
    const [, account = '', tag = ''] = /^nats-tag:([^:]*):(.+)$/s.exec(id) ?? [];
    return isKey(account, 'account') && tag === tag.toLowerCase() && tag !== '';
  }
  const entity = /^(component|provider):(.*)$/s.exec(id);
  if (entity) {
    const [, kind = '', rest = ''] = entity;
    const [account = '', key = '', ...more] = rest.split('/');
    const hasAccount = account === SELF_ISSUED || isKey(account, 'account');
    return hasAccount && isKey(key, kind as 'component' | 'provider') && more.length === 0;
  }
  return true;
}

/** In the place of an account: what is believed on its own word. */
const SELF_ISSUED = 'self-issued';

function isKey(text: string, kind: KeyKind): boolean {
  try {
    return parsePublicKey(text).kind === kind;
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}

function impossible(id: string): Refusal {
  const advice =
    id === NATS_PERMISSION.id
      ? 'nats-permission can be given nothing: what it may do is built in'
      : `${JSON.stringify(id)} is nobody’s principal: write nats:ACCOUNT/USER, nats-tag:ACCOUNT:TAG, component:ACCOUNT/KEY or ` +
        'provider:ACCOUNT/KEY with public keys (A…, U…, M…, V…) and tags in lower case; "coffer policy apply" makes keys of names';
  return new Refusal('bad_request', advice);
}
