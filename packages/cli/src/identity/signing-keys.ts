import { type AccountClaims, type StoreContext, signingKeysOf } from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import type { Report } from './workplace.js';

/** An entry of an account's list: the key alone, or with a scope. */
type Entry = NonNullable<AccountClaims['nats']['signing_keys']>[number];

export const keyOf = (entry: Entry): string => (typeof entry === 'string' ? entry : entry.key);

/** In the order in which Go writes its map: by key. */
export const inKeyOrder = (entries: readonly Entry[]): Entry[] =>
  [...entries].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));

/** The signing key that is named by itself or by its role. */
export function signingKeyNamed(account: AccountClaims, name: string): string {
  const keys = signingKeysOf(account);
  if (keys.has(name)) return name;
  const found = [...keys].find(([, scope]) => scope !== undefined && scope.role === name);
  if (found !== undefined) return found[0];
  throw new Failure(
    `${quote(name)} is neither a signing key of the account ${quote(account.name ?? '')} nor a role of one; ` +
      '"coffer identity describe account" shows them',
  );
}

/** Says whose tokens are refused now that keys are gone. */
export function warnOfRefusedUsers(
  { store }: StoreContext,
  account: string,
  removed: readonly string[],
  report: Report,
): void {
  for (const { name, jwt } of store.scanUsers(account).tokens) {
    if (!removed.includes(jwt.claims.iss)) continue;
    report.warn(
      `user ${quote(name)} was signed with a key that is removed, and is refused until it is signed anew`,
    );
  }
}

export function warnOfRefusedAccounts(
  { store }: StoreContext,
  removed: readonly string[],
  report: Report,
): void {
  for (const { name, jwt } of store.scanAccounts().tokens) {
    if (!removed.includes(jwt.claims.iss)) continue;
    report.warn(
      `account ${quote(name)} was signed with a key that is removed, and is refused until it is signed anew`,
    );
  }
}

export function retire(context: StoreContext, keys: readonly string[]): void {
  const retired = new Date().toISOString();
  for (const key of keys) context.ledger.note({ key, retired });
}
