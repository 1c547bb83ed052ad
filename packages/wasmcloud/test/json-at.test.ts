import { describe, expect, test } from 'vitest';
import { jsonAt, membersIn, textOf } from '../src/backend/json-at.js';

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

describe('an entry', () => {
  const texts = [
    '',
    'plain',
    'a"b\\c/d',
    '\n\r\t\b\f\0\u001f',
    '<&>\u2028\u00e9',
    '\u{1F600}\u{10FFFF}',
    '\\u0041',
    'é漢',
  ];

  test.each(texts)('that is the text %j is its bytes', (text) => {
    const escaped = JSON.stringify(text).replace(
      /[^\0-\x7f]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
    );
    for (const json of [JSON.stringify(text), escaped]) {
      expect(Buffer.from(textOf(Buffer.from(json))).toString('utf8')).toBe(text);
    }
  });

  test.each(['1.50', 'null', '{"a":"\\n"}', '[]', 'true'])('that is %s stays as it is written', (json) => {
    expect(Buffer.from(textOf(Buffer.from(json))).toString('utf8')).toBe(json);
  });

  test('is found by its key, however that is written', () => {
    const json = Buffer.from('{"a\\"b":1,"\\u0026":{"x":2},"é":[],"":null}');
    const members = [...(membersIn(json) ?? [])].map(([key, value]) => [key, Buffer.from(value).toString()]);
    expect(members).toEqual([
      ['a"b', '1'],
      ['&', '{"x":2}'],
      ['é', '[]'],
      ['', 'null'],
    ]);
    expect(at(json.toString(), '&')).toBe('{"x":2}');
    expect(at(json.toString(), 'é')).toBe('[]');
    expect(membersIn(Buffer.from('{}'))?.size).toBe(0);
    for (const other of ['[]', '1', '{"a":1', '']) expect(membersIn(Buffer.from(other))).toBeUndefined();
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
