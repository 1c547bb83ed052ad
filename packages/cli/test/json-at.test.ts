import { describe, expect, test } from 'vitest';
import { jsonAt } from '../src/transfer/vault/json-at.js';

const at = (json: string, ...path: string[]): string | undefined => {
  const found = jsonAt(Buffer.from(json), path);
  return found && Buffer.from(found).toString('utf8');
};

describe('what stands in JSON at a path', () => {
  test.each([
    ['{"a":{"b":{"c":1}}}', ['a', 'b'], '{"c":1}'],
    ['{"x":{"data":1},"data":{"data":2}}', ['data', 'data'], '2'],
    [' { "a" : [ 1 , { "b" : "c d" } ] , "z":null } ', ['a'], '[1,{"b":"c d"}]'],
    ['{"a":"}],:{[","b":true}', ['b'], 'true'],
    ['{"a\\"b":1,"a":"\\\\","b":2}', ['b'], '2'],
    ['{"n":12345678901234567890.10}', ['n'], '12345678901234567890.10'],
    ['[]', [], '[]'],
  ])('in %s', (json, path, found) => {
    expect(at(json, ...path)).toBe(found);
  });

  test('is there with what Go escapes for browsers as it was, and no other escape changed', () => {
    const go = '{"a":"\\u003cb\\u003E\\u0026 \\\\u003c \\\\\\u003c \\u2028 \\u00e9 \\n"}';
    expect(at(go, 'a')).toBe('"<b>& \\\\u003c \\\\< \\u2028 \\u00e9 \\n"');
    expect(JSON.parse(at(go) ?? '')).toEqual(JSON.parse(go));
  });

  test.each([
    '',
    '{',
    '{"a"',
    '{"a":',
    '{"a":}',
    '{"a":"',
    '{"a":[1}',
    '{"b":1}',
    '1',
    '"a"',
    '{"a":,}',
    '{"a":"\\',
  ])('is nothing in %j', (json) => {
    const found = at(json, 'a');
    expect(found === undefined || !isJson(found)).toBe(true);
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
