import { FakeClock } from '@coffer/testing';
import { expect, onTestFinished, test, vi } from 'vitest';
import { type Cache, Client, CofferClientError, MemoryCache, SecretBytes, Store } from '../../src/index.js';
import { Between, codes, gate, openStore, startBed } from './bed.js';

const CACHED = '{"alpha":{"secret":{"Value":"Zm9vYmFy","Version":1},"lastAccess":"0"}}';
const contentOf = (cache: Cache) => JSON.parse(Buffer.from((cache.read() as Uint8Array) ?? '').toString());

test('a store starts from its cache at once, and is current after the first poll', async () => {
  const { server, client } = await startBed({ alpha: 'foobar' });
  await server.mustRotate('alpha', 'bazquux');
  const between = new Between(client);
  const { opened, open } = gate();
  between.beforeMany = opened;
  const cache = new MemoryCache(CACHED);
  const { store, ticker, updates } = await openStore({
    client: between,
    secrets: ['alpha'],
    cache,
    watch: false,
    now: () => 1_000,
  });
  const alpha = store.secret('alpha');
  expect(alpha.reveal()).toBe('foobar');
  open();
  await ticker.tick();
  expect(alpha.reveal()).toBe('bazquux');
  expect(updates).toEqual([{ name: 'alpha', version: 2 }]);
  expect(Buffer.from(cache.read() ?? []).toString()).toBe(
    '{"alpha":{"secret":{"Value":"YmF6cXV1eA==","Version":2},"lastAccess":"1","checkedAt":"1"}}',
  );
  expect(store.metrics()).toMatchObject({ polls: 1, pollErrors: 0, latestPoll: 1_000, reads: 2, updates: 1 });
});

test('a store that starts from its cache asks for what is new without being told to', async () => {
  const { server, client } = await startBed({ alpha: 'foobar' });
  await server.mustRotate('alpha', 'bazquux');
  const { store } = await openStore({
    client,
    secrets: ['alpha'],
    cache: new MemoryCache(CACHED),
    watch: false,
  });
  await expect.poll(() => store.secret('alpha').reveal()).toBe('bazquux');
});

test('a cached secret that was made anew with the same number is current after the start', async () => {
  const { client } = await startBed({ alpha: 'other' });
  const cache = new MemoryCache(CACHED);
  const { store } = await openStore({ client, secrets: ['alpha'], cache, watch: false });
  expect(store.secret('alpha').reveal()).toBe('foobar');
  await expect.poll(() => store.secret('alpha').reveal()).toBe('other');
});

test('a store opens from its cache while the server is away, and catches up when it is back', async () => {
  const { server, client } = await startBed({ alpha: 'new' });
  await server.stop();
  const { store, errors } = await openStore({
    client,
    secrets: ['alpha'],
    cache: new MemoryCache(CACHED),
  });
  const alpha = store.secret('alpha');
  await expect.poll(() => codes(errors)).toEqual(['unreachable']);
  expect(alpha.reveal()).toBe('foobar');
  await server.start();
  await expect.poll(() => alpha.reveal(), { timeout: 20_000 }).toBe('new');
  await expect.poll(() => store.metrics().watching, { timeout: 20_000 }).toBe(true);
  expect(codes(errors)).toEqual(['unreachable']);
});

test('what the cache lacks is waited for, and cached then', async () => {
  const { client } = await startBed({ alpha: 'foobar', bravo: 'x' });
  const between = new Between(client);
  const cache = new MemoryCache(CACHED);
  await openStore({ client: between, secrets: ['alpha', 'bravo'], cache, watch: false });
  expect(between.asked[0]).toEqual([{ name: 'alpha' }, { name: 'bravo' }]);
  expect(Object.keys(contentOf(cache))).toEqual(['alpha', 'bravo']);
});

