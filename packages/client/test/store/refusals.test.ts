import { expect, test } from 'vitest';
import { CofferClientError, MemoryCache, Store, type WatchEvent } from '../../src/index.js';
import { gate, openStore } from './bed.js';
import { LocalClient } from './local-client.js';

const SECRETS = { alpha: 'one', bravo: 'one' };
const names = ['alpha', 'bravo'] as const;

test('who is not known when one secret is asked for has none of them in the cache any more', async () => {
  const client = new LocalClient(SECRETS);
  const pushed = gate();
  client.events = async function* (): AsyncGenerator<WatchEvent, void> {
    yield { type: 'ready', id: '1' };
    await pushed.opened;
    yield { type: 'change', id: '2', name: 'alpha', versions: [1, 2], activeVersion: 2 };
    await new Promise(() => {});
  };
  const cache = new MemoryCache();
  const cached = () => Object.keys(JSON.parse(Buffer.from(cache.read() ?? '{}').toString()));
  const { store, errors } = await openStore({ client, secrets: names, cache });
  await expect.poll(() => client.asked.length).toBe(2);
  await expect.poll(cached).toEqual(names);
  client.before = async () => {
    throw new CofferClientError('unauthenticated', 'who are you?');
  };
  pushed.open();
  await expect.poll(cached).toEqual([]);
  expect(client.asked.at(-1)?.map(({ name }) => name)).toEqual(['alpha']);
  expect(errors).toMatchObject([{ code: 'unauthenticated' }]);
  expect(store.secret('bravo').reveal()).toBe('one');
});

test('a watch that was refused may have missed anything: what is held is fetched when it is had again', async () => {
  const client = new LocalClient(SECRETS);
  const again = gate();
  client.events = async function* (count) {
    if (count === 2) await again.opened;
    yield { type: 'ready', id: String(count) };
    if (count === 1) throw new CofferClientError('access_denied', 'not you');
    await new Promise(() => {});
  };
  const { store, ticker } = await openStore({ client, secrets: names });
  await ticker.tick();
  await expect.poll(() => client.watches).toBe(2);
  // What the poll asked for is answered before this is.
  await store.refresh();
  client.rotate('bravo', 'two');
  again.open();
  await expect.poll(() => store.secret('bravo').reveal()).toBe('two');
});

test('a store that is disposed of is closed', async () => {
  const client = new LocalClient(SECRETS);
  const opened = async () => {
    await using store = await Store.open({ client, secrets: names, watch: false });
    return store.secret('alpha');
  };
  const handle = await opened();
  expect(() => handle.reveal()).toThrow(expect.objectContaining({ code: 'closed' }));
});
