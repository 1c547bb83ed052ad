import { z } from 'zod';
import { SecretsError } from '../protocol/errors.js';
import { readJson } from '../protocol/json.js';

/** What hosts write; wadm's own type of a policy stands in its manifests only. */
const TYPE = 'properties.secret.wasmcloud.dev/v1alpha1';
const LIMIT_BYTES = 64 * 1024;

const schema = z.object({
  type: z.literal(TYPE),
  properties: z.record(z.string(), z.unknown()).nullish(),
});

/**
 * What a manifest's policy says to its backend: of an application's `policy`, JSON in a string, the properties. An empty policy
 * has none.
 *
 * Source of the format: wasmCloud's crate secrets-types (`SecretPolicy`).
 *
 * @throws SecretsError `PolicyError`
 */
export function propertiesOf(policy: string, limitBytes = LIMIT_BYTES): Readonly<Record<string, unknown>> {
  if (policy === '') return {};
  if (Buffer.byteLength(policy) > limitBytes) {
    throw new SecretsError('PolicyError', `the policy is longer than ${limitBytes} bytes`);
  }
  const read = readJson(schema, Buffer.from(policy));
  if (read !== undefined) return read.properties ?? {};
  throw new SecretsError('PolicyError', `the policy is not {"type":"${TYPE}","properties":{…}}`);
}

/**
 * A property that is text, under any of its spellings.
 *
 * @returns undefined where it is not there, or null
 * @throws SecretsError `PolicyError` where it is no text, empty, or stands there twice with different values
 */
export function textProperty(
  properties: Readonly<Record<string, unknown>>,
  ...names: readonly string[]
): string | undefined {
  const given = names.filter((name) => Object.hasOwn(properties, name) && properties[name] !== null);
  const [value, ...others] = given.map((name) => properties[name]);
  if (value === undefined) return undefined;
  if (others.some((other) => other !== value)) {
    throw new SecretsError('PolicyError', `${given.join(' and ')} are one property: give it once`);
  }
  if (typeof value === 'string' && value !== '') return value;
  throw new SecretsError('PolicyError', `${given[0]} in the policy must be a text that is not empty`);
}