test.each<[string, Cache]>([
  ['cannot be read', { read: () => Promise.reject(new Error('read failed')), write: () => {} }],
  ['is no JSON', new MemoryCache('{"bad":JSON*#$&(@')],
  ['has an entry without a value', new MemoryCache('{"alpha":{"Value":"blah", "Version":100}}')],
  ['has an entry that is null', new MemoryCache(`{"b":null,${CACHED.slice(1)}`)],
])('a cache that %s is reported, and the store opens without it', async (_, cache) => {
  const { client } = await startBed({ alpha: 'of the server' });
  const { store, errors } = await openStore({ client, secrets: ['alpha'], cache });
  expect(store.secret('alpha').reveal()).toBe('of the server');
  expect(codes(errors)).toEqual(['bad_cache']);
  expect(errors[0]?.message).not.toContain('blah');
});

test('a cache that cannot be written is reported once, and tried again', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const written: string[] = [];
  let full = true;
  const cache: Cache = {
    read: () => undefined,
    write: async (content) => {
      if (full) throw new Error('the disk is full');
      written.push(Buffer.from(content).toString());
    },
  };
  const { store, errors, ticker } = await openStore({ client, secrets: ['alpha'], cache, watch: false });
  await server.mustRotate('alpha', 'two');
  await ticker.tick();
  expect(store.secret('alpha').reveal()).toBe('two');
  expect(errors.map(({ message }) => message)).toEqual(['the cache was not written']);
  full = false;
  await ticker.tick();
  expect(written.length).toBe(1);
});

test('what is written is wiped, and what is the same is not written each time', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const written: Uint8Array[] = [];
  const cache: Cache = { read: () => undefined, write: (content) => void written.push(content) };
  const { store } = await openStore({ client, secrets: ['alpha'], cache, watch: false });
  await store.refresh();
  await store.refresh();
  expect(written.length).toBe(1);
  expect(written[0]?.every((byte) => byte === 0)).toBe(true);
  await server.mustRotate('alpha', 'two');
  await store.refresh();
  expect(written.length).toBe(2);
  await store.close();
  expect(written.length).toBe(3);
});

test('values that the server confirmed too long ago, or never, are not used', async () => {
  const { server, client } = await startBed({ alpha: 'new' });
  const clock = new FakeClock(1_000_000_000_000);
  const entry = (seconds: number | undefined) =>
    `{"alpha":{"secret":{"Value":"Zm9vYmFy","Version":1},"lastAccess":"0"${
      seconds === undefined ? '' : `,"checkedAt":"${1_000_000_000 + seconds}"`
    }}}`;
  const started = async (seconds: number | undefined) => {
    const stop = new AbortController();
    const store = await Store.open({
      client,
      secrets: ['alpha'],
      cache: new MemoryCache(entry(seconds)),
      maxAge: 60_000,
      now: clock.now,
      signal: stop.signal,
      watch: false,
      onError: () => stop.abort(new Error('not from the cache')),
    });
    const value = store.secret('alpha').reveal();
    await store.close();
    return value;
  };
  await server.stop();
  expect(await started(-59)).toBe('foobar');
  expect(await started(30)).toBe('foobar');
  for (const wrong of [-61, 61, undefined])
    await expect(started(wrong)).rejects.toMatchObject({ code: 'not_opened' });
  await server.start();
  expect(await started(-61)).toBe('new');
});

test('what the cache has and the program did not declare is held only where lookups are allowed', async () => {
  const { client } = await startBed({ alpha: 'x', bravo: 'x' });
  const open = (cache: Cache, allowLookup: boolean) =>
    openStore({ client, secrets: ['bravo'], cache, allowLookup, watch: false });
  const cache = new MemoryCache(CACHED);
  expect((await open(cache, true)).store.secret('alpha')?.reveal()).toBe('x');
  const { store } = await open(cache, false);
  expect(store.metrics().secrets).toBe(1);
  await store.close();
  expect(Object.keys(contentOf(cache))).toEqual(['bravo']);
});

