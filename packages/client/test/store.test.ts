import { FakeTicker, startTestServer, type TestServer } from '@coffer/testing';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Client, Store, type StoreOptions } from '../src/index.js';

let server: TestServer;
let client: Client;
beforeAll(async () => {
  server = await startTestServer({ secrets: { alpha: 'ok', bravo: 'yes' } });
  client = new Client({ server: server.url, token: server.token });
});
afterAll(async () => {
  client?.close();
  await server?.close();
});

async function open<const Name extends string = never>(
  options: Omit<StoreOptions<Name>, 'client'>,
): Promise<Store<Name>> {
  const store = await Store.open<Name>({ client, ...options });
  onTestFinished(() => store.close());
  return store;
}

describe('a store', () => {
  test('has the values of the secrets that it was told of', async () => {
    const store = await open({ secrets: ['alpha', 'bravo'] });
    expect(store.secret('alpha').reveal()).toBe('ok');
    expect(Buffer.from(store.secret('bravo').get()).toString()).toBe('yes');
    expect(() => store.secret('nonesuch')).toThrow(expect.objectContaining({ code: 'undeclared' }));
  });

  test('has a new value when the server pushes it', async () => {
    const name = 'pushed';
    await server.mustPut(name, 'one');
    const store = await open({ secrets: [name], ticker: new FakeTicker() });
    const secret = store.secret(name);
    await expect.poll(() => store.metrics().watching).toBe(true);
    await server.mustRotate(name, 'two');
    await expect.poll(() => secret.reveal()).toBe('two');
    expect(secret.version).toBe(2);
  });

  test('has a new value after a poll and after a refresh, without a watch', async () => {
    const name = 'polled';
    await server.mustPut(name, 'one');
    const ticker = new FakeTicker();
    const store = await open({ secrets: [name], ticker, watch: false });
    const secret = store.secret(name);
    await server.mustRotate(name, 'two');
    expect(secret.reveal()).toBe('one');
    await ticker.tick();
    expect(secret.reveal()).toBe('two');
    await server.mustRotate(name, 'three');
    await store.refresh();
    expect(secret.reveal()).toBe('three');
  });
});
