import type { JsonSchema } from './json-schema.js';

/** What the zero of a field's type must pass for the field to be left out. */
interface Bounds {
  readonly minLength?: number;
  readonly minimum?: number;
}

/**
 * The schema of a body that Go's encoding/json reads, from that of the fields as they are after reading: names of fields
 * match in any case, a field that is absent or null has its type's zero, unknown fields are let pass.
 *
 * What JSON Schema cannot say stands in the description: that the last of two spellings of a field wins.
 */
export function goBody(fields: JsonSchema, resolve: (schema: JsonSchema) => JsonSchema): JsonSchema {
  const properties = Object.entries((fields.properties ?? {}) as Record<string, JsonSchema>);
  const required = properties.filter(([, schema]) => refusesZero(resolve(schema))).map(([name]) => name);
  const told = properties.map(([name, schema]): [string, JsonSchema] => [
    name,
    required.includes(name) ? schema : orNull(schema),
  ]);
  return {
    type: required.length > 0 ? 'object' : ['object', 'null'],
    properties: Object.fromEntries(told),
    patternProperties: Object.fromEntries(told.map(([name, schema]) => [anyCase(name), schema])),
    ...(required.length > 0 ? { allOf: required.map(isThere) } : {}),
  };
}

const refusesZero = ({ minLength = 0, minimum = 0 }: Bounds): boolean => minLength > 0 || minimum > 0;

/** Says so for what has one type; a schema with alternatives has null among them. */
function orNull(schema: JsonSchema): JsonSchema {
  return typeof schema.type === 'string' ? { ...schema, type: [schema.type, 'null'] } : schema;
}

/** As the field is written, which is what tools generate; else in some other case: not every name is none of it. */
function isThere(name: string): JsonSchema {
  return { anyOf: [{ required: [name] }, { not: { propertyNames: { not: { pattern: anyCase(name) } } } }] };
}

/** Go folds ſ to an s; the other letter that folds to ASCII, the Kelvin sign, is in no field's name. */
function anyCase(name: string): string {
  const letters = [...name].map((letter) => {
    const lower = letter.toLowerCase();
    return `[${lower}${lower.toUpperCase()}${lower === 's' ? 'ſ' : ''}]`;
  });
  return `^${letters.join('')}$`;
}
