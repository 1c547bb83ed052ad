import { copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CachedSecret, decodeCache } from '../../packages/client/src/cache/content.js';
import { Client, FileCache, FileClient, SecretBytes, Store } from '../../packages/client/src/index.js';
import { canary } from '../support/canary.mjs';
import { SetecServer } from '../support/servers.mjs';
import { base64, SetecClient } from './setec-client.js';

/** No server is there: what comes, comes from files. */
const NOWHERE = 'http://127.0.0.1:1';

let folder: string;
let go: SetecClient;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'coffer-files-'));
  go = new SetecClient(NOWHERE);
});
afterAll(async () => {
  await go[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

const bytes = (content: string | Uint8Array) => SecretBytes.copyOf(Buffer.from(content));

describe("setec's Go library", () => {
  const values = { text: canary('text'), 'a/"quoted"\\<name>& 😀': 'ünï\u2028\n', constructor: '-' };
  let path: string;
  beforeAll(async () => {
    path = join(folder, 'ours', 'cache.json');
    const file = join(folder, 'secrets.json');
    const entries = Object.entries(values).map(([name, value], at) => [
      name,
      { secret: { TextValue: value, Version: at + 1 } },
    ]);
    await writeFile(file, JSON.stringify(Object.fromEntries(entries)));
    await using _store = await Store.open({
      client: await FileClient.open(file),
      secrets: Object.keys(values),
      cache: new FileCache(path),
    });
  });

  test('reads the cache of our store as a file of secrets', async () => {
    expect(await go.call('file', '', { file: path })).toEqual({});
    for (const [at, [name, value]] of Object.entries(values).entries())
      expect(await go.call('file-get', name)).toEqual({ value: { Value: base64(value), Version: at + 1 } });
  });

  test('starts a store from the cache of ours, without a server', async () => {
    expect(await go.call('store', '', { names: Object.keys(values), cache: path })).toEqual({});
    for (const [name, value] of Object.entries(values))
      expect(await go.call('store-get', name)).toEqual({ bytes: base64(value) });
  });

  test('has values of any bytes, and versions by number, from the cache of our store', async () => {
    const bytewise = join(folder, 'bytes', 'cache.json');
    const value = bytes(Uint8Array.from({ length: 256 }, (_, at) => at));
    await using server = await SetecServer.start();
    await using client = new Client({ server: server.url });
    {
      await using store = await Store.open({ client, allowLookup: true, cache: new FileCache(bytewise) });
      await store.versioned('a').create(4294967295, bytes(''));
      await store.versioned('a').create(40, value);
    }
    expect(await go.call('store', '', { names: ['a'], cache: bytewise })).toEqual({});
    expect(await go.call('store-get', 'a')).toEqual({ bytes: base64(value) });
    expect(await go.call('store-version', 'a', { version: 40 })).toEqual({ bytes: base64(value) });
    expect(await go.call('store-version', 'a', { version: 4294967295 })).toEqual({});
    expect(await go.call('file', '', { file: bytewise })).toEqual({});
    expect(await go.call('file-get', 'a')).toEqual({ value: { Value: base64(value), Version: 40 } });
    expect(await (await FileClient.open(bytewise)).get('a', { version: 40 })).toEqual({ value, version: 40 });
  });
});

describe("the cache of setec's Go library", () => {
  let path: string;
  beforeAll(async () => {
    path = join(folder, 'theirs', 'cache.json');
    await using server = await SetecServer.start();
    await using client = new SetecClient(server.url);
    for (const [name, value] of [
      ['apple', 'a1'],
      ['apple', 'a2'],
      ['pear', canary('pear')],
      ['cherry', 'c1'],
      ['cherry', 'c2'],
      ['empty', ''],
    ] as const)
      await client.call('put', name, { value });
    await client.call('activate', 'cherry', { version: 2 });
    await client.call('create-version', 'orange', { version: 100, value: 'o1' });
    const names = ['apple', 'pear', 'cherry', 'empty'];
    expect(await client.call('store', '', { names, cache: path })).toEqual({});
    expect(await client.call('store-refresh')).toEqual({});
    expect(await client.call('store-version', 'apple', { version: 2 })).toEqual({ bytes: base64('a2') });
    expect(await client.call('store-version', 'orange', { version: 100 })).toEqual({ bytes: base64('o1') });
    expect(await client.call('store-close')).toEqual({});
  });

  test('is a file of secrets for us', async () => {
    const client = await FileClient.open(path);
    const revealed = async (name: string, version?: number) => {
      const got = await client.get(name, version === undefined ? {} : { version });
      return [got.value.reveal(), got.version];
    };
    expect(await revealed('apple')).toEqual(['a1', 1]);
    expect(await revealed('apple', 2)).toEqual(['a2', 2]);
    expect(await revealed('pear')).toEqual([canary('pear'), 1]);
    expect(await revealed('cherry')).toEqual(['c2', 2]);
  });

  test('starts a store of ours, without a server', async () => {
    const secrets = ['apple', 'pear', 'cherry', 'empty'] as const;
    await using client = new Client({ server: NOWHERE });
    // The store writes it anew.
    await copyFile(path, `${path}.copy`);
    const cache = new FileCache(`${path}.copy`);
    await using store = await Store.open({ client, secrets, cache, allowLookup: true, onError: () => {} });
    const [apple, pear, cherry, empty] = secrets.map((name) => store.secret(name).reveal());
    expect([apple, pear, cherry, empty]).toEqual(['a1', canary('pear'), 'c2', '']);
  });

  test('is a cache for us, with the secret that is held by number only: setec throws its own away for it', async () => {
    const cache = decodeCache((await new FileCache(path).read()) as Uint8Array);
    expect(cache.get('orange')).toMatchObject({ versions: new Map([[100, bytes('o1')]]) });
    expect(cache.get('empty')?.secret).toEqual({ version: 1, value: bytes('') });
    expect(cache.get('apple')?.lastAccess).toBeCloseTo(Date.now() / 1000, -3);
    const file = join(folder, 'orange.json');
    await writeFile(file, '{"apple":{"secret":{"Value":"ZnJlc2g=","Version":1}}}');
    await go.call('store', '', { file, cache: path, names: ['apple'] });
    expect(await go.call('store-get', 'apple')).toEqual({ bytes: base64('fresh') });
  });
});

/** setec takes such entries of a cache for an empty value, or one of version 0: ours makes the whole void instead. */
const INCOMPLETE = [
  'text',
  'text that is a number',
  'neither',
  'no version',
  'version 0',
  'a version that is null',
  'fields of any case, and text',
  'a secret that is empty',
];

const good = '{"Value":"eA==","Version":1}';

/** The outcome of both, as far as a program sees it. */
describe.each([
  ['as it should be', `{"a":{"secret":${good}}}`],
  ['text', '{"a":{"secret":{"TextValue":"é\\u0000\\n\\ud83d\\ude00","Version":2}}}'],
  ['text and base64', '{"a":{"secret":{"TextValue":"text","Value":"eA==","Version":2}}}'],
  ['empty text and base64', '{"a":{"secret":{"TextValue":"","Value":"eA==","Version":2}}}'],
  ['text that is null', '{"a":{"secret":{"TextValue":null,"Value":"eA==","Version":2}}}'],
  ['text that is a number', '{"a":{"secret":{"TextValue":1,"Version":2}}}'],
  ['neither', '{"a":{"secret":{"Version":2}}}'],
  ['an empty value', '{"a":{"secret":{"Value":"","Version":2}}}'],
  ['a value that is null', '{"a":{"secret":{"Value":null,"Version":2}}}'],
  ['a value that is a number', '{"a":{"secret":{"Value":1,"Version":2}}}'],
  ['a value that is an object', '{"a":{"secret":{"Value":{},"Version":2}}}'],
  ['a value without padding', '{"a":{"secret":{"Value":"eA","Version":2}}}'],
  ['a value with too much padding', '{"a":{"secret":{"Value":"eA===","Version":2}}}'],
  ['a value that is padding', '{"a":{"secret":{"Value":"====","Version":2}}}'],
  ['a value of one character', '{"a":{"secret":{"Value":"e","Version":2}}}'],
  ['a value with a space', '{"a":{"secret":{"Value":"e A==","Version":2}}}'],
  ['a value with padding inside', '{"a":{"secret":{"Value":"eA==eA==","Version":2}}}'],
  ['a value with bits left over', '{"a":{"secret":{"Value":"eB==","Version":2}}}'],
  ['a value in lines', '{"a":{"secret":{"Value":"\\r\\neH\\nh4\\r\\n","Version":2}}}'],
  ['a value with a tab', '{"a":{"secret":{"Value":"eA==\\t","Version":2}}}'],
  ['no version', '{"a":{"secret":{"Value":"eA=="}}}'],
  ['version 0', '{"a":{"secret":{"Value":"eA==","Version":0}}}'],
  ['a version that is null', '{"a":{"secret":{"Value":"eA==","Version":null}}}'],
  ['a version below 0', '{"a":{"secret":{"Value":"eA==","Version":-1}}}'],
  ['the last version', '{"a":{"secret":{"Value":"eA==","Version":4294967295}}}'],
  ['a version too large', '{"a":{"secret":{"Value":"eA==","Version":4294967296}}}'],
  ['a version with a fraction', '{"a":{"secret":{"Value":"eA==","Version":1.5}}}'],
  ['a version that is a text', '{"a":{"secret":{"Value":"eA==","Version":"1"}}}'],
  ['fields of any case', '{"a":{"SECRET":{"VALUE":"eA==","version":2},"LASTACCESS":"1"}}'],
  ['fields of any case, and text', '{"a":{"Secret":{"tEXTvALUE":"x","VERSION":2}}}'],
  ['fields that nobody knows', '{"a":{"x":[],"secret":{"Value":"eA==","Version":2,"y":{}},"lastAccess":7}}'],
  ['a secret that is null', '{"a":{"secret":null}}'],
  ['a secret that is a list', '{"a":{"secret":[]}}'],
  ['a secret that is a text', '{"a":{"secret":"x"}}'],
  ['a secret that is empty', '{"a":{"secret":{}}}'],
  ['an entry that is null', `{"a":null,"b":{"secret":${good}}}`],
  ['an entry that is empty', `{"a":{},"b":{"secret":${good}}}`],
  ['an entry that is a list', `{"a":[],"b":{"secret":${good}}}`],
  ['an entry that is a number', `{"a":1,"b":{"secret":${good}}}`],
  ['an entry that is false', `{"a":false,"b":{"secret":${good}}}`],
  ['an entry without a name', `{"":{"secret":${good}},"b":{"secret":${good}}}`],
  ['an entry without a name or a secret', `{"":{},"b":{"secret":${good}}}`],
  ['two entries of a name', `{"a":{"secret":{"Value":"eQ==","Version":9}},"a":{"secret":${good}}}`],
  ['two entries of a name, the last null', `{"a":{"secret":${good}},"a":null}`],
  ['times', `{"a":{"secret":${good},"lastAccess":"-12"},"b":{"secret":${good},"lastAccess":"007"}}`],
  ['a time that is null', `{"a":{"secret":${good},"lastAccess":null}}`],
  ['a time that is a number', `{"a":{"secret":${good},"lastAccess":12}}`],
  ['a time that is empty', `{"a":{"secret":${good},"lastAccess":""}}`],
  ['a time that is a word', `{"a":{"secret":${good},"lastAccess":"x"}}`],
  ['a time with a sign', `{"a":{"secret":${good},"lastAccess":"+1"}}`],
  ['a time with a fraction', `{"a":{"secret":${good},"lastAccess":"1.5"}}`],
  ['a time with a space', `{"a":{"secret":${good},"lastAccess":" 1"}}`],
  ['versions', `{"a":{"secret":${good},"versions":{"3":"eQ==","10":"","4294967295":null}}}`],
  ['versions that are null', `{"a":{"secret":${good},"versions":null}}`],
  ['a bare list', '[]'],
  ['a text', '"a"'],
  ['an empty object', ' {}\n'],
  ['white space', ' \n'],
  ['two objects', '{}{}'],
  ['a trailing comma', `{"a":{"secret":${good}},}`],
  ['a comment', `{"a":{"secret":${good}}} // why`],
  ['half of it', `{"a":{"secret":${good}`],
  ['no text', Buffer.from([0xff, 0xfe])],
  ['nothing', ''],
])('with %s, ours does what setec does', (kind, content) => {
  let path: string;
  let fallback: string;
  beforeAll(async () => {
    path = join(folder, 'same.json');
    fallback = join(folder, 'fallback.json');
    await writeFile(path, content);
    const fresh = { secret: { TextValue: 'fresh', Version: 5 } };
    await writeFile(fallback, JSON.stringify({ a: fresh, b: fresh, c: fresh }));
  });

  test('as a file of secrets', async () => {
    const ours = await FileClient.open(path).catch(() => undefined);
    const theirs = await go.call('file', '', { file: path });
    expect(ours === undefined).toBe(theirs.error !== undefined);
    for (const name of ours ? ['a', 'b', ''] : []) {
      const held = await ours?.get(name).catch(({ code }) => code);
      const answer = await go.call('file-get', name);
      expect(answer, name).toEqual(
        held === 'not_found'
          ? { error: 'ErrNotFound' }
          : { value: { Value: base64(held.value), Version: held.version } },
      );
    }
  });

  test('as a cache', async () => {
    // What is not in the cache, and all if the cache is void, comes from the fallback.
    let ours = new Map<string, CachedSecret>();
    try {
      ours = decodeCache((await new FileCache(path).read()) as Uint8Array);
    } catch (error) {
      expect(error).toMatchObject({ code: 'bad_cache' });
    }
    await go.call('store', '', { file: fallback, cache: path, names: ['a', 'b', 'c'] });
    if (INCOMPLETE.includes(kind)) {
      expect(await go.call('store-get', 'a')).not.toEqual({ bytes: base64('fresh') });
      expect(ours.size).toBe(0);
      return;
    }
    for (const name of ['a', 'b', 'c']) {
      const { bytes: theirs = '' } = await go.call('store-get', name);
      expect(theirs, name).toBe(base64(ours.get(name)?.secret?.value ?? 'fresh'));
    }
  });
});

test('a cache that is null is empty for us, where setec panics, and a list of bytes is no value', () => {
  expect(decodeCache(Buffer.from('null'))).toEqual(new Map());
  const list = Buffer.from('{"a":{"secret":{"Value":[120],"Version":2}}}');
  expect(() => decodeCache(list)).toThrow(expect.objectContaining({ code: 'bad_cache' }));
});
