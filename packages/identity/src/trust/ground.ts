import { ChainError, type ChainErrorCode, linkName } from './chain-error.js';
import type { Revocations } from './options.js';
import type { Seen } from './seen.js';
import type { LinkToken } from './tokens.js';

/** What every link is measured by, at one moment. */
export interface Ground {
  readonly revocations: Revocations;
  readonly seen: Seen;
  /** Seconds since 1970. */
  readonly now: number;
  readonly skew: number;
}

/**
 * Refuses a link for what can be said of it alone: its time, as nats-io/jwt counts it (`ClaimsData.Validate`), and whether it
 * or the key that signed it is revoked here.
 *
 * A token from the future is refused, too: it would outlive every revocation by time, and of an operator or account make all
 * tokens until then stale.
 *
 * @throws ChainError
 */
export function checkLink(token: LinkToken, { revocations, now, skew }: Ground): void {
  const fail = failing(token);
  if (token.exp !== undefined && now > token.exp + skew) {
    throw fail('expired', 'this token has expired: its issuer must issue it anew');
  }
  if (token.nbf !== undefined && token.nbf > now + skew) {
    throw fail('not_yet_valid', 'this token is not valid yet');
  }
  if (token.iat > now + skew) {
    throw fail(
      'not_yet_valid',
      'this token was issued in the future: the clock here or that of its issuer is wrong',
    );
  }
  if (revocations.tokenRevoked(token.jti)) throw fail('token_revoked', 'this token is revoked');
  if (revocations.keyRevoked(token.key)) throw fail('key_revoked', 'this key is revoked');
  if (revocations.keyRevoked(token.issuer)) {
    throw fail('key_revoked', `the key ${token.issuer}, which signed this token, is revoked`);
  }
}

/** @throws ChainError `stale_token` for a token of an operator or account that is older than one seen before */
export function checkAge(token: LinkToken, { seen }: Ground): void {
  if (seen.isNewest(token)) return;
  throw failing(token)('stale_token', 'a newer token of it was seen before: this one counts no more');
}

export const failing =
  ({ what, key, name }: Pick<LinkToken, 'what' | 'key' | 'name'>) =>
  (code: ChainErrorCode, why: string, options?: ErrorOptions): ChainError =>
    new ChainError(code, linkName(what, key, name), why, options);