test('a refused secret goes out of the cache, and a vanished one stays; both keep their values', async () => {
  const { server } = await startBed({ alpha: 'one', bravo: 'one', charlie: 'one' });
  const all = { actions: ['get'] as const, secrets: ['alpha', 'bravo', 'charlie'] };
  const { token, principal, id } = await server.createToken('program', [all]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const cache = new MemoryCache();
  const { store, ticker, errors } = await openStore({
    client,
    secrets: ['alpha', 'bravo', 'charlie'],
    cache,
    watch: false,
  });
  await server.mustDelete('bravo');
  await server.grant(principal, [{ ...all, secrets: ['bravo', 'charlie'] }]);
  await ticker.tick();
  expect(codes(errors)).toEqual(['access_denied', 'not_found']);
  expect(Object.keys(contentOf(cache))).toEqual(['bravo', 'charlie']);
  expect(store.secret('alpha').reveal()).toBe('one');
  expect(store.secret('bravo').reveal()).toBe('one');

  await server.grant(principal, [all]);
  await ticker.tick();
  expect(Object.keys(contentOf(cache))).toEqual(['alpha', 'bravo', 'charlie']);

  await server.revokeToken(id);
  await ticker.tick();
  expect(contentOf(cache)).toEqual({});
  expect(store.secret('charlie').reveal()).toBe('one');
  await store.close();
  expect(contentOf(cache)).toEqual({});
});

test('an outage keeps the cache', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const cache = new MemoryCache();
  const { store, ticker } = await openStore({ client, secrets: ['alpha'], cache, watch: false });
  await server.stop();
  await ticker.tick();
  await store.close();
  expect(Object.keys(contentOf(cache))).toEqual(['alpha']);
});

