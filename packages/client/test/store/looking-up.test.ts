import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FakeClock } from '@coffer/testing';
import { expect, test } from 'vitest';
import { MemoryCache, type Secret } from '../../src/index.js';
import { Between, gate, openStore, startBed } from './bed.js';

const code = (expected: string) => expect.objectContaining({ code: expected });

test('a secret that was not declared is looked up, and held from then on', async () => {
  const { server, client } = await startBed({ red: 'badge of courage', green: 'eggs and ham' });
  const { store, ticker } = await openStore({ client, secrets: ['red'], allowLookup: true, watch: false });
  expect(store.secret('green')).toBe(undefined);
  const green = await store.lookup('green');
  expect(green.reveal()).toBe('eggs and ham');
  expect(store.secret('green')).toBe(green);
  expect(await store.lookup('green')).toBe(green);
  expect((await store.lookup('red')).reveal()).toBe('badge of courage');
  await server.mustRotate('green', 'with envy');
  await ticker.tick();
  expect(green.reveal()).toBe('with envy');
});

test('a lookup fails at once for what is not there, and holds nothing', async () => {
  const { server, client } = await startBed();
  const { store } = await openStore({ client, allowLookup: true, watch: false });
  await expect(store.lookup('orange')).rejects.toThrow(code('not_found'));
  await expect(store.lookup('')).rejects.toThrow(code('invalid_argument'));
  await store.refresh();
  expect(store.metrics().secrets).toBe(0);
  await server.mustPut('orange', 'x');
  expect((await store.lookup('orange')).reveal()).toBe('x');
});

test('only declared secrets can be had where lookups are not allowed', async () => {
  const { client } = await startBed({ alpha: 'ok', bravo: 'x' });
  const { store } = await openStore({ client, secrets: ['alpha'] });
  await expect(store.lookup('bravo')).rejects.toThrow(code('undeclared'));
  expect((await store.lookup('alpha')).reveal()).toBe('ok');
});

test('lookups of one secret at the same time are one, and each ends with its own signal', async () => {
  const { client } = await startBed({ alpha: 'ok' });
  const between = new Between(client);
  const { store } = await openStore({ client: between, allowLookup: true, watch: false });
  const { opened, open } = gate();
  between.afterGet = opened;
  const stop = new AbortController();
  const lookups = [store.lookup('alpha', { signal: stop.signal }), store.lookup('alpha')];
  stop.abort(new Error('enough'));
  await expect(lookups[0]).rejects.toThrow('enough');
  open();
  expect((await lookups[1])?.reveal()).toBe('ok');
  expect(between.looked).toEqual(['alpha']);
  await expect(store.lookup('bravo', { signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow(
    'before',
  );
  await expect(store.refresh({ signal: AbortSignal.abort(new Error('before')) })).rejects.toThrow('before');
});

test('what was not declared and not read for long is dropped, from the cache too', async () => {
  const { client } = await startBed({ apple: 'a', pear: 'b', plum: 'c', cherry: 'd' });
  const clock = new FakeClock(1_000);
  const cache = new MemoryCache();
  const before = await openStore({
    client,
    cache,
    allowLookup: true,
    secrets: ['apple', 'pear'],
    now: clock.now,
  });
  clock.advance(25_000);
  await before.store.lookup('plum');
  clock.advance(25_000);
  await before.store.lookup('cherry');
  await before.store.close();

  const { store, ticker } = await openStore({
    client,
    cache,
    allowLookup: true,
    secrets: ['apple'],
    expiryAge: 30_000,
    now: clock.now,
  });
  expect(store.metrics().secrets).toBe(4);
  clock.advance(20_000);
  await ticker.tick();
  expect(store.secret('apple').reveal()).toBe('a');
  expect(store.secret('pear')).toBe(undefined);
  expect(store.secret('plum')).toBe(undefined);
  expect(store.secret('cherry')?.reveal()).toBe('d');
  expect(Object.keys(JSON.parse(String(Buffer.from(cache.read() ?? []))))).toEqual(['apple', 'cherry']);
});

test('what somebody has a handle of does not expire, and does when nobody has it any more', async () => {
  setFlagsFromString('--expose_gc');
  const collect = runInNewContext('gc') as () => void;
  const { client } = await startBed({ alpha: 'ok' });
  const clock = new FakeClock();
  const { store, ticker } = await openStore({
    client,
    allowLookup: true,
    expiryAge: 1_000,
    now: clock.now,
    watch: false,
  });
  const kept: { handle?: Secret } = { handle: await store.lookup('alpha') };
  clock.advance(60_000);
  collect();
  await ticker.tick();
  expect(kept.handle?.reveal()).toBe('ok');
  delete kept.handle;
  clock.advance(60_000);
  await expect
    .poll(async () => {
      collect();
      await ticker.tick();
      return store.metrics().secrets;
    })
    .toBe(0);
});
