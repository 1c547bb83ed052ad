import { FakeClock } from '@coffer/testing';
import { describe, expect, test, vi } from 'vitest';
import { CofferClientError, type SecretAnswer, type WatchEvent, type WatchOptions } from '../../src/index.js';
import { Events } from '../../src/store/events.js';
import { Holdings } from '../../src/store/holdings.js';
import { Watching } from '../../src/store/watching.js';
import { Between, codes, gate, openStore, startBed } from './bed.js';

describe('an answer that is not what the watch told', () => {
  const contradictions: [string, (between: Between) => Promise<SecretAnswer>][] = [
    ['not found', async () => ({ name: 'alpha', error: 'not_found' })],
    ['not allowed', async () => ({ name: 'alpha', error: 'access_denied' })],
    ['the version before', async (from) => ({ name: 'alpha', ...(await from.get('alpha', { version: 1 })) })],
    ['that there is nothing new', async () => ({ name: 'alpha', version: 1, unchanged: true })],
  ];
  test.each(contradictions)('(%s) is asked for again until it is', async (_, contradict) => {
    const { server, client } = await startBed({ alpha: 'one' });
    const between = new Between(client);
    const { store } = await openStore({ client: between, secrets: ['alpha'] });
    await expect.poll(() => between.asked.length).toBe(2);
    const { getMany } = between;
    let tries = 0;
    between.getMany = async (...args) => (tries++ < 3 ? [await contradict(between)] : getMany(...args));
    await server.mustRotate('alpha', 'two');
    await expect.poll(() => store.secret('alpha').reveal(), { timeout: 10_000 }).toBe('two');
    expect(store.metrics()).toMatchObject({ polls: 0 });
  });

  test('is asked for no more when what was told since then agrees with it', () => {
    const holdings = new Holdings(new Events(), Date.now);
    const held = holdings.add('alpha');
    held.wanted = true;
    holdings.take(held, 1, Buffer.from('one'));
    held.hear({ name: 'alpha', versions: [1, 2], activeVersion: 2 });
    held.agree();
    expect(held.ahead).toBe(true);
    held.hear({ name: 'alpha', versions: [1, 2], activeVersion: 1 });
    held.agree();
    expect(held.ahead).toBe(false);
  });

  test('is left to the polls after a minute', () => {
    const held = new Holdings(new Events(), Date.now).add('alpha');
    held.wanted = true;
    held.hear({ name: 'alpha', versions: [1], activeVersion: 1 });
    held.agree();
    expect(held.ahead).toBe(true);
    const later = performance.now() + 61_000;
    const now = vi.spyOn(performance, 'now').mockReturnValue(later);
    expect(held.ahead).toBe(false);
    now.mockRestore();
  });

  test('is asked for again where a version of a keyring is missing', async () => {
    const { server, client } = await startBed({ key: 'one' });
    const between = new Between(client);
    const { store } = await openStore({ client: between, secrets: ['key'] });
    const keys = await store.keyring('key');
    await expect.poll(() => store.metrics().watching).toBe(true);
    await store.refresh();
    const { getMany } = between;
    let tries = 0;
    between.getMany = async (requests, options) => {
      const answers = await getMany(requests, options);
      return requests[0]?.version === 2 && tries++ < 2 ? [{ name: 'key', error: 'not_found' }] : answers;
    };
    await server.mustPut('key', 'two');
    await expect.poll(() => keys.versions, { timeout: 10_000 }).toEqual([1, 2]);
    expect(tries).toBeGreaterThan(2);
  });
});

test('a refresh shows the numbers of versions as they are, also while the watch does not tell', async () => {
  const { server, client } = await startBed({ key: 'one' });
  const between = new Between(client);
  let stalled = false;
  between.watch = async function* (options: WatchOptions = {}) {
    for await (const event of client.watch(options)) if (!stalled) yield event;
  };
  const { store } = await openStore({ client: between, secrets: ['key'] });
  const keys = await store.keyring('key');
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.mustPut('key', 'leaked');
  await expect.poll(() => keys.versions).toEqual([1, 2]);
  // The round of that change is over.
  await store.refresh();
  stalled = true;
  await server.mustDelete('key', 2);
  await server.mustPut('key', 'three');
  await store.refresh();
  expect(keys.versions).toEqual([1, 3]);
});

