import type { UserPermissionLimits, UserScope } from '../tokens/claims.js';
import type { Chain, ChainLink, HostChain, UserConditions } from './chain.js';
import { checkLink, failing, type Ground } from './ground.js';
import type { HostTrust } from './options.js';
import { linkTo, type Standing } from './standing.js';
import type { CallerToken, LinkToken } from './tokens.js';

/** A chain, and what it rests on. */
export interface Verified {
  readonly chain: Chain;
  readonly tokens: readonly LinkToken[];
}

/**
 * Puts a caller's token at the end of its account's chain.
 *
 * @param removed signing keys that the account had, and has no more
 * @throws ChainError
 */
export function chainUnder(
  caller: CallerToken,
  standing: Standing,
  removed: ReadonlySet<string>,
  ground: Ground,
): Verified {
  checkLink(caller, ground);
  const scope = scopeOf(caller, standing, removed);
  checkRevoked(caller, standing);
  const { operator, token, key, name } = standing;
  const tokens = [operator?.token, token, caller].filter((one) => one !== undefined);
  const base = {
    ...baseOf(caller, tokens, [...standing.links, linkTo(caller)]),
    account: { key, name },
    operator: operator && { key: operator.key, name: operator.name },
  };
  if (caller.what === 'user') {
    const user = conditionsOf(caller, scope, standing);
    return { chain: { ...base, kind: 'user', role: scope?.role, user }, tokens };
  }
  return { chain: { ...base, kind: caller.what as 'component' | 'provider' }, tokens };
}

/** @throws ChainError */
export function hostChain(host: CallerToken, trust: HostTrust | undefined, ground: Ground): Verified {
  checkLink(host, ground);
  const { key, issuer } = host;
  const trusted =
    (issuer === key && trust?.keys?.includes(key) === true) || trust?.clusters?.includes(issuer) === true;
  if (trust !== undefined && !trusted) {
    throw failing(host)(
      'untrusted_host',
      `the key ${issuer}, which signed its token, is neither that of a trusted host nor one that signs for hosts`,
    );
  }
  const base = baseOf(host, [host], [linkTo(host)]);
  return { chain: { ...base, kind: 'host', trusted } satisfies HostChain, tokens: [host] };
}

function baseOf(
  { key, jti, name, tags, issuer }: CallerToken,
  tokens: readonly LinkToken[],
  links: readonly ChainLink[],
) {
  const expiries = tokens.flatMap(({ exp }) => exp ?? []);
  const expiresAt = expiries.length === 0 ? undefined : Math.min(...expiries);
  return { subject: key, jti, name, tags, issuer, expiresAt, links };
}

/**
 * The scope of the key that signed the token, if that is a key of the account and has one.
 *
 * @throws ChainError
 */
function scopeOf(
  caller: CallerToken,
  { key, token, strict }: Standing,
  removed: ReadonlySet<string>,
): UserScope | undefined {
  const { issuer, what } = caller;
  const fail = failing(caller);
  if (what === 'user' && token?.wascap) {
    throw fail('wrong_token_kind', `the token of account ${key} is wasmCloud’s, which says nothing of users`);
  }
  if (issuer === key) {
    if (!strict) return undefined;
    throw fail(
      'strict_signing_keys',
      `it is signed by the own key of account ${key}, and its operator asks for a signing key`,
    );
  }
  if (!token?.signers.has(issuer)) {
    if (removed.has(issuer)) {
      throw fail(
        'signing_key_removed',
        `the key ${issuer}, which signed it, is no signing key of account ${key} any more`,
      );
    }
    throw fail('unknown_issuer', `the key ${issuer}, which signed it, is no signing key of account ${key}`);
  }
  const scope = token.signers.get(issuer);
  if (scope === undefined) return undefined;
  if (what !== 'user') {
    throw fail(
      'scope_violated',
      `the key ${issuer}, which signed it, may sign users of role “${scope.role}” only`,
    );
  }
  if (caller.user && !hasNoLimits(caller.user)) {
    throw fail(
      'scope_violated',
      `a scoped key signed it: its permissions and limits come from the role “${scope.role}”, and it must have none of its own`,
    );
  }
  return scope;
}

/** By the account's own list, as nats-io/jwt `RevocationList.IsRevoked`: `*` is every key. */
function checkRevoked(caller: CallerToken, { key, token }: Standing): void {
  const until = (who: string) => token?.revocations.get(who) ?? -1;
  const last = Math.max(until(caller.key), until('*'));
  if (caller.iat > last) return;
  throw failing(caller)(
    'revoked',
    `account ${key} has revoked what was issued for it up to ${formatTime(last)}, and this token is of ${formatTime(caller.iat)}`,
  );
}

/** Seconds since 1970 for people; a revocation may name any number of them. */
function formatTime(seconds: number): string {
  const time = new Date(seconds * 1000);
  return Number.isNaN(time.getTime()) ? 'the end of time' : time.toISOString().replace('.000Z', 'Z');
}

/** Whether Go's `UserClaims.HasEmptyPermissions` is true: what is absent is empty, and so is zero, but no list that is there. */
function hasNoLimits(limits: UserPermissionLimits): boolean {
  const { pub, sub, resp, src, times, times_location, subs, data, payload } = limits;
  const { bearer_token, proxy_required, allowed_connection_types } = limits;
  const absent = [pub?.allow, pub?.deny, sub?.allow, sub?.deny, resp, src, times, allowed_connection_types];
  const zero = [times_location, subs, data, payload, bearer_token, proxy_required];
  return absent.every((one) => one === undefined || one === null) && !zero.some(Boolean);
}

/** As nats-server takes them in `processClientOrLeafAuthentication`. */
function conditionsOf(
  caller: CallerToken,
  scope: UserScope | undefined,
  { key, token }: Standing,
): UserConditions {
  const limits: UserPermissionLimits = scope?.template ?? caller.user ?? {};
  const fail = failing(caller);
  if (limits.proxy_required) {
    throw fail('proxy_required', 'it may come through a trusted proxy of NATS only');
  }
  const bearer = limits.bearer_token === true;
  if (bearer && token?.disallowBearer) {
    throw fail('bearer_disallowed', `it is a bearer’s token, and account ${key} takes none`);
  }
  const { authUsers } = token ?? {};
  if (authUsers && authUsers.size > 0 && !authUsers.has(caller.key)) {
    throw fail(
      'external_authorization',
      `account ${key} leaves it to an outside service who its users are, which is not asked here`,
    );
  }
  return {
    src: filled(limits.src),
    times: filled(limits.times)?.map(({ start, end }) => ({ start, end })),
    locale: limits.times_location || undefined,
    connectionTypes: filled(limits.allowed_connection_types),
    bearer,
  };
}

const filled = <T>(list: readonly T[] | null | undefined): readonly T[] | undefined =>
  list?.length ? list : undefined;
