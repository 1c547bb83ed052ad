import type { ChainError } from '@coffer/identity';
import type { Logger } from 'pino';
import { Refusal } from '../refusal.js';

type Log = Pick<Logger, 'debug'> | undefined;

/** The chain may be good: what it takes to say so could not be had. */
export const isOurOwn = ({ code }: ChainError): boolean => OUR_OWN.has(code);

export const isRevoked = ({ code }: ChainError): boolean => REVOKED.has(code);

/**
 * What a user is told of a chain that does not hold: as far as it is about the user. Anybody can have a user's key and name an
 * account in its token: that account's name and state are not for them to know.
 */
export function chainRefusal(error: ChainError, log: Log): Refusal {
  const { code, message, link } = error;
  if (isOurOwn(error)) {
    log?.debug({ code, reason: message }, 'an identity cannot be verified');
    const details = { unknownCaller: true, retryAfter: RETRY_SECONDS };
    return new Refusal('busy', 'the server cannot verify your account just now: try again soon', details);
  }
  if (link.startsWith('user ') && code !== 'unknown_issuer') return new Refusal('unauthenticated', message);
  log?.debug({ code, reason: message }, 'an identity is not trusted');
  return new Refusal('unauthenticated', NOT_TRUSTED);
}

const RETRY_SECONDS = 1;

const NOT_TRUSTED =
  'your identity is not trusted here: nobody whom this server trusts vouches for the account that your token names, or for ' +
  'the key that signed it; the server’s log says which, at level debug';

const OUR_OWN: ReadonlySet<string> = new Set<ChainError['code']>(['resolver_failed', 'memory_failed']);

const REVOKED: ReadonlySet<string> = new Set<ChainError['code']>(['revoked', 'token_revoked', 'key_revoked']);
