import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fieldOf } from '../src/wasmcloud/field.js';

const read = (json: string | Uint8Array, field: string) =>
  Buffer.from(fieldOf(Buffer.from(json as string), field)).toString();

describe('an entry of a secret that is a JSON object', () => {
  it.each([
    ['{"a":"x"}', 'x'],
    [' {"b" : 1 , "a" : "x" } \n', 'x'],
    ['{"a":"x\\n\\u00e9\\"\\\\"}', 'x\né"\\'],
    ['{"a":"","b":2}', ''],
    ['{"a": 1.50}', '1.50'],
    ['{"a": 12345678901234567890}', '12345678901234567890'],
    ['{"a": null}', 'null'],
    ['{"a": [ 1, " two ", {"b" : "\\" }"} ]}', '[1," two ",{"b":"\\" }"}]'],
    ['{"a":"first","a":"last"}', 'last'],
    ['{"\\u0061":"escaped"}', 'escaped'],
  ])('of %s is %j', (json, value) => {
    expect(read(json, 'a')).toBe(value);
  });

  it.each(['{}', '{"b":1}', '{"b":{"a":1}}', '{"A":1}'])('is not there in %s', (json) => {
    expect(() => read(json, 'a')).toThrow('SecretNotFound');
  });

  it.each([
    '',
    'text',
    '[{"a":1}]',
    '"a"',
    'null',
    '{"a":1',
    '{"a":1}}',
    '{a:1}',
    "{'a':1}",
    '{"a":01}',
    '{"a":1,}',
  ])('cannot be had of %j, which is no JSON object', (json) => {
    expect(() => read(json, 'a')).toThrow('InvalidRequest');
  });

  it('cannot be had of bytes that are no UTF-8', () => {
    const bytes = Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0xff]), Buffer.from('"}')]);
    expect(() => fieldOf(bytes, 'a')).toThrow('InvalidRequest');
  });

  it('is what JSON.parse finds, in whatever object', () => {
    const object = fc.dictionary(fc.string(), fc.jsonValue(), { minKeys: 1 });
    fc.assert(
      fc.property(object, fc.nat(), fc.constantFrom(undefined, 2), (value, at, space) => {
        const json = JSON.stringify(value, null, space);
        const parsed = JSON.parse(json) as Record<string, unknown>;
        const names = Object.keys(parsed);
        const name = names[at % names.length] as string;
        const wanted = parsed[name];
        const found = read(json, name);
        expect(found).toBe(typeof wanted === 'string' ? wanted.toWellFormed() : JSON.stringify(wanted));
      }),
    );
  });

  it('is a copy, and the secret is left as it is', () => {
    const bytes = Buffer.from('{"a":"x"}');
    fieldOf(bytes, 'a').fill(0);
    expect(bytes.toString()).toBe('{"a":"x"}');
  });
});
