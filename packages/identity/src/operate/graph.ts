import { signingKeysOf } from '../tokens/claims.js';
import type { Jwt } from '../tokens/jwt.js';
import { exporterOf } from './imports.js';
import {
  type AccountSnapshot,
  givenAway,
  heldActivations,
  isRevokedBySource,
  type Snapshot,
  stateOf,
  type TokenState,
} from './issued.js';
import { isRevokedUser } from './revocations.js';

/** One line of the tree of who signed whom. */
export interface GraphNode {
  /** `key` is a key of the operator or account above it; below it stands what it signed. */
  readonly what: 'operator' | 'account' | 'user' | 'activation' | 'key';
  readonly key: string;
  readonly name: string;
  /** Of a key: the role whose scope its users have. */
  readonly role?: string | undefined;
  /** Of a key: the entity's own one, a signing key, or none of it any more, so that what it signed is refused. */
  readonly standing?: 'own' | 'signing' | 'removed' | undefined;
  /** Of a token. */
  readonly state?: TokenState | undefined;
  readonly children: readonly GraphNode[];
}

/** Who signed whom: the operator, its keys, the accounts that each signed, their keys, and what those signed. */
export function graphOf(snapshot: Snapshot, now: Date = new Date()): GraphNode {
  const { operator, accounts } = snapshot;
  const { sub, name = '', nats } = operator.claims;
  const activations = activationNodes(snapshot, now);
  const signed = accounts.map((account) => ({
    issuer: account.jwt.claims.iss,
    node: accountNode(account, activations, now),
  }));
  const keys = new Map((nats.signing_keys ?? []).map((key) => [key, undefined]));
  return {
    what: 'operator',
    key: sub,
    name,
    state: stateOf(operator.claims, now),
    children: keyNodes(sub, keys, signed),
  };
}

interface Signed {
  readonly issuer: string;
  readonly node: GraphNode;
}

/** Those that accounts here hold, and those that were given away. */
function activationNodes(snapshot: Snapshot, now: Date): (Signed & { readonly exporter: string })[] {
  const { accounts } = snapshot;
  const node = (jwt: Jwt<'activation'>, whereTo: string): Signed & { readonly exporter: string } => {
    const { iss, sub, nats } = jwt.claims;
    const state = isRevokedBySource(jwt, accounts) ? 'revoked' : stateOf(jwt.claims, now);
    const name = `${nats.subject ?? ''} ${whereTo}`;
    return {
      exporter: exporterOf(jwt.claims),
      issuer: iss,
      node: { what: 'activation', key: sub, name, state, children: [] },
    };
  };
  return [
    ...heldActivations(snapshot).map(({ jwt, holder }) => node(jwt, `for ${holder.name}`)),
    ...givenAway(snapshot).map((jwt) => node(jwt, 'given away')),
  ];
}

function accountNode(
  account: AccountSnapshot,
  activations: ReturnType<typeof activationNodes>,
  now: Date,
): GraphNode {
  const { claims } = account.jwt;
  const users = account.users.map(({ name, jwt }): Signed => {
    const state = isRevokedUser(claims, jwt.claims) ? 'revoked' : stateOf(jwt.claims, now);
    return { issuer: jwt.claims.iss, node: { what: 'user', key: jwt.claims.sub, name, state, children: [] } };
  });
  const own = activations.filter(({ exporter }) => exporter === claims.sub);
  const roles = new Map([...signingKeysOf(claims)].map(([key, scope]) => [key, scope?.role]));
  return {
    what: 'account',
    key: claims.sub,
    name: account.name,
    state: stateOf(claims, now),
    children: keyNodes(claims.sub, roles, [...users, ...own]),
  };
}

/** The own key only if it signed something, all signing keys, and keys that signed something and are no more. */
function keyNodes(
  own: string,
  signing: ReadonlyMap<string, string | undefined>,
  signed: readonly Signed[],
): GraphNode[] {
  const issuers = new Set(signed.map(({ issuer }) => issuer));
  const removed = [...issuers].filter((key) => key !== own && !signing.has(key));
  const node = (key: string, standing: NonNullable<GraphNode['standing']>): GraphNode => ({
    what: 'key',
    key,
    name: '',
    role: signing.get(key),
    standing,
    children: signed.filter(({ issuer }) => issuer === key).map((one) => one.node),
  });
  return [
    ...(issuers.has(own) ? [node(own, 'own')] : []),
    ...[...signing.keys()].map((key) => node(key, 'signing')),
    ...removed.map((key) => node(key, 'removed')),
  ];
}
