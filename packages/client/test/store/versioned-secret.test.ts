import { describe, expect, test } from 'vitest';
import { Client, EnvClient, MemoryCache, type Store } from '../../src/index.js';
import { Between, openStore, startBed } from './bed.js';

const bytes = (text: string) => new TextEncoder().encode(text);
const code = (expected: string) => expect.objectContaining({ code: expected });
const text = async (store: Store, name: string, version: number) =>
  (await store.versioned(name).get(version)).reveal();

describe('a versioned secret', () => {
  test('is asked for and made by number, and its handle follows', async () => {
    const { server, client } = await startBed();
    await server.mustCreateVersion('old', 2, 'blue');
    const cache = new MemoryCache('{"old":{"secret":{"Value":"Ymx1ZQ==","Version":2},"lastAccess":"0"}}');
    const options = { client, cache, secrets: ['old'], allowLookup: true, watch: false } as const;
    const { store, ticker } = await openStore(options);
    expect(store.secret('old').reveal()).toBe('blue');

    const secret = store.versioned('colour');
    for (const wrong of [0, -1, 1.5]) {
      await expect(secret.create(wrong, bytes('red'))).rejects.toMatchObject({ code: 'invalid_version' });
      await expect(secret.get(wrong)).rejects.toMatchObject({ code: 'invalid_version' });
    }
    expect(store.secret('colour')).toBeUndefined();
    await secret.create(1, bytes('red'));
    expect((await secret.get(1)).reveal()).toBe('red');
    const active = store.secret('colour');
    expect(active?.reveal()).toBe('red');

    await secret.create(2, bytes('green'));
    await expect(secret.create(2, bytes('orange'))).rejects.toMatchObject({ code: 'version_taken' });
    expect((await secret.get(2)).reveal()).toBe('green');
    expect(active?.reveal()).toBe('green');
    expect((await secret.get(1)).reveal()).toBe('red');

    await server.mustActivate('colour', 1);
    await ticker.tick();
    expect(active?.reveal()).toBe('red');

    await server.mustDelete('colour', 2);
    await ticker.tick();
    await expect(secret.get(2)).rejects.toMatchObject({ code: 'not_found' });

    await server.mustCreateVersion('colour', 3, 'lime');
    await ticker.tick();
    expect((await secret.get(3)).reveal()).toBe('lime');
    expect(active?.reveal()).toBe('lime');
  });

  test('is fetched once, for all who ask, and gives each a copy of its own', async () => {
    const { client } = await startBed({ colour: 'red' });
    const between = new Between(client);
    const { store } = await openStore({ client: between, allowLookup: true, watch: false });
    const secret = store.versioned('colour');
    const [one, two] = await Promise.all([secret.get(1), store.versioned('colour').get(1)]);
    one?.wipe();
    expect(two?.reveal()).toBe('red');
    expect((await secret.get(1)).reveal()).toBe('red');
    expect(between.looked).toEqual(['colour']);
    await expect(secret.get(7)).rejects.toMatchObject({ code: 'not_found' });
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(secret.get(1, { signal })).rejects.toThrow('enough');
  });

  test('is in the cache, for a start without the server', async () => {
    const { server, client } = await startBed({ colour: 'red' });
    await server.mustPut('colour', 'green');
    const cache = new MemoryCache();
    const { store } = await openStore({ client, cache, secrets: ['colour'], watch: false });
    expect(await text(store, 'colour', 2)).toBe('green');
    await store.close();
    await server.stop();
    const again = await openStore({ client, cache, secrets: ['colour'], watch: false });
    expect(await text(again.store, 'colour', 2)).toBe('green');
    await expect(text(again.store, 'colour', 1)).rejects.toMatchObject({ code: 'unreachable' });
    await server.start();
    await server.mustDelete('colour', 2);
    await again.ticker.tick();
    await expect(text(again.store, 'colour', 2)).rejects.toMatchObject({ code: 'not_found' });
  });

  test('needs the right to get and no other', async () => {
    const { server } = await startBed({ colour: 'red' });
    await server.mustPut('colour', 'green');
    await server.mustPut('colour', 'blue');
    const { token } = await server.createToken('reader', [{ actions: ['get'], secrets: ['colour'] }]);
    const client = new Client({ server: server.url, token });
    const { store, errors } = await openStore({ client, secrets: ['colour'], watch: false });
    expect(await text(store, 'colour', 2)).toBe('green');
    expect(await text(store, 'colour', 3)).toBe('blue');
    await server.mustDelete('colour', 2);
    await store.refresh();
    await expect(text(store, 'colour', 2)).rejects.toMatchObject({ code: 'not_found' });
    expect(await text(store, 'colour', 3)).toBe('blue');
    expect(errors).toEqual([]);
    client.close();
  });

  test('must be declared where lookups are not allowed', async () => {
    const { client } = await startBed({ colour: 'red' });
    const { store } = await openStore({ client, secrets: ['colour'], watch: false });
    expect(() => store.versioned('other')).toThrow(code('undeclared'));
    expect(await text(store, 'colour', 1)).toBe('red');
    const secret = store.versioned('colour');
    await store.close();
    await expect(secret.get(1)).rejects.toMatchObject({ code: 'closed' });
    await expect(secret.create(2, bytes('x'))).rejects.toMatchObject({ code: 'closed' });
  });

  test('is made by nobody where the client cannot do it', async () => {
    const client = new EnvClient({ env: { COLOUR: 'red' } });
    const { store } = await openStore({ client, secrets: ['colour'] });
    expect(await text(store, 'colour', 1)).toBe('red');
    await expect(store.versioned('colour').create(2, bytes('x'))).rejects.toMatchObject({
      code: 'unsupported',
    });
  });
});
