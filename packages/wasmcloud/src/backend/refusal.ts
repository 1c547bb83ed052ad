import { ChainError, type ChainErrorCode, IdentityError } from '@coffer/identity';
import { SecretsError } from '../protocol/errors.js';
import { SourceReason } from './source-reason.js';

/** Whoever asks again later may be answered. */
export const BUSY = new SecretsError('Other', 'busy');

/** What is said to whoever shows a token that is refused. The log says more: `reasonOf`. */
const SENTENCES: Partial<Record<ChainErrorCode, string>> = {
  unknown_issuer: 'no trusted account has signed this token',
  signing_key_removed: 'the key that signed this token is no signing key of its account any more',
  expired: 'this token has expired: sign it anew',
  not_yet_valid: 'this token is not valid yet, or one of the clocks is wrong',
  revoked: 'this token is revoked',
  token_revoked: 'this token is revoked',
  key_revoked: 'this token is revoked',
  untrusted_host: 'this host is none of those that are believed here',
  resolver_failed: 'whose token this is cannot be found out at the moment: try again',
  memory_failed: 'whose token this is cannot be found out at the moment: try again',
};
const OTHERWISE = 'the account behind this token does not allow it';

const WANTED = {
  InvalidEntityJWT: 'this is not the token of a component or a provider',
  InvalidHostJWT: 'this is not the token of a host',
} as const;

/**
 * The protocol's error for a token that does not hold. It says nothing of accounts to a stranger, whose token none of them
 * signed.
 */
export function refusal(code: keyof typeof WANTED, error: unknown): unknown {
  if (!(error instanceof IdentityError)) return error;
  return new SecretsError(code, sentence(code, error), { cause: error });
}

function sentence(code: keyof typeof WANTED, error: IdentityError<string>): string {
  if (error.code === 'wrong_token_kind') return WANTED[code];
  if (error instanceof ChainError) return SENTENCES[error.code] ?? OTHERWISE;
  return error.message;
}

/** Whatever a token says of itself, a line of the log stays one. */
const REASON_LENGTH = 512;

/** Why a token was refused, or a source refuses, for those who run the service. */
export function reasonOf(error: SecretsError): string | undefined {
  if (error.cause instanceof IdentityError || error.cause instanceof SourceReason) {
    return error.cause.message.slice(0, REASON_LENGTH).toWellFormed();
  }
  return Object.hasOwn(WANTED, error.code) ? error.message : undefined;
}
