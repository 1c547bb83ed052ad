import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { beforeEach, describe, expect, test } from 'vitest';
import { canary, findCanary } from '../../../../test/support/canary.mjs';
import { type CachedSecret, encodeCache } from '../../src/cache/content.js';
import { FileCache } from '../../src/cache/file-cache.js';
import { SecretBytes } from '../../src/secret/secret-bytes.js';
import { FileClient } from '../../src/sources/file-client.js';
import { Store } from '../../src/store/store.js';
import { temporaryFolder } from '../folder.js';

const SECRETS = `{
  "big/bad/apple": {
     "secret": {"Version": 1, "Value": "c2F1Y2U="}
  },
  "pear": {
     "unrelated": true
  },
  "plum": {
     "secret": {"Version": 2, "TextValue": "tartlet"}
  },
  "little/tasty/cherry": {
     "secret": {"Version": 3, "Value": "cGll"}
  },
  "": {"secret": {"Version": 10, "Value": "dW5zZWVu"}},
  "durian": {
     "secret": {"Version": 0}
  }
}`;
const notFound = expect.objectContaining({ code: 'not_found' });
const secretOf = (text: string) => SecretBytes.copyOf(Buffer.from(text));

const folder = temporaryFolder();
let path: string;
const open = async (content: string | Uint8Array) => {
  await writeFile(path, content);
  return FileClient.open(path);
};
beforeEach(() => {
  path = join(folder(), 'secrets.json');
});

describe('a file client', () => {
  test('gives the secrets of the file', async () => {
    const client = await open(SECRETS);
    expect(await client.get('big/bad/apple')).toEqual({ value: secretOf('sauce'), version: 1 });
    expect(await client.get('plum')).toEqual({ value: secretOf('tartlet'), version: 2 });
    expect(client.fixed).toBe(true);
  });

  test.each(['pear', 'durian', '', 'absent', 'constructor'])('has no secret %j', async (name) => {
    const client = await open(SECRETS);
    await expect(client.get(name)).rejects.toEqual(notFound);
    await expect(client.getIfChanged(name, 1)).rejects.toEqual(notFound);
    await expect(client.info(name)).rejects.toEqual(notFound);
  });

  test('gives a value only if it is another version than is known', async () => {
    const client = await open(SECRETS);
    expect(await client.getIfChanged('little/tasty/cherry', 3)).toBeUndefined();
    expect(await client.getIfChanged('little/tasty/cherry', 2)).toEqual({
      value: secretOf('pie'),
      version: 3,
    });
  });

  test('gives copies, so that one who wipes them takes nothing from others', async () => {
    const client = await open(SECRETS);
    (await client.get('plum')).value.wipe();
    expect((await client.get('plum')).value.reveal()).toBe('tartlet');
  });

  test('reads the file once', async () => {
    const client = await open(SECRETS);
    await writeFile(path, '{}');
    expect((await client.get('plum')).value.reveal()).toBe('tartlet');
  });

  test('reads a cache, encrypted or not, with the versions that are in it', async () => {
    const secret = { version: 7, value: secretOf('seven') };
    const versions = new Map([[3, secretOf('three')]]);
    const content = encodeCache(
      new Map<string, CachedSecret>([
        ['orange', { secret, versions, lastAccess: 1 }],
        ['by number only', { versions, lastAccess: 1 }],
      ]),
    );
    const key = { command: ['printf', 'ab'.repeat(32)] } as const;
    await new FileCache(path).write(content);
    await new FileCache(`${path}.encrypted`, { key }).write(content);
    for (const client of [await FileClient.open(path), await FileClient.open(`${path}.encrypted`, { key })]) {
      expect(await client.get('orange')).toEqual({ value: secretOf('seven'), version: 7 });
      expect(await client.get('orange', { version: 3 })).toEqual({ value: secretOf('three'), version: 3 });
      expect(await client.info('orange')).toEqual({ name: 'orange', versions: [3, 7], activeVersion: 7 });
      await expect(client.get('orange', { version: 4 })).rejects.toEqual(notFound);
      await expect(client.get('by number only')).rejects.toEqual(notFound);
    }
    await expect(FileClient.open(`${path}.encrypted`)).rejects.toMatchObject({ code: 'bad_cache' });
  });

  test.each([
    ['text that is no JSON', `{"x": ${canary('value')}}`],
    ['nothing in it', ''],
    ['a list', `["${canary('value')}"]`],
    ['an entry of another type', `{"x": "${canary('value')}"}`],
    ['a value that is no base64', `{"x": {"secret": {"Version": 1, "Value": "${canary('value')}!"}}}`],
    ['a text that is none', `{"x": {"secret": {"Version": 1, "TextValue": ["${canary('value')}"]}}}`],
    ['a version that is a text', `{"x": {"secret": {"Version": "1", "TextValue": "${canary('value')}"}}}`],
  ])('is not opened with %s, and the error names the file and nothing in it', async (_, content) => {
    const error = await open(content).catch((error: Error) => error);
    expect(error).toMatchObject({ code: 'bad_file', message: expect.stringContaining(path) });
    expect(findCanary(inspect(error, { depth: 9 }))).toBeUndefined();
  });

  test('is not opened without the file', async () => {
    await expect(FileClient.open(path)).rejects.toMatchObject({ code: 'bad_file', message: /ENOENT/ });
  });

  test('does not show what it holds', async () => {
    const client = await open(`{"x": {"secret": {"Version": 1, "TextValue": "${canary('value')}"}}}`);
    expect(
      findCanary(inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client)),
    ).toBeUndefined();
  });
});

describe('a store over a file', () => {
  test('has its secrets, and goes on with what the file had', async () => {
    const client = await open(SECRETS);
    const secrets = ['big/bad/apple', 'plum', 'little/tasty/cherry'] as const;
    await using store = await Store.open({ client, secrets });
    await store.refresh();
    expect(secrets.map((name) => store.secret(name).reveal())).toEqual(['sauce', 'tartlet', 'pie']);
    expect(store.metrics()).toMatchObject({ polls: 1, pollErrors: 0, watching: false });
  });

  test('fails at once, naming all that is missing, in place of waiting for it', async () => {
    const client = await open(SECRETS);
    const errors: string[] = [];
    const opening = Store.open({
      client,
      secrets: ['big/bad/apple', 'pear', 'red/cabbage'],
      onError: ({ code }) => errors.push(code),
    });
    await expect(opening).rejects.toMatchObject({
      code: 'not_found',
      message: expect.stringMatching(/pear.*; .*red\/cabbage/),
    });
    expect(errors).toEqual([]);
  });

  test('has keyrings and versions by number from what a cache kept', async () => {
    const value = (text: string) => Buffer.from(text).toString('base64');
    const secret = { Value: value('seven'), Version: 7 };
    const client = await open(JSON.stringify({ orange: { secret, versions: { 3: value('three') } } }));
    await using store = await Store.open({ client, secrets: ['orange'] });
    const keyring = await store.keyring('orange');
    expect(keyring.all().map(({ version, value }) => [version, value.reveal()])).toEqual([
      [7, 'seven'],
      [3, 'three'],
    ]);
    expect((await store.versioned('orange').get(3)).reveal()).toBe('three');
    await expect(store.versioned('orange').create(8, Buffer.from('x'))).rejects.toMatchObject({
      code: 'unsupported',
    });
  });
});
