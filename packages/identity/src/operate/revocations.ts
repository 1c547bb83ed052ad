import { IdentityError } from '../errors.js';
import { parsePublicKey } from '../keys/nkey.js';
import type { AccountClaims, Export, UserClaims } from '../tokens/claims.js';

/**
 * Revocations by time, in the token of an account: what was issued to a key up to then counts no more.
 *
 * Source: nats-io/jwt v2 (`revocation_list.go`).
 */

/** In place of a key: everybody. */
export const EVERYBODY = '*';

/**
 * The account's claims with one more revocation. One that reaches further already stays.
 *
 * @param user the key of a user, or {@link EVERYBODY}
 * @param at seconds since 1970
 * @throws IdentityError `invalid_claims` for the key of anything but a user; as `parsePublicKey`
 */
export function withRevocation<C extends Pick<AccountClaims, 'nats'>>(
  claims: C,
  user: string,
  at: number,
): C {
  requireUser(user);
  const before = claims.nats.revocations ?? {};
  const revocations = { ...before, [user]: Math.max(at, before[user] ?? 0) };
  return { ...claims, nats: { ...claims.nats, revocations: sorted(revocations) } };
}

/** @throws IdentityError `invalid_claims` if the user is not revoked */
export function withoutRevocation<C extends Pick<AccountClaims, 'nats'>>(claims: C, user: string): C {
  const { [user]: at, ...rest } = claims.nats.revocations ?? {};
  if (at === undefined) {
    throw new IdentityError(
      'invalid_claims',
      user === EVERYBODY
        ? 'there is no revocation of all users in this account'
        : `the user ${user} is not revoked in this account`,
    );
  }
  const revocations = Object.keys(rest).length > 0 ? rest : undefined;
  return { ...claims, nats: { ...claims.nats, revocations } };
}

/** Whether a user's token is one of those that its account revoked. */
export const isRevokedUser = (account: Pick<AccountClaims, 'nats'>, { sub, iat }: UserClaims): boolean =>
  covers(account.nats.revocations, sub, iat);

/** Whether an activation token for an export is one of those that were revoked. */
export const isRevokedActivation = (
  exported: Pick<Export, 'revocations'>,
  { sub, iat }: { readonly sub: string; readonly iat: number },
): boolean => covers(exported.revocations, sub, iat);

function covers(revocations: AccountClaims['nats']['revocations'], key: string, iat: number): boolean {
  return [revocations?.[key], revocations?.[EVERYBODY]].some((at) => at !== undefined && iat <= at);
}

function requireUser(user: string): void {
  if (user === EVERYBODY || parsePublicKey(user).kind === 'user') return;
  throw new IdentityError('invalid_claims', 'users are revoked, by their keys (U…) or all of them (*)');
}

/** As Go writes a map. */
const sorted = (revocations: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(revocations).sort(([a], [b]) => (a < b ? -1 : 1)));