test('a token that is revoked while the store watches empties the cache without a poll', async () => {
  const { server } = await startBed({ alpha: 'one' });
  const { token, id } = await server.createToken('program', [{ actions: ['get'], secrets: ['alpha'] }]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const cache = new MemoryCache();
  const { store, errors } = await openStore({ client, secrets: ['alpha'], cache });
  await expect.poll(() => store.metrics().watching).toBe(true);
  expect(Object.keys(contentOf(cache))).toEqual(['alpha']);
  await server.revokeToken(id);
  await expect.poll(() => contentOf(cache)).toEqual({});
  expect(store.secret('alpha').reveal()).toBe('one');
  expect(new Set(codes(errors))).toEqual(new Set(['unauthenticated']));
});

test('an opening that is refused takes the cached values with it', async () => {
  const { server } = await startBed({ alpha: 'one', bravo: 'one' });
  const { token, id } = await server.createToken('program');
  await server.revokeToken(id);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const cache = new MemoryCache(CACHED);
  const stop = new AbortController();
  const opening = Store.open({
    client,
    secrets: ['alpha', 'bravo'],
    cache,
    watch: false,
    signal: stop.signal,
    onError: (error) => stop.abort(error),
  });
  await expect(opening).rejects.toMatchObject({ code: 'not_opened' });
  expect(contentOf(cache)).toEqual({});
});

const DOWN = {
  get: () => Promise.reject(new CofferClientError('unreachable', 'down')),
  getIfChanged: () => Promise.reject(new CofferClientError('unreachable', 'down')),
};

test.each([
  ['older than may be used', { secrets: ['alpha'], maxAge: 60_000 }],
  ['not all that the program declares', { secrets: ['alpha', 'bravo'] }],
  ['nothing that the program declares', { secrets: ['bravo'] }],
])('an opening that fails leaves a cache as it is that holds what is %s', async (_, options) => {
  const cache = new MemoryCache(CACHED);
  const stop = new AbortController();
  const onError = () => stop.abort(new Error('enough'));
  const opening = Store.open({ client: DOWN, cache, signal: stop.signal, onError, ...options });
  await expect(opening).rejects.toMatchObject({ code: 'not_opened', cause: { message: 'enough' } });
  expect(contentOf(cache)).toEqual(JSON.parse(CACHED));
});

test('what came before an opening failed is cached beside what was there', async () => {
  const { client } = await startBed({ bravo: 'x' });
  const cache = new MemoryCache(CACHED);
  const stop = new AbortController();
  const opening = Store.open({
    client,
    cache,
    secrets: ['bravo', 'charlie'],
    watch: false,
    signal: stop.signal,
    onError: (error) => stop.abort(error),
  });
  await expect(opening).rejects.toMatchObject({ code: 'not_opened' });
  expect(Object.keys(contentOf(cache)).sort()).toEqual(['alpha', 'bravo']);
});

test('an opening that is given up while the cache is read ends at once, writes nothing and keeps nothing', async () => {
  const [begun, key] = [gate(), gate()];
  const written: Uint8Array[] = [];
  const content = Buffer.from(CACHED);
  const cache: Cache = {
    read: async () => {
      begun.open();
      await key.opened;
      return content;
    },
    write: (bytes) => void written.push(bytes),
  };
  const stop = new AbortController();
  const opening = Store.open({ client: DOWN, cache, secrets: ['alpha'], signal: stop.signal });
  await begun.opened;
  stop.abort(new Error('enough'));
  await expect(opening).rejects.toMatchObject({ code: 'not_opened', cause: { message: 'enough' } });
  const wipe = vi.spyOn(SecretBytes.prototype, 'wipe');
  onTestFinished(() => wipe.mockRestore());
  key.open();
  await expect.poll(() => wipe.mock.contexts.length).toBe(1);
  expect(content.every((byte) => byte === 0)).toBe(true);
  expect(written).toEqual([]);
});

test('a secret that is refused goes out of the cache while an opening still waits for another', async () => {
  const { server } = await startBed({ alpha: 'one' });
  const { token } = await server.createToken('program', [{ actions: ['get'], secrets: ['bravo'] }]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const cache = new MemoryCache(CACHED);
  const stop = new AbortController();
  const opening = Store.open({
    client,
    secrets: ['alpha', 'bravo'],
    cache,
    watch: false,
    signal: stop.signal,
    onError: () => {},
  });
  await expect.poll(() => contentOf(cache)).toEqual({});
  stop.abort(new Error('enough'));
  await expect(opening).rejects.toMatchObject({ code: 'not_opened', cause: { message: 'enough' } });
});

test('a keyring that is refused takes its secret out of the cache', async () => {
  const { server } = await startBed({ alpha: 'one', bravo: 'x' });
  const grants = ['alpha', 'bravo'].map((name) => ({ actions: ['get', 'info'] as const, secrets: [name] }));
  const { token, principal } = await server.createToken('program', grants);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const cache = new MemoryCache();
  const { store } = await openStore({ client, secrets: ['alpha', 'bravo'], cache, watch: false });
  await server.grant(principal, grants.slice(1));
  await expect(store.keyring('alpha')).rejects.toMatchObject({ code: 'access_denied' });
  await expect.poll(() => Object.keys(contentOf(cache))).toEqual(['bravo']);
});

test('a close waits some seconds for a cache that is never written, and tells of it', async () => {
  const { client } = await startBed({ alpha: 'one' });
  let hangs = false;
  const cache: Cache = {
    read: () => undefined,
    write: () => (hangs ? new Promise<void>(() => {}) : undefined),
  };
  const { store, errors } = await openStore({ client, cache, secrets: ['alpha'], watch: false });
  hangs = true;
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const alpha = store.secret('alpha');
  const closed = store.close();
  await vi.advanceTimersByTimeAsync(4_000);
  expect(errors).toEqual([]);
  await vi.advanceTimersByTimeAsync(1_000);
  await closed;
  expect(codes(errors)).toEqual(['bad_cache']);
  expect(() => alpha.reveal()).toThrow(CofferClientError);
});
