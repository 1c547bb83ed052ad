import { describe, expect, test, vi } from 'vitest';
import { canary, findCanary } from '../../../../test/support/canary.mjs';
import { type CachedSecret, decodeCache, encodeCache } from '../../src/cache/content.js';
import { SecretBytes } from '../../src/secret/secret-bytes.js';

const utf8 = (text: string) => new TextEncoder().encode(text);
const secretOf = (text: string) => SecretBytes.copyOf(utf8(text));
const base64 = (text: string) => Buffer.from(text).toString('base64');
const alpha = (entry: string) => utf8(`{"alpha":${entry}}`);
const decoded = (entry: string) => decodeCache(alpha(entry)).get('alpha');
const bad = expect.objectContaining({ code: 'bad_cache' });

describe('the content of a cache', () => {
  test('is written as setec writes it', () => {
    const secret = { version: 1, value: secretOf('foobar') };
    const entry: CachedSecret = { secret, versions: new Map(), lastAccess: 0 };
    expect(encodeCache(new Map([['alpha', entry]])).toString()).toBe(
      '{"alpha":{"secret":{"Value":"Zm9vYmFy","Version":1},"lastAccess":"0"}}',
    );
  });

  test('comes back as it was, whatever the names and values are', () => {
    const whole = new Map<string, CachedSecret>();
    for (const [at, name] of ['prod/db', '__proto__', '7', 'constructor', '"\n', 'ünï 😀'].entries()) {
      const value = SecretBytes.from([at, 0, 255, 128]) as SecretBytes;
      const versions = new Map([
        [4294967295, SecretBytes.copyOf(value)],
        [at + 1, new SecretBytes()],
      ]);
      whole.set(name, { secret: { version: at + 1, value }, versions, lastAccess: 1, checkedAt: 2 });
    }
    whole.set('by number only', { versions: new Map([[3, secretOf('x')]]), lastAccess: 0 });
    expect(decodeCache(encodeCache(whole))).toEqual(whole);
  });

  test('holds values in memory of their own, which do not show themselves', () => {
    const { value } = decoded(`{"secret":{"Value":"${base64(canary('value'))}","Version":3}}`)?.secret ?? {};
    expect(value?.reveal()).toBe(canary('value'));
    expect(value?.buffer.byteLength).toBe(value?.length);
    expect(findCanary(JSON.stringify({ value }))).toBeUndefined();
  });

  test.each([
    ['times that are null', '{"secret":{"Value":"eA==","Version":2},"lastAccess":null,"checkedAt":null}'],
    ['times that are absent', '{"secret":{"Value":"eA==","Version":2}}'],
    ['fields of any case', '{"SECRET":{"value":"eA==","vERSION":2},"LastAccess":"0"}'],
    [
      'fields that it does not know',
      '{"secret":{"Value":"eA==","Version":2,"x":[1]},"lastAccess":"0","y":{}}',
    ],
    ['base64 in lines', '{"secret":{"Value":"eA\\n==\\r\\n","Version":2},"lastAccess":"0","versions":null}'],
    ['the last of two entries', '{"secret":null},"alpha":{"secret":{"Value":"eA==","Version":2}}'],
  ])('is read with %s', (_, entry) => {
    const secret = { version: 2, value: secretOf('x') };
    expect(decoded(entry)).toEqual({ secret, versions: new Map(), lastAccess: 0 });
  });

  test('may be nothing', () => {
    expect(decodeCache(utf8(''))).toEqual(new Map());
    expect(decodeCache(utf8('{}'))).toEqual(new Map());
    expect(decodeCache(utf8('null'))).toEqual(new Map());
  });

  test('may have an empty value', () => {
    expect(decoded('{"secret":{"Value":"","Version":1}}')?.secret?.value).toEqual(new SecretBytes());
    expect(decoded('{"secret":{"Value":null,"Version":1}}')?.secret?.value).toEqual(new SecretBytes());
  });

  const good = '"beta":{"secret":{"Value":"eA==","Version":1},"lastAccess":"0"}';
  const value = base64(canary('value'));
  test.each([
    ['text that is no JSON', `{"bad":JSON*#$&(@ ${canary('value')}`],
    ['text that is cut', `{${good.slice(0, -1)}`],
    ['bytes that are no text', Uint8Array.of(0x22, 0xff, 0x22)],
    ['a list', `[{${good}}]`],
    ['a text', JSON.stringify(canary('value'))],
    ['an entry that is null', `{${good},"alpha":null}`],
    ['an entry that is a text', `{${good},"alpha":"${value}"}`],
    ['an entry without a name', `{${good},"":{"secret":{"Value":"${value}","Version":1}}}`],
    ['an entry without a secret', `{${good},"alpha":{"Value":"${value}","Version":100}}`],
    ['a secret that is null', `{${good},"alpha":{"secret":null,"lastAccess":"1"}}`],
    ['a secret that is a list', `{${good},"alpha":{"secret":["${value}"]}}`],
    ['a secret without a value', `{${good},"alpha":{"secret":{"Version":1}}}`],
    ['a secret without a version', `{${good},"alpha":{"secret":{"Value":"${value}"}}}`],
    ['a version of 0', `{${good},"alpha":{"secret":{"Value":"${value}","Version":0}}}`],
    ['a version below 0', `{${good},"alpha":{"secret":{"Value":"${value}","Version":-1}}}`],
    ['a version with a fraction', `{${good},"alpha":{"secret":{"Value":"${value}","Version":1.5}}}`],
    ['a version too large', `{${good},"alpha":{"secret":{"Value":"${value}","Version":4294967296}}}`],
    ['a version that is a text', `{${good},"alpha":{"secret":{"Value":"${value}","Version":"1"}}}`],
    ['a value that is no base64', `{${good},"alpha":{"secret":{"Value":"${canary('value')}!","Version":1}}}`],
    ['a value without its padding', `{${good},"alpha":{"secret":{"Value":"eA","Version":1}}}`],
    ['a value that is a number', `{${good},"alpha":{"secret":{"Value":7,"Version":1}}}`],
    [
      'a time that is a number',
      `{${good},"alpha":{"secret":{"Value":"${value}","Version":1},"lastAccess":1}}`,
    ],
    ['a time that is none', `{${good},"alpha":{"secret":{"Value":"${value}","Version":1},"lastAccess":"x"}}`],
    ['versions without numbers', `{${good},"alpha":{"secret":null,"versions":{"one":"${value}"}}}`],
    ['versions that are a list', `{${good},"alpha":{"secret":null,"versions":["${value}"]}}`],
  ])('is void with %s, and the error holds nothing of it', (_, content) => {
    let error: unknown;
    try {
      decodeCache(typeof content === 'string' ? utf8(content) : content);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toEqual(bad);
    expect(findCanary(`${(error as Error).stack} ${(error as Error).cause}`)).toBeUndefined();
  });
});

describe('a file of secrets', () => {
  test('may have text in place of base64, and skips what is no secret', () => {
    const secrets = decodeCache(
      utf8(`{
        "big/bad/apple": {"secret": {"Version": 1, "Value": "c2F1Y2U="}},
        "pear": {"unrelated": true},
        "plum": {"secret": {"Version": 2, "TextValue": "tartlet"}},
        "both": {"secret": {"Version": 3, "TextValue": "text", "Value": "c2F1Y2U="}},
        "empty text": {"secret": {"Version": 4, "TextValue": "", "Value": "c2F1Y2U="}},
        "": {"secret": {"Version": 10, "Value": "dW5zZWVu"}},
        "durian": {"secret": {"Version": 0, "Value": "dW5zZWVu"}},
        "empty": {"secret": {"Version": 1, "Value": "", "TextValue": null}},
        "null": null
      }`),
      true,
    );
    expect([...secrets].map(([name, { secret }]) => [name, secret?.value.reveal(), secret?.version])).toEqual(
      [
        ['big/bad/apple', 'sauce', 1],
        ['plum', 'tartlet', 2],
        ['both', 'text', 3],
        ['empty text', 'sauce', 4],
      ],
    );
  });

  test('is refused as a whole where something is not of its type, or nothing is in it', () => {
    const refused = expect.objectContaining({ code: 'bad_file' });
    expect(() => decodeCache(alpha('{"secret":{"Version":1,"TextValue":7}}'), true)).toThrow(refused);
    expect(() => decodeCache(alpha('{"secret":"x"}'), true)).toThrow(refused);
    expect(() => decodeCache(utf8(''), true)).toThrow(refused);
  });
});

test('nothing that was decoded stays when the whole is refused', () => {
  const wipe = vi.spyOn(SecretBytes.prototype, 'wipe');
  const good = '{"secret":{"Value":"Zm9vYmFy","Version":1},"versions":{"2":"Zm9v"},"lastAccess":"1"}';
  expect(() => decodeCache(Buffer.from(`{"a":${good},"b":null}`))).toThrow('malformed');
  expect(wipe.mock.contexts.map((bytes) => [...(bytes as SecretBytes)])).toEqual([
    [0, 0, 0, 0, 0, 0],
    [0, 0, 0],
  ]);
  wipe.mockRestore();
});
