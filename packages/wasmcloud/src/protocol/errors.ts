/** Errors of the protocol that carry no text. */
export const PLAIN_ERRORS = [
  'SecretNotFound',
  'InvalidXKey',
  'EncryptionError',
  'DecryptionError',
  'Unauthorized',
  'InvalidRequest',
  'InvalidPayload',
  'InvalidHeaders',
] as const;

/** Errors of the protocol that say more. */
export const TEXT_ERRORS = [
  'InvalidEntityJWT',
  'InvalidHostJWT',
  'UpstreamError',
  'PolicyError',
  'Other',
] as const;

export type SecretsErrorCode = (typeof PLAIN_ERRORS)[number] | (typeof TEXT_ERRORS)[number];

/**
 * An error of the protocol: what a backend answers, and what a host is told.
 *
 * Source: wasmCloud's crate secrets-types (`GetSecretError`), as serde writes it.
 */
export class SecretsError extends Error {
  readonly code: SecretsErrorCode;
  /** Of those that say more; empty of the others. Never a secret, a key or a token. */
  readonly text: string;

  constructor(code: SecretsErrorCode, text = '', options?: ErrorOptions) {
    super(text === '' ? code : `${code}: ${text}`, options);
    this.name = 'SecretsError';
    this.code = code;
    this.text = text;
  }
}
