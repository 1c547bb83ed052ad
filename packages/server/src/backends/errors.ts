import { CofferError } from '@coffer/engine';
import { isSecretsErrorCode, SecretsError } from '@coffer/wasmcloud';

/** Of what a source says, so much is handed on. */
const TEXT_LENGTH = 1_024;

/**
 * What a host is told of an error of a source. One with a `code` of the protocol says what it wants told, whatever its class: a
 * module may have a `SecretsError` of its own, or none. Anything else stays as it is, and the host is told `Other`.
 */
export function asToldError(error: unknown): unknown {
  if (error instanceof SecretsError) return error;
  const { code, text, message } = (error ?? {}) as { code?: unknown; text?: unknown; message?: unknown };
  if (typeof code !== 'string' || !isSecretsErrorCode(code)) return error;
  const says = [text, message].find((one) => typeof one === 'string' && one !== '') ?? '';
  const told = String(says).slice(0, TEXT_LENGTH).toWellFormed();
  return new SecretsError(code, told, { cause: error });
}

/** What the audit log says of why a secret could not be fetched. */
export const auditCodeOf = (error: unknown): string =>
  error instanceof SecretsError || error instanceof CofferError ? error.code : 'Other';