describe('a secret that is made anew with the same number', () => {
  test('before the watch begins, some time after the first values, is current then', async () => {
    const { server, client } = await startBed({ alpha: 'one' });
    const clock = new FakeClock();
    const between = new Between(client);
    const { opened, open } = gate();
    between.beforeWatch = opened;
    const { store } = await openStore({ client: between, secrets: ['alpha'], now: clock.now });
    await server.mustDelete('alpha');
    await server.mustPut('alpha', 'other');
    clock.advance(10_000);
    open();
    await expect.poll(() => store.secret('alpha').reveal()).toBe('other');
  });

  test('and with the same active value, is current in its other versions', async () => {
    const { server, client } = await startBed({ key: 'one' });
    await server.mustPut('key', 'two');
    const between = new Between(client);
    const { store } = await openStore({ client: between, secrets: ['key'] });
    const keys = await store.keyring('key');
    await expect.poll(() => store.metrics().watching).toBe(true);
    await store.refresh();
    const { opened, open } = gate();
    between.beforeMany = opened;
    await server.mustDelete('key');
    for (const value of ['one', 'dos']) await server.mustPut('key', value);
    const info = await client.info('key');
    expect(info.versions).toEqual([1, 2]);
    open();
    await expect.poll(() => keys.get(2)?.reveal()).toBe('dos');
  });

  test.each([false, true])(
    'while a version is fetched, is current (with a keyring: %s)',
    async (withKeyring) => {
      const { server, client } = await startBed({ key: 'one', last: 'x' });
      await server.mustPut('key', 'two');
      const between = new Between(client);
      const { opened, open } = gate();
      between.afterGet = opened;
      const { store } = await openStore({ client: between, secrets: ['key', 'last'] });
      await expect.poll(() => store.metrics().watching).toBe(true);
      const secret = store.versioned('key');
      const asked = secret.get(2);
      await expect.poll(() => between.looked).toEqual(['key']);
      await client.get('key', { version: 2 });
      const keys = withKeyring ? await store.keyring('key') : undefined;
      await server.mustDelete('key');
      for (const value of ['uno', 'dos']) await server.mustPut('key', value);
      await expect.poll(() => store.secret('key').reveal()).toBe('uno');
      if (keys) await expect.poll(() => keys.get(2)?.reveal()).toBe('dos');
      open();
      await asked;
      await expect.poll(async () => (await secret.get(2)).reveal()).toBe('dos');
      expect(keys?.get(2)?.reveal() ?? 'dos').toBe('dos');
    },
  );
});

test('resets that come one upon the other are answered together, and the last one too', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const end = gate();
  between.watch = async function* (): AsyncGenerator<WatchEvent, void> {
    yield { type: 'ready', id: '0' };
    for (let id = 1; id < 1000; id++) {
      yield { type: 'reset', id: `${id}` };
      await new Promise(setImmediate);
    }
    await server.mustRotate('alpha', 'two');
    yield { type: 'reset', id: '1000' };
    await end.opened;
    throw new CofferClientError('unsupported', 'enough');
  };
  const { store, errors } = await openStore({ client: between, secrets: ['alpha'] });
  await expect.poll(() => store.secret('alpha').reveal(), { timeout: 10_000 }).toBe('two');
  expect(between.asked.length).toBeLessThan(12);
  end.open();
  await expect.poll(() => codes(errors)).toEqual(['unsupported']);
});

test('only a secret that is new makes the watch wider', async () => {
  const { client } = await startBed({ alpha: 'one', bravo: 'two' });
  const { store } = await openStore({ client, secrets: ['alpha'], allowLookup: true });
  const widen = vi.spyOn(Watching.prototype, 'widen');
  await store.versioned('alpha').get(1);
  await store.keyring('alpha');
  expect(widen).not.toHaveBeenCalled();
  await store.lookup('bravo');
  expect(widen.mock.calls).toEqual([['bravo']]);
  widen.mockRestore();
});
