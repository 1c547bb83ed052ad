import { IdentityError } from '../errors.js';

/**
 * Why a chain of trust does not hold:
 *
 * - `unknown_issuer`: nobody trusted vouches for the key that signed the link; `signing_key_removed`: it was a signing key, and
 *   is none any more; `strict_signing_keys`: the operator asks for a signing key, and this was signed by the key itself;
 *   `scope_violated`: a scoped key signed what its scope does not allow; `wrong_token_kind`
 * - `expired`, `not_yet_valid` (a token from the future, too); `stale_token`: a newer one of the same operator or account was
 *   seen before
 * - `revoked` in the account's token; `token_revoked`, `key_revoked` in this service
 * - `bearer_disallowed`: the account takes no bearer tokens; `proxy_required`: the user may come through NATS proxies only;
 *   `external_authorization`: the account leaves it to an outside service who its users are
 * - `untrusted_host`: its signer is none of those that are named
 * - `resolver_failed`: the account's token could not be had; `memory_failed`: that it was seen could not be noted
 */
export type ChainErrorCode =
  | 'unknown_issuer'
  | 'signing_key_removed'
  | 'strict_signing_keys'
  | 'scope_violated'
  | 'wrong_token_kind'
  | 'expired'
  | 'not_yet_valid'
  | 'stale_token'
  | 'revoked'
  | 'token_revoked'
  | 'key_revoked'
  | 'bearer_disallowed'
  | 'proxy_required'
  | 'external_authorization'
  | 'untrusted_host'
  | 'resolver_failed'
  | 'memory_failed';

/** A chain that does not hold. Its message names the link that failed and says why; it never holds a token. */
export class ChainError extends IdentityError<ChainErrorCode> {
  /** The link that failed, for people: `user U…`, `account A… (demoA)`. */
  readonly link: string;

  constructor(code: ChainErrorCode, link: string, why: string, options?: ErrorOptions) {
    super(code, `${link}: ${why}`, options);
    this.name = 'ChainError';
    this.link = link;
  }
}

/** Names a link. Names come from tokens that nobody may vouch for: they are cut, and cannot break out of their line. */
export function linkName(what: string, key: string, name = ''): string {
  const printable = name.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '\ufffd');
  const short = printable.length > 64 ? `${[...printable].slice(0, 64).join('')}…` : printable;
  return short === '' ? `${what} ${key}` : `${what} ${key} (${short})`;
}
