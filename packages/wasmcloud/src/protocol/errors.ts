import { z } from 'zod';

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

  /** As serde writes an enum: its name, or an object of its name and its text. */
  toJSON(): string | Record<string, string> {
    return isTextError(this.code) ? { [this.code]: this.text } : this.code;
  }
}

/** Whether a text names an error of the protocol. */
export const isSecretsErrorCode = (code: string): code is SecretsErrorCode =>
  isTextError(code) || (PLAIN_ERRORS as readonly string[]).includes(code);

const isTextError = (code: string): boolean => (TEXT_ERRORS as readonly string[]).includes(code);

/** An error as it was read. It becomes a `SecretsError` where it is thrown, whose stack then says where that was. */
export interface ToldError {
  readonly code: SecretsErrorCode;
  readonly text: string;
}

export const told = ({ code, text }: ToldError): SecretsError => new SecretsError(code, text);

const plain = z.enum(PLAIN_ERRORS).transform((code): ToldError => ({ code, text: '' }));
const withText = z
  .partialRecord(z.enum(TEXT_ERRORS), z.string())
  .refine((value) => Object.keys(value).length === 1)
  .transform((value): ToldError => {
    const [[code, text]] = Object.entries(value) as [[SecretsErrorCode, string]];
    return { code, text };
  });

/** An error as it stands in an answer. */
export const errorSchema = z.union([plain, withText]);

/** That of `put_secret`, which has an error more; we write `InvalidPayload` there, as secrets-nats-kv does. */
export const putErrorSchema = z.union([
  errorSchema,
  z.literal('NoSecretProvided').transform((): ToldError => ({ code: 'InvalidPayload', text: '' })),
]);

/** Reads an error where it stands as text, as `CODE` or `CODE: text`; any other text is `Other`. */
export function errorFromText(text: string): SecretsError {
  const [code = '', ...rest] = text.split(': ');
  if ((PLAIN_ERRORS as readonly string[]).includes(text)) return new SecretsError(text as SecretsErrorCode);
  if (isTextError(code)) return new SecretsError(code as SecretsErrorCode, rest.join(': '));
  return new SecretsError('Other', text);
}
