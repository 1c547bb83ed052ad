import { z } from 'zod';

export type JsonSchema = { [key: string]: unknown };

/** Collects what schemas have named, for `components.schemas`. */
export class SchemaBook {
  readonly #named = new Map<string, JsonSchema>();

  /** The schema of what is read (`input`) or answered (`output`), with references to what has a name of its own. */
  add(schema: z.ZodType, io: 'input' | 'output'): JsonSchema {
    // What JSON has no type for stands in the schema's meta.
    const whole = z.toJSONSchema(schema, { io, unrepresentable: 'any' });
    const { $defs = {}, $schema: _, ...root } = referToComponents(whole);
    for (const [name, named] of Object.entries($defs as Record<string, JsonSchema>)) this.#keep(name, named);
    return root;
  }

  /** What a reference to a named schema stands for; any other schema as it is. */
  resolve(schema: JsonSchema): JsonSchema {
    const { $ref, ...beside } = schema;
    if (typeof $ref !== 'string') return schema;
    return { ...this.#named.get($ref.slice('#/components/schemas/'.length)), ...beside };
  }

  get components(): Record<string, JsonSchema> {
    return Object.fromEntries(this.#named);
  }

  #keep(name: string, schema: JsonSchema): void {
    const known = this.#named.get(name);
    if (known !== undefined && JSON.stringify(known) !== JSON.stringify(schema)) {
      throw new Error(`two different schemas have the id ${name}: rename one`);
    }
    this.#named.set(name, schema);
  }
}

function referToComponents(schema: object): JsonSchema {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/$defs/', '"#/components/schemas/'));
}
