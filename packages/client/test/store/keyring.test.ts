import { inspect } from 'node:util';
import { FakeClock } from '@coffer/testing';
import { describe, expect, expectTypeOf, onTestFinished, test, vi } from 'vitest';
import { canary, expectNoCanary } from '../../../../test/support/canary.mjs';
import {
  Client,
  CofferClientError,
  EnvClient,
  type Keyring,
  MemoryCache,
  type SecretBytes,
  type WatchOptions,
} from '../../src/index.js';
import { Between, gate, openStore, startBed } from './bed.js';

const shown = (keys: Keyring) => keys.all().map(({ version, value }) => `${version}:${value.reveal()}`);

/** A server with a key of three versions, the second of them active. */
async function startKeys() {
  const { server, client } = await startBed({ key: 'one' });
  await server.mustRotate('key', 'two');
  await server.mustPut('key', 'three');
  return { server, client };
}

const reader = async (server: Awaited<ReturnType<typeof startKeys>>['server']) => {
  const { token } = await server.createToken('reader', [{ actions: ['get'], secrets: ['key'] }]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  return client;
};

describe('a keyring', () => {
  test('has all versions, the active one first, then the newest', async () => {
    const { client } = await startKeys();
    const { store } = await openStore({ client, secrets: ['key'], watch: false });
    const keys = await store.keyring('key');
    expect([keys.active.version, keys.active.value.reveal()]).toEqual([2, 'two']);
    expect(keys.versions).toEqual([1, 2, 3]);
    expect(shown(keys)).toEqual(['2:two', '3:three', '1:one']);
    expect([keys.get(1)?.reveal(), keys.get(4)]).toEqual(['one', undefined]);
    for (const { value } of keys.all()) value.wipe();
    keys.get(1)?.wipe();
    expect(shown(keys)).toEqual(['2:two', '3:three', '1:one']);
    expectTypeOf(keys.get(1)).toEqualTypeOf<SecretBytes | undefined>();
  });

  test('stays as it is on the server: what is added comes, what is activated is first, what is deleted is gone', async () => {
    const { server, client } = await startKeys();
    const { store, ticker } = await openStore({ client, allowLookup: true, watch: false });
    const keys = await store.keyring('key');
    await server.mustPut('key', 'four');
    await ticker.tick();
    expect(shown(keys)).toEqual(['2:two', '4:four', '3:three', '1:one']);
    await server.mustActivate('key', 4);
    await server.mustDelete('key', 1);
    await store.refresh();
    expect(shown(keys)).toEqual(['4:four', '3:three', '2:two']);
    await server.mustDelete('key');
    await expect(store.refresh()).rejects.toMatchObject({ code: 'not_found' });
    expect(shown(keys)).toEqual(['4:four', '3:three', '2:two']);
  });

  test('is pushed its changes, and their numbers along with them', async () => {
    const { server, client } = await startKeys();
    const between = new Between(client);
    const { store } = await openStore({ client: between, secrets: ['key'] });
    const keys = await store.keyring('key');
    await expect.poll(() => store.metrics().watching).toBe(true);
    await store.refresh();
    const info = vi.spyOn(between, 'info');
    await server.mustPut('key', 'four');
    await expect.poll(() => keys.versions).toEqual([1, 2, 3, 4]);
    await server.mustActivate('key', 4);
    await expect.poll(() => shown(keys)).toEqual(['4:four', '3:three', '2:two', '1:one']);
    const asked = between.asked.flat().map(({ version }) => version);
    // At the opening, with the fourth, and when that is active: a number may stand for another value by then.
    expect(asked.filter((version) => version !== undefined)).toEqual([1, 3, 1, 3, 4, 1, 2, 3]);
    await server.mustDelete('key', 2);
    await expect.poll(() => shown(keys)).toEqual(['4:four', '3:three', '1:one']);
    expect(info).not.toHaveBeenCalled();
  });

  test('asks for the numbers when the watch is over that told them', async () => {
    const { server, client } = await startKeys();
    const end = gate();
    let watches = 0;
    const watch = async function* (options?: WatchOptions) {
      if (watches++ > 0) throw new CofferClientError('unsupported', 'no watch');
      const events = client.watch(options);
      for await (const event of events) {
        yield event;
        if (event.type === 'change') break;
      }
      await end.opened;
      throw new CofferClientError('unsupported', 'no watch');
    };
    const between = Object.assign(new Between(client), { watch });
    const { store, ticker } = await openStore({ client: between, secrets: ['key'] });
    const keys = await store.keyring('key');
    await expect.poll(() => store.metrics().watching).toBe(true);
    await server.mustPut('key', 'four');
    await expect.poll(() => keys.versions).toEqual([1, 2, 3, 4]);
    end.open();
    await expect.poll(() => store.metrics().watching).toBe(false);
    await server.mustPut('key', 'five');
    await ticker.tick();
    expect(keys.versions).toEqual([1, 2, 3, 4, 5]);
  });

  test('follows a secret that is made anew with the same numbers', async () => {
    const { server, client } = await startKeys();
    const { store } = await openStore({ client, secrets: ['key'] });
    const keys = await store.keyring('key');
    await expect.poll(() => store.metrics().watching).toBe(true);
    await server.mustDelete('key');
    for (const value of ['uno', 'dos', 'tres']) await server.mustPut('key', value);
    await expect.poll(() => shown(keys)).toEqual(['1:uno', '3:tres', '2:dos']);
    await server.mustActivate('key', 2);
    await expect.poll(() => shown(keys)).toEqual(['2:dos', '3:tres', '1:uno']);
  });

  test('needs the right to info, until the watch has told the versions', async () => {
    const { server } = await startKeys();
    const client = await reader(server);
    const { store, errors } = await openStore({ client, secrets: ['key'] });
    await expect.poll(() => store.metrics().watching).toBe(true);
    const refused = await store.keyring('key').catch((error) => error);
    expect(refused).toMatchObject({ code: 'access_denied' });
    expect(refused.message).toContain("needs the right to 'info'");
    await store.refresh();
    errors.length = 0;

    await server.mustRotate('key', 'four');
    await expect.poll(() => store.secret('key').version).toBe(4);
    const keys = await store.keyring('key');
    expect(shown(keys)).toEqual(['4:four', '3:three', '2:two', '1:one']);
    await server.mustDelete('key', 1);
    await server.mustPut('key', 'five');
    await expect.poll(() => shown(keys)).toEqual(['4:four', '5:five', '3:three', '2:two']);
    await store.refresh();
    expect(errors).toEqual([]);
  });

  test('that loses the right to info keeps what it has, and the active version stays current', async () => {
    const { server } = await startKeys();
    const { token, principal } = await server.createToken('reader', [
      { actions: ['get', 'info'], secrets: ['key'] },
    ]);
    const client = new Client({ server: server.url, token });
    onTestFinished(() => client.close());
    const cache = new MemoryCache();
    const { store, errors, ticker } = await openStore({ client, cache, secrets: ['key'], watch: false });
    const keys = await store.keyring('key');
    await server.grant(principal, [{ actions: ['get'], secrets: ['key'] }]);
    await server.mustRotate('key', 'four');
    await ticker.tick();
    await ticker.tick();
    expect(shown(keys)).toEqual(['4:four', '3:three', '2:two', '1:one']);
    expect(errors).toMatchObject([{ code: 'access_denied' }]);
    const cached = await openStore({ client, cache, secrets: ['key'], watch: false });
    expect(cached.store.secret('key').version).toBe(4);
  });

  test('is not opened for what cannot be had', async () => {
    const { client } = await startKeys();
    const { store } = await openStore({ client, allowLookup: true, watch: false });
    await expect(store.keyring('nonesuch')).rejects.toMatchObject({ code: 'not_found' });
    expect(store.secret('nonesuch')).toBeUndefined();
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(store.keyring('key', { signal })).rejects.toThrow('enough');
    const strict = await openStore({ client, secrets: ['key'], watch: false });
    await expect(strict.store.keyring('other')).rejects.toMatchObject({ code: 'undeclared' });
  });

  test('is not opened by a client that tells no versions', async () => {
    const { client } = await startKeys();
    const plain = {
      get: client.get.bind(client),
      getIfChanged: client.getIfChanged.bind(client),
    };
    const { store } = await openStore({ client: plain, secrets: ['key'] });
    await expect(store.keyring('key')).rejects.toMatchObject({ code: 'unsupported' });
    const one = await openStore({ client: new EnvClient({ env: { KEY: 'x' } }), secrets: ['key'] });
    expect(shown(await one.store.keyring('key'))).toEqual(['1:x']);
  });

  test('works with a client that gives one secret at a time', async () => {
    const { server, client } = await startKeys();
    const plain = {
      get: client.get.bind(client),
      getIfChanged: client.getIfChanged.bind(client),
      info: client.info.bind(client),
    };
    const { store } = await openStore({ client: plain, secrets: ['key'] });
    const keys = await store.keyring('key');
    await server.mustRotate('key', 'four');
    await store.refresh();
    expect(shown(keys)).toEqual(['4:four', '3:three', '2:two', '1:one']);
  });

  test('starts from the cache while the server is away, and stays as it is while that lasts', async () => {
    const { server, client } = await startKeys();
    const cache = new MemoryCache();
    const first = await openStore({ client, cache, secrets: ['key'], watch: false });
    await first.store.keyring('key');
    await first.store.close();
    await server.stop();
    const { store, errors } = await openStore({ client, cache, secrets: ['key'], watch: false });
    const keys = await store.keyring('key');
    expect(shown(keys)).toEqual(['2:two', '3:three', '1:one']);
    await expect.poll(() => errors).toMatchObject([{ code: 'unreachable' }]);
    await server.start();
    await server.mustActivate('key', 3);
    // It may have read before that what it had missed.
    await store.refresh();
    expect(shown(keys)).toEqual(['3:three', '2:two', '1:one']);
  });

  test('does not expire, while versions that were asked for by number do', async () => {
    const { server, client } = await startKeys();
    await server.mustPut('other', 'x');
    const clock = new FakeClock();
    const options = { client, allowLookup: true, watch: false, expiryAge: 1000, now: clock.now };
    const { store } = await openStore(options);
    const keys = await store.keyring('key');
    await store.versioned('other').get(1);
    clock.advance(5000);
    await store.refresh();
    expect(shown(keys)).toEqual(['2:two', '3:three', '1:one']);
    await server.stop();
    await expect(store.versioned('other').get(1)).rejects.toMatchObject({ code: 'unreachable' });
  });

  test('does not show its values, and gives none when its store is closed', async () => {
    const { client } = await startBed({ key: canary('key') });
    const { store } = await openStore({ client, secrets: ['key'], watch: false });
    const keys = await store.keyring('key');
    for (const of of [keys, keys.active, keys.all(), store.versioned('key')]) {
      expectNoCanary(inspect(of, { depth: 9, showHidden: true }), 'inspect');
      expectNoCanary(JSON.stringify(of), 'JSON');
    }
    await store.close();
    for (const use of [() => keys.active, () => keys.versions, () => keys.get(1), () => keys.all()])
      expect(use).toThrow(expect.objectContaining({ code: 'closed' }));
  });
});
