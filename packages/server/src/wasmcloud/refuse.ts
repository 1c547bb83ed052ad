import { CofferError, type ErrorCode } from '@coffer/engine';
import { SecretsError } from '@coffer/wasmcloud';
import { OUR_OWN, Refusal } from '../refusal.js';

/** The engine's errors as the protocol's, as far as it has one that says it. */
const CODES: Partial<Record<ErrorCode, ConstructorParameters<typeof SecretsError>[0]>> = {
  not_found: 'SecretNotFound',
  access_denied: 'Unauthorized',
  invalid_name: 'InvalidRequest',
  name_too_long: 'InvalidRequest',
  reserved_name: 'InvalidRequest',
  invalid_version: 'InvalidRequest',
};

/** Sentences that are for the caller: what it did, or what it can do. */
const TOLD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'value_too_large',
  'versions_exhausted',
  'operation_reused',
  'invalid_policy',
  'invalid_argument',
  'policy_changed',
  'conflict',
  'busy',
]);

/**
 * What an error is answered with over NATS. What is ours to answer for stays as it is: the backend says so, and the log has it.
 */
export function asSecretsError(error: unknown): unknown {
  if (error instanceof Refusal) {
    const says = error.code === 'rate_limited' ? `busy: ${error.message}` : error.message;
    return new SecretsError('Other', says, { cause: error });
  }
  if (!(error instanceof CofferError)) return error;
  const code = CODES[error.code];
  if (code !== undefined) return new SecretsError(code, '', { cause: error });
  const own = OUR_OWN[error.code === 'abandoned' ? 'stopped' : error.code];
  const says = own ?? (TOLD.has(error.code) ? error.message : undefined);
  return says === undefined ? error : new SecretsError('Other', says, { cause: error });
}

/** Does something of the engine's, and throws what the protocol has for its errors. */
export async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw asSecretsError(error);
  }
}
