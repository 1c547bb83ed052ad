import { IdentityError, type KeyKind, parsePublicKey } from '@coffer/identity';
import { Refusal } from '../refusal.js';

/**
 * Refuses a grant to an identity that cannot be one: the key is mistyped, or a name stands where a key must. Patterns with a
 * `*`, and principals of other kinds, may be anything.
 *
 * @throws Refusal `bad_request`
 */
export function checkPrincipals(grants: readonly { readonly to: readonly string[] }[]): void {
  for (const { to } of grants) {
    for (const id of to) if (!id.includes('*') && !isPossible(id)) throw impossible(id);
  }
}

function isPossible(id: string): boolean {
  if (id.startsWith('nats:')) {
    const [account = '', user = '', ...more] = id.slice('nats:'.length).split('/');
    return isKey(account, 'account') && isKey(user, 'user') && more.length === 0;
  }
  if (id.startsWith('nats-tag:')) {
    const [, account = '', tag = ''] = /^nats-tag:([^:]*):(.+)$/s.exec(id) ?? [];
    return isKey(account, 'account') && tag === tag.toLowerCase() && tag !== '';
  }
  return true;
}

function isKey(text: string, kind: KeyKind): boolean {
  try {
    return parsePublicKey(text).kind === kind;
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}

function impossible(id: string): Refusal {
  return new Refusal(
    'bad_request',
    `${JSON.stringify(id)} is nobody’s principal: write nats:ACCOUNT/USER or nats-tag:ACCOUNT:TAG with public keys (A…, U…) ` +
      'and tags in lower case; "coffer policy apply" makes keys of names',
  );
}
