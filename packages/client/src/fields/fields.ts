import { CofferClientError, invalid } from '../errors.js';
import type { Secret } from '../secret/secret.js';
import type { Declares } from '../store/options.js';
import type { SecretSource } from '../store/secret-source.js';
import type { CallOptions } from '../types.js';
import { FilledFields } from './filled-fields.js';

/** Which secret a field is filled from, and how. Made by `field.text` and its like. */
export interface Field<T, Name extends string = string> {
  /** Its name, without the prefix. */
  readonly secret: Name;
  /** Of what it throws, only the message of a {@link CofferClientError} is shown. */
  readonly read: (secret: Secret) => T | Promise<T>;
}

/** What {@link Fields.from} gives. */
export type FieldValues<Declared> = {
  readonly [Key in keyof Declared]: Declared[Key] extends Field<infer T> ? T : never;
};

/** The whole name of a secret: with the prefix and one slash before it. */
export type Prefixed<Prefix extends string, Name extends string> = Prefix extends ''
  ? Name
  : Prefix extends `${string}/`
    ? `${Prefix}${Name}`
    : `${Prefix}/${Name}`;

/** Fields to be filled from secrets, whose whole names are `secrets`: for a store's option `fields`. Made by {@link fields}. */
export interface Fields<Declared extends Record<string, Field<unknown>>, Prefix extends string = ''>
  extends Declares<Prefixed<Prefix, Declared[keyof Declared]['secret']>> {
  /**
   * Fills them. What it gives shows the names of the fields and no value to `console.log`, `JSON.stringify` and what copies properties
   * (`{ ...config }` is empty): read each field by its name.
   *
   * @param store must hold the secrets, or allow to look them up
   * @throws CofferClientError `bad_fields`, which tells of every field that cannot be filled; what each met is in the `errors` of its
   *   {@link CofferClientError.thrown}
   */
  from(store: Pick<SecretSource, 'lookup'>, options?: CallOptions): Promise<FieldValues<Declared>>;
}

/**
 * Declares an object that is filled from secrets.
 *
 * ```ts
 * const wanted = fields({ password: field.text('db/password'), limits: field.json('limits', schema) }, { prefix: 'prod/billing' });
 * const store = await Store.open({ client, fields: wanted });
 * const { password, limits } = await wanted.from(store);
 * ```
 *
 * @param options.prefix stands before each name, with a slash between
 * @throws CofferClientError `invalid_argument` for no fields, and for what `field` did not make
 */
export function fields<
  const Declared extends Record<string, Field<unknown>>,
  const Prefix extends string = '',
>(declared: Declared, options: { readonly prefix?: Prefix | undefined } = {}): Fields<Declared, Prefix> {
  const prefix = options.prefix?.replace(/[^/]$/, '$&/') ?? '';
  const wanted = Object.entries(declared).map(([key, { secret, read }]) => {
    if (secret && typeof read === 'function') return { key, name: prefix + secret, read };
    throw invalid(`what field "${key}" is filled from was not declared`);
  });
  if (wanted.length === 0) throw invalid('there are no fields');

  return {
    secrets: wanted.map(({ name }) => name as Prefixed<Prefix, Declared[keyof Declared]['secret']>),
    async from(store, callOptions = {}) {
      const filled = await Promise.all(
        wanted.map(async ({ key, name, read }) => {
          try {
            return { key, value: await read(await store.lookup(name, callOptions)) };
          } catch (error) {
            callOptions.signal?.throwIfAborted();
            const why = error instanceof CofferClientError ? error.message : 'what parses it throws';
            return { key, problem: `${key} (secret "${name}"): ${why}`, error };
          }
        }),
      );
      const problems = filled.flatMap(({ problem }) => problem ?? []);
      if (problems.length === 0)
        return new FilledFields(filled.map(({ key, value }) => [key, value])) as never;
      const count = `${problems.length} of ${filled.length} fields cannot be filled`;
      const thrown = new AggregateError(filled.flatMap(({ error }) => error ?? []));
      throw new CofferClientError('bad_fields', [count, ...problems].join('\n- '), { thrown });
    },
  };
}
