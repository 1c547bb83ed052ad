import { z } from 'zod';
import { errorSchema, putErrorSchema } from './errors.js';

/**
 * The messages of the protocol, each once for both of its sides: what is read is checked by it, and unknown fields are ignored.
 * Where wasmCloud has an `Option`, a field may be absent or null.
 *
 * Source: wasmCloud's crates secrets-types (`SecretRequest`, `SecretResponse`) and secrets-nats-kv (`PutSecretRequest`,
 * `PutSecretResponse`); the last ones here are coffer's own.
 */

/** No half of a surrogate pair, which is no text to Rust. */
const text = z.string().refine((value) => value.isWellFormed());
const optional = text.nullish();

/** A list of a megabyte's bytes is looked through once, and not as a schema of its own for each of them. */
const bytes = z.custom<readonly number[]>((value) => Array.isArray(value) && value.every(isByte));
const isByte = (value: unknown): boolean =>
  Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 255;

export const secretRequestSchema = z.object({
  key: text,
  field: optional,
  version: optional,
  context: z.object({
    entity_jwt: text,
    host_jwt: text,
    application: z.object({ name: optional, policy: text.default('') }),
  }),
});
export type SecretRequest = z.output<typeof secretRequestSchema>;

export const secretResponseSchema = z.object({
  secret: z.object({ version: text, string_secret: optional, binary_secret: bytes.nullish() }).nullish(),
  error: errorSchema.nullish(),
});
export type SecretResponse = z.output<typeof secretResponseSchema>;

export const putRequestSchema = z.object({
  key: text,
  /** Required, and ignored. */
  version: text,
  string_secret: optional,
  binary_secret: bytes.nullish(),
});

export const putAnswerSchema = z.object({
  revision: z.int().min(0),
  error: putErrorSchema.nullish(),
});

/** Names of secrets; one that stands there twice counts once. */
export const mappingNamesSchema = z.array(text).transform((names) => [...new Set(names)]);

export const getSecretSchema = z.object({ key: text, field: optional, version: optional });
export type GetSecretRequest = z.output<typeof getSecretSchema>;

/** Sealed though it says nothing: only who has the xkey that the answer is for can have sent it. */
export const listMappingsSchema = z.object({});

export const mappingsSchema = z.object({
  mappings: z.array(z.object({ entity: text, account: text.optional(), names: z.array(text) })),
});
/** A refusal instead of mappings. */
export const refusalSchema = z.object({ error: errorSchema });
