import { describe, expect, test } from 'vitest';
import { Client, CofferClientError, EnvClient, MemoryCache, type Store } from '../../src/index.js';
import { Between, gate, openStore, startBed } from './bed.js';

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

  test('that was made is what its handle gives, even if it cannot be fetched', async () => {
    const { server } = await startBed();
    const { token } = await server.createToken('maker', [
      { actions: ['create-version'], secrets: ['colour'] },
    ]);
    const client = new Client({ server: server.url, token });
    const cache = new MemoryCache();
    const { store, errors } = await openStore({ client, cache, allowLookup: true, watch: false });
    await store.versioned('colour').create(7, bytes('red'));
    expect([store.secret('colour')?.version, store.secret('colour')?.reveal()]).toEqual([7, 'red']);
    expect(errors).toMatchObject([{ code: 'access_denied' }]);
    await store.close();
    expect(Buffer.from(cache.read() ?? '').toString()).toBe('{}');
    client.close();
  });

  test('that is not made, or comes too late, leaves nothing behind', async () => {
    const { client } = await startBed({ colour: 'red', other: 'x', third: 'y' });
    const between = new Between(client);
    const given: Uint8Array[] = [];
    const { get } = between;
    between.get = async (...args) => {
      const answer = await get(...args);
      given.push(answer.value);
      return answer;
    };
    const copies: Uint8Array[] = [];
    const createVersion = async (_name: string, _version: number, value: Uint8Array) => {
      copies.push(value);
      throw new CofferClientError('version_taken', 'taken');
    };
    const { opened, open } = gate();
    between.afterGet = opened;
    const { store } = await openStore({
      client: Object.assign(between, { createVersion }),
      secrets: ['colour'],
      allowLookup: true,
      watch: false,
    });
    await expect(store.versioned('colour').create(1, bytes('red'))).rejects.toThrow('taken');
    expect(copies.map((copy) => [...copy])).toEqual([[0, 0, 0]]);

    const raced = store.lookup('other');
    await expect.poll(() => between.looked).toEqual(['other']);
    await store.keyring('other');
    const late = [store.lookup('third'), store.versioned('colour').get(1)];
    const outcomes = Promise.allSettled(late);
    await expect.poll(() => between.looked.length).toBe(3);
    const released = raced.then(() => store.close());
    open();
    await released;
    await outcomes;
    await expect
      .poll(() => given.map((value) => value.every((byte) => byte === 0)))
      .toEqual([true, true, true]);
  });
});
