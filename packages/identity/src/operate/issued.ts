import type { DamagedToken } from '../store/operator-store.js';
import type { AccountClaims, Import } from '../tokens/claims.js';
import type { Jwt } from '../tokens/jwt.js';
import { isContainedIn } from '../tokens/subjects.js';
import { activationOf } from './activation-ledger.js';
import { exporterOf } from './imports.js';
import { isRevokedActivation, isRevokedUser } from './revocations.js';

/** All tokens of one operator's folder, as they stood at one moment. */
export interface Snapshot {
  readonly operator: Jwt<'operator'>;
  readonly accounts: readonly AccountSnapshot[];
  /** Activation tokens that were made here to be given away. */
  readonly handedOut?: readonly Jwt<'activation'>[];
  /** Files of accounts and users that cannot be read, so that it is not known what they say. */
  readonly damaged?: readonly DamagedToken[];
}

export interface AccountSnapshot {
  /** The name of its folder, by which commands call it. */
  readonly name: string;
  readonly jwt: Jwt<'account'>;
  readonly users: readonly { readonly name: string; readonly jwt: Jwt<'user'> }[];
}

/** An activation token, where an account holds it: in one of its imports. */
export interface HeldActivation {
  readonly holder: AccountSnapshot;
  readonly import: Import;
  readonly jwt: Jwt<'activation'>;
}

export type TokenState = 'valid' | 'expired' | 'not yet valid' | 'revoked';

/** A token that a key has signed. */
export interface IssuedToken {
  readonly kind: 'operator' | 'account' | 'user' | 'activation';
  readonly name: string;
  readonly subject: string;
  /** The name of the account that a user belongs to; of an activation token, of the account that holds it, if it is here. */
  readonly account?: string | undefined;
  readonly jti: string;
  readonly issuedAt: number;
  readonly expiresAt?: number | undefined;
  readonly state: TokenState;
}

/** All that `key` signed of what is in the folder: tokens, and the activation tokens inside imports. */
export function issuedBy(snapshot: Snapshot, key: string, now: Date = new Date()): IssuedToken[] {
  return issuedTokens(snapshot, now)
    .filter(({ issuer }) => issuer === key)
    .map(({ issuer: _, ...token }) => token);
}

/** Everything in the folder, each with who signed it. */
export function issuedTokens(
  snapshot: Snapshot,
  now: Date = new Date(),
): (IssuedToken & { readonly issuer: string })[] {
  const { operator, accounts } = snapshot;
  const told = (
    kind: IssuedToken['kind'],
    { claims }: Jwt<'operator' | 'account' | 'user' | 'activation'>,
    { name = claims.name ?? '', account, revoked }: { name?: string; account?: string; revoked: boolean },
  ) => ({
    kind,
    name,
    subject: claims.sub,
    account,
    jti: claims.jti ?? '',
    issuer: claims.iss,
    issuedAt: claims.iat,
    expiresAt: claims.exp || undefined,
    state: revoked ? ('revoked' as const) : stateOf(claims, now),
  });
  return [
    told('operator', operator, { revoked: false }),
    ...accounts.flatMap((account) => [
      told('account', account.jwt, { name: account.name, revoked: false }),
      ...account.users.map(({ name, jwt }) =>
        told('user', jwt, {
          name,
          account: account.name,
          revoked: isRevokedUser(account.jwt.claims, jwt.claims),
        }),
      ),
    ]),
    ...heldActivations(snapshot).map((held) =>
      told('activation', held.jwt, {
        name: held.jwt.claims.name || (held.import.subject ?? ''),
        account: held.holder.name,
        revoked: isRevokedBySource(held.jwt, accounts),
      }),
    ),
    ...givenAway(snapshot).map((jwt) =>
      told('activation', jwt, { revoked: isRevokedBySource(jwt, accounts) }),
    ),
  ];
}

/** The activation tokens inside the imports of all accounts; not those that an import names by a URL. */
export function heldActivations({ accounts }: Snapshot): HeldActivation[] {
  return accounts.flatMap((holder) =>
    (holder.jwt.claims.nats.imports ?? []).flatMap((one) => {
      // One that cannot be read is refused by every server, whoever signed it.
      const jwt = one.token ? activationOf(one.token) : undefined;
      return jwt ? [{ holder, import: one, jwt }] : [];
    }),
  );
}

/** Activation tokens that were made here and that no account here holds. */
export function givenAway(snapshot: Snapshot): Jwt<'activation'>[] {
  const held = new Set(
    heldActivations(snapshot).map(
      ({ jwt, import: { account } }) => `${account} ${jwt.claims.sub} ${jwt.claims.nats.subject}`,
    ),
  );
  const accounts = new Set(snapshot.accounts.map(({ jwt }) => jwt.claims.sub));
  return (snapshot.handedOut ?? []).filter(
    ({ claims }) =>
      accounts.has(exporterOf(claims)) &&
      !held.has(`${exporterOf(claims)} ${claims.sub} ${claims.nats.subject}`),
  );
}

/** nats-server fetches an activation token that is not in the import itself. */
export const isUrl = (token: string): boolean => /^https?:\/\//i.test(token);

/** Whether the exporting account, if it is in the folder, revoked an activation token. */
export function isRevokedBySource(jwt: Jwt<'activation'>, accounts: readonly AccountSnapshot[]): boolean {
  const source = accounts.find((one) => one.jwt.claims.sub === exporterOf(jwt.claims));
  return (source?.jwt.claims.nats.exports ?? [])
    .filter(({ subject, type }) => type === jwt.claims.nats.kind && covers(subject, jwt.claims.nats.subject))
    .some((exported) => isRevokedActivation(exported, jwt.claims));
}

const covers = (exported = '', asked = ''): boolean => isContainedIn(asked, exported);

/** By time alone. */
export function stateOf(
  { exp, nbf }: Pick<AccountClaims, 'exp' | 'nbf'>,
  now: Date,
): 'valid' | 'expired' | 'not yet valid' {
  const seconds = now.getTime() / 1000;
  if (exp && exp <= seconds) return 'expired';
  return nbf && nbf > seconds ? 'not yet valid' : 'valid';
}
