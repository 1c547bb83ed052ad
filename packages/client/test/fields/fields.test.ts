import { inspect } from 'node:util';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { canary, expectNoCanary } from '../../../../test/support/canary.mjs';
import {
  field,
  fields,
  type Secret,
  SecretBytes,
  type StandardSchema,
  StaticSecret,
  type Store,
} from '../../src/index.js';
import { openStore, startBed } from '../store/bed.js';
import { openRotatingStore } from '../store/rotating-store.js';

interface Limits {
  readonly x: string;
  readonly y: boolean;
}

type Issues = Exclude<
  Awaited<ReturnType<StandardSchema['~standard']['validate']>>,
  { value: unknown }
>['issues'];

/** What a library's schema is when the program runs: accepts what `parse` gives a value for. */
function schema<T>(parse: (value: unknown) => T | undefined, issues: Issues = []): StandardSchema<T> {
  const validate = async (value: unknown) => {
    const parsed = parse(value);
    return parsed === undefined ? { issues } : { value: parsed };
  };
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

const limits = schema((value) => {
  const { x, y } = value as Limits;
  return typeof x === 'string' && typeof y === 'boolean' ? { x, y } : undefined;
});

describe('fields', () => {
  test('are filled from the secrets that they declare', async () => {
    const { store, rotate } = await openRotatingStore({
      'test/apple': '1',
      'test/pear': '2',
      'test/plum': '3',
      'test/bin-value': 'kumquat:quince',
      'test/object-value': '{"x":"hello","y":true,"z":0}',
      'test/int-value': '12345',
      'test/float-value': '-1.5e-3\n',
      'test/url-value': 'https://user@example.com/x\n',
      'test/upper-value': 'loud',
    });
    const wanted = fields(
      {
        a: field.text('apple'),
        p: field.bytes('pear'),
        l: field.secret('plum'),
        b: field.parsed('bin-value', (value) => value.reveal().split(':')),
        j: field.json('object-value', limits),
        raw: field.json('object-value'),
        z: field.number('int-value'),
        f: field.number('float-value'),
        u: field.url('url-value'),
        up: field.parsed(
          'upper-value',
          schema((value) => (value as string).toUpperCase()),
        ),
      },
      { prefix: 'test' },
    );
    expect(wanted.secrets).toEqual([
      'test/apple',
      'test/pear',
      'test/plum',
      'test/bin-value',
      'test/object-value',
      'test/object-value',
      'test/int-value',
      'test/float-value',
      'test/url-value',
      'test/upper-value',
    ]);

    const config = await wanted.from(store);
    const { a, p, l, b, j, raw, z, f, u, up } = config;
    expect([a, p.reveal(), l.reveal(), b, z, f, up]).toEqual([
      '1',
      '2',
      '3',
      ['kumquat', 'quince'],
      12345,
      -0.0015,
      'LOUD',
    ]);
    expect(j).toEqual({ x: 'hello', y: true });
    expect(raw).toEqual({ x: 'hello', y: true, z: 0 });
    expect(u.href).toBe('https://user@example.com/x');

    await rotate('test/plum', '4');
    expect([config.l.reveal(), config.a]).toEqual(['4', '1']);
  });

  test('have types that follow from their kinds, and literal names', async () => {
    const wanted = fields(
      {
        text: field.text('a'),
        bytes: field.bytes('b'),
        secret: field.secret('c'),
        number: field.number('d'),
        url: field.url('e'),
        json: field.json('f'),
        valid: field.json('g', limits),
        made: field.parsed('h', async (value) => value.length),
        checked: field.parsed('i', limits),
      },
      { prefix: 'prod' },
    );
    expectTypeOf(wanted.from).returns.resolves.toEqualTypeOf<{
      readonly text: string;
      readonly bytes: SecretBytes;
      readonly secret: Secret;
      readonly number: number;
      readonly url: URL;
      readonly json: unknown;
      readonly valid: { x: string; y: boolean };
      readonly made: number;
      readonly checked: { x: string; y: boolean };
    }>();
    type Letters = 'a' | 'b' | 'c' | 'd' | 'e' | 'f' | 'g' | 'h' | 'i';
    expectTypeOf(wanted.secrets).toEqualTypeOf<readonly `prod/${Letters}`[]>();
    expectTypeOf(fields({ x: field.text('a') }).secrets).toEqualTypeOf<readonly 'a'[]>();
    expectTypeOf(fields({ x: field.text('a') }, { prefix: 'p/' }).secrets).toEqualTypeOf<readonly 'p/a'[]>();
    expectTypeOf(fields({ x: field.text('a') }, { prefix: String() }).secrets).toEqualTypeOf<
      readonly `${string}/a`[]
    >();
    const change = (config: Awaited<ReturnType<typeof wanted.from>>) => {
      // @ts-expect-error what it gives is read-only
      config.text = 'x';
    };
    expectTypeOf(change).toBeFunction();
  });

  test('are declared to a store along with its secrets, by their literal names', async () => {
    const { client } = await startBed({ a: '1', 'p/b': '2', 'q/c': '3' });
    const some = fields({ b: field.number('b') }, { prefix: 'p' });
    const more = fields({ c: field.text('c') }, { prefix: 'q' });
    const { store } = await openStore({ client, secrets: ['a'], fields: [some, more], watch: false });
    expectTypeOf(store).toEqualTypeOf<Store<'a' | 'p/b' | 'q/c'>>();
    expectTypeOf(store.secret('p/b')).toEqualTypeOf<Secret>();
    expect([(await some.from(store)).b, (await more.from(store)).c]).toEqual([2, '3']);
    const wrong = fields({ c: field.text('a') }, { prefix: 'q' }).from(store);
    await expect(wrong).rejects.toThrow('"q/a" was not declared');
    const one = await openStore({ client, fields: some, watch: false });
    expectTypeOf(one.store).toEqualTypeOf<Store<'p/b'>>();
  });

  test.each([
    ['', 'name'],
    ['prod', 'prod/name'],
    ['prod/', 'prod/name'],
    ['prod/billing', 'prod/billing/name'],
  ])('with the prefix %j are filled from %s', (prefix, whole) => {
    expect(fields({ x: field.text('name') }, { prefix }).secrets).toEqual([whole]);
  });

  test('must be declared rightly', () => {
    const invalid = expect.objectContaining({ code: 'invalid_argument' });
    expect(() => fields({})).toThrow(invalid);
    expect(() => fields({ x: field.text('') })).toThrow(invalid);
    for (const wrong of [1.5, 'name', {}]) expect(() => fields({ x: wrong } as never)).toThrow(invalid);
  });
});

describe('fields that cannot be filled', () => {
  test('are told of together, with the reason of each and no value', async () => {
    const deep = [{ message: canary('message'), path: ['limits', { key: 0 }, canary('key')] }];
    const { store } = await openRotatingStore({
      'p/good': 'x',
      'p/json': canary('json'),
      'p/schema': JSON.stringify(canary('schema')),
      'p/number': canary('number'),
      'p/empty': '',
      'p/large': '9007199254740993',
      'p/huge': '1e999',
      'p/url': canary('url'),
      'p/made': canary('made'),
      'p/throws': `"${canary('throws')}"`,
    });
    const throws = (value: unknown): never => {
      throw new TypeError(`cannot parse ${value}`);
    };
    const wanted = fields(
      {
        good: field.text('good'),
        missing: field.text('missing'),
        json: field.json('json'),
        schema: field.json(
          'schema',
          schema(() => undefined, [...deep, ...deep, { message: 'x' }, { message: 'x', path: ['name'] }]),
        ),
        plain: field.parsed(
          'json',
          schema(() => undefined),
        ),
        number: field.number('number'),
        empty: field.number('empty'),
        large: field.number('large'),
        huge: field.number('huge'),
        url: field.url('url'),
        made: field.parsed('made', (value) => JSON.parse(value.reveal())),
        throws: field.json('throws', schema(throws)),
      },
      { prefix: 'p' },
    );
    const error = await wanted.from(store).catch((error) => error);
    expect(error).toMatchObject({ code: 'bad_fields' });
    expect(error.cause).toBeUndefined();
    expect(error.thrown.errors).toHaveLength(11);
    expect(
      error.message.split('\n').map((line: string) => line.replace(/(p\/missing"\)): .*/, '$1')),
    ).toEqual([
      '11 of 12 fields cannot be filled',
      '- missing (secret "p/missing")',
      '- json (secret "p/json"): it is not JSON',
      '- schema (secret "p/schema"): it is not what its schema accepts (see limits.0.…, name)',
      '- plain (secret "p/json"): it is not what its schema accepts',
      '- number (secret "p/number"): it is not a number',
      '- empty (secret "p/empty"): it is not a number',
      '- large (secret "p/large"): it is not a number that can be held exactly',
      '- huge (secret "p/huge"): it is not a number',
      '- url (secret "p/url"): it is not a URL',
      '- made (secret "p/made"): what parses it throws',
      '- throws (secret "p/throws"): what parses it throws',
    ]);
    expectNoCanary(inspect(error, { depth: 9, showHidden: true }), 'the error');
  });

  test('because the call was ended reject with the signal’s reason', async () => {
    const { store } = await openRotatingStore({ a: '1' });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(fields({ a: field.text('a') }).from(store, { signal })).rejects.toThrow('enough');
  });

  test('because they are no text say so', async () => {
    const store = { lookup: async () => new StaticSecret(Uint8Array.of(0xff), 'a') };
    await expect(fields({ a: field.text('a') }).from(store)).rejects.toThrow('not UTF-8');
  });
});

describe('what fields give', async () => {
  const store = { lookup: async (name: string) => new StaticSecret(canary(name), name) };
  const config = await fields({
    password: field.text('a'),
    key: field.bytes('b'),
    token: field.secret('c'),
    made: field.parsed('d', (value) => ({ deep: value.reveal() })),
    toJSON: field.text('e'),
    ['__proto__']: field.text('f'),
  }).from(store);

  test.each([
    ['inspect', inspect(config)],
    ['inspect within another', inspect({ a: { config } }, { depth: 9 })],
    ['inspect of all', inspect(config, { showHidden: true, showProxy: true, depth: 9 })],
    ['console.dir', inspect(config, { customInspect: false })],
    ['console.dir of all', inspect(config, { customInspect: false, showHidden: true, depth: 9 })],
    ['JSON', JSON.stringify({ config })],
    ['a copy', inspect({ ...config }, { showHidden: true, depth: 9 })],
    ['Object.assign', JSON.stringify(Object.assign({}, config))],
    ['Object.entries', inspect(Object.entries(config))],
    ['a clone', inspect(structuredClone(config), { depth: 9 })],
    ['a template', `${config}`],
  ])('does not show its values by %s', (_, shown) => {
    expectNoCanary(shown, 'what is shown');
  });

  test('shows the names of its fields', async () => {
    const shown = await fields({ password: field.text('a'), key: field.bytes('b') }).from(store);
    expect(inspect(shown)).toBe("{ password: '[redacted]', key: '[redacted]' }");
    expect(JSON.stringify(shown)).toBe('{"password":"[redacted]","key":"[redacted]"}');
  });

  test('is read by the names of its fields, and not to be changed', () => {
    expect(config.password).toBe(canary('a'));
    expect('password' in config).toBe(true);
    expect(config.key).toBeInstanceOf(SecretBytes);
    // biome-ignore lint/suspicious/noProto: a name like another
    expect(config.__proto__).toBe(canary('f'));
    expect(() => Object.assign(config, { password: 'x' })).toThrow(TypeError);
    expect(() => Object.assign(config, { other: 'x' })).toThrow(TypeError);
  });
});
