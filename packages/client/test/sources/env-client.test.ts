import { inspect } from 'node:util';
import { describe, expect, test } from 'vitest';
import { canary, findCanary } from '../../../../test/support/canary.mjs';
import { EnvClient } from '../../src/sources/env-client.js';
import { Store } from '../../src/store/store.js';

const notFound = expect.objectContaining({ code: 'not_found' });
const revealed = async (client: EnvClient, name: string) => (await client.get(name)).value.reveal();

describe('an environment client', () => {
  const env = {
    PROD_DB_PASSWORD: 'one',
    MYAPP_PROD_DB_PASSWORD: 'two',
    DATABASE: 'three',
    _N__1: 'ünï',
    EMPTY: '',
  };

  test('finds a secret in the variable that its name makes', async () => {
    const client = new EnvClient({ env });
    expect(await revealed(client, 'prod/db-password')).toBe('one');
    expect(await revealed(client, 'ün😀.1')).toBe('ünï');
    expect(client.fixed).toBe(true);
  });

  test('finds it behind a prefix, or in a variable of any name', async () => {
    const client = new EnvClient({ env, prefix: 'MYAPP_', names: { database: 'DATABASE' } });
    expect(await revealed(client, 'prod/db-password')).toBe('two');
    expect(await revealed(client, 'database')).toBe('three');
  });

  test('has one version of each', async () => {
    const client = new EnvClient({ env });
    expect((await client.get('database')).version).toBe(1);
    expect((await client.get('database', { version: 1 })).version).toBe(1);
    await expect(client.get('database', { version: 2 })).rejects.toEqual(notFound);
    expect(await client.getIfChanged('database', 1)).toBeUndefined();
    expect((await client.getIfChanged('database', 0))?.value.reveal()).toBe('three');
  });

  test('names the variable that is missing or empty', async () => {
    const client = new EnvClient({ env, names: { x: 'toString' } });
    await expect(client.get('prod/api-key')).rejects.toThrow(
      'there is no "prod/api-key": PROD_API_KEY is not set',
    );
    await expect(client.get('empty')).rejects.toEqual(notFound);
    await expect(client.getIfChanged('empty', 1)).rejects.toEqual(notFound);
    await expect(client.get('constructor')).rejects.toEqual(notFound);
  });

  test('reads the environment of the process, and does not show it', async () => {
    process.env.COFFER_ENV_CLIENT_TEST = canary('variable');
    const client = new EnvClient();
    expect(await revealed(client, 'coffer/env/client/test')).toBe(canary('variable'));
    expect(
      findCanary(inspect(client, { depth: 9, showHidden: true }) + JSON.stringify(client)),
    ).toBeUndefined();
    delete process.env.COFFER_ENV_CLIENT_TEST;
  });
});

test('a store over the environment has its secrets, or names all that are missing', async () => {
  const client = new EnvClient({ env: { PROD_DB: 'one' } });
  await using store = await Store.open({ client, secrets: ['prod/db'] });
  expect(store.secret('prod/db').reveal()).toBe('one');
  await store.refresh();
  const secrets = ['prod/db', 'prod/a', 'prod/b'] as const;
  const error = await Store.open({ client, secrets, onError: () => {} }).catch((error: Error) => error);
  expect(error).toMatchObject({
    code: 'not_found',
    message: expect.stringMatching(/PROD_A is not set; .*PROD_B is not set/),
  });
});
