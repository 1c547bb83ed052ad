/**
 * The kinds of fields: what is made of a secret's value. Each takes the name of the secret, without the prefix.
 *
 * @module
 */
import { CofferClientError } from '../errors.js';
import type { Secret } from '../secret/secret.js';
import type { SecretBytes } from '../secret/secret-bytes.js';
import type { Field } from './fields.js';
import type { OutputOf, SchemaIssue, StandardSchema } from './standard-schema.js';

/** The value as text, as it is. */
export function text<Name extends string>(secret: Name): Field<string, Name> {
  return { secret, read: (handle) => handle.reveal() };
}

/** A copy of the value's bytes. */
export function bytes<Name extends string>(secret: Name): Field<SecretBytes, Name> {
  return { secret, read: (handle) => handle.get() };
}

/** The secret's handle, which stays current. The other kinds give what was so when they were filled. */
export function secret<Name extends string>(name: Name): Field<Secret, Name> {
  return { secret: name, read: (handle) => handle };
}

/** A finite number as JSON writes it. An integer must be one that a number holds exactly: ± 2^53 - 1 at most. */
export function number<Name extends string>(secret: Name): Field<number, Name> {
  const read = (handle: Secret) => {
    const value = parseJson(handle, 'a number') as number;
    if (!Number.isFinite(value)) throw unfit('a number');
    if (Number.isInteger(value) && !Number.isSafeInteger(value))
      throw unfit('a number that can be held exactly');
    return value;
  };
  return { secret, read };
}

/** An absolute URL. White space around it does not count. */
export function url<Name extends string>(secret: Name): Field<URL, Name> {
  const read = (handle: Secret) => {
    const value = handle.reveal();
    if (!URL.canParse(value)) throw unfit('a URL');
    return new URL(value);
  };
  return { secret, read };
}

/** What the value says in JSON: of an unknown type, unless a schema validates it. */
export function json<Name extends string>(secret: Name): Field<unknown, Name>;
export function json<Schema extends StandardSchema, Name extends string>(
  secret: Name,
  schema: Schema,
): Field<OutputOf<Schema>, Name>;
export function json(secret: string, schema?: StandardSchema): Field<unknown> {
  return { secret, read: (handle) => (schema ? validate(schema, parseJson(handle)) : parseJson(handle)) };
}

/** What a schema makes of the value's text, or a function of its bytes, which are the function's to keep or to wipe. Both may be async. */
export function parsed<Schema extends StandardSchema, Name extends string>(
  secret: Name,
  schema: Schema,
): Field<OutputOf<Schema>, Name>;
export function parsed<T, Name extends string>(
  secret: Name,
  parse: (value: SecretBytes) => T | Promise<T>,
): Field<T, Name>;
export function parsed(
  secret: string,
  parse: StandardSchema | ((value: SecretBytes) => unknown),
): Field<unknown> {
  // First, for a schema may be a function.
  if ('~standard' in parse) return { secret, read: (handle) => validate(parse, handle.reveal()) };
  return { secret, read: (handle) => parse(handle.get()) };
}

function parseJson(handle: Secret, what = 'JSON'): unknown {
  const value = handle.reveal();
  try {
    return JSON.parse(value);
  } catch {
    // Its own words quote the value.
    throw unfit(what);
  }
}

async function validate(schema: StandardSchema, value: unknown): Promise<unknown> {
  const result = await schema['~standard'].validate(value);
  if (!result.issues) return result.value;
  const places = new Set(result.issues.map(placeOf).filter((place) => place !== ''));
  throw unfit(`what its schema accepts${places.size === 0 ? '' : ` (see ${[...places].join(', ')})`}`);
}

/** Keys come from the value: one that does not look like a word that a program knows is not shown. */
function placeOf({ path = [] }: SchemaIssue): string {
  return path
    .map((step) => String(typeof step === 'object' ? step.key : step))
    .map((key) => (/^([a-z_-]{1,32}|\d{1,3})$/i.test(key) ? key : '…'))
    .join('.');
}

function unfit(what: string): CofferClientError {
  return new CofferClientError('bad_fields', `it is not ${what}`);
}
