import { describe, expect, it } from 'vitest';
import type { ClientToken } from '../src/vault/login.js';
import { LoginCache } from '../src/vault/login-cache.js';

const FOREVER = Number.POSITIVE_INFINITY;
let made = 0;
const token = (about: Partial<ClientToken> = {}): ClientToken => ({
  token: `token ${++made}`,
  namespace: undefined,
  until: FOREVER,
  uses: FOREVER,
  ...about,
});

/** Counts log-ins. */
function counting(about: Partial<ClientToken> = {}) {
  const counted = { times: 0 };
  const logIn = async () => {
    counted.times++;
    return token(about);
  };
  return { counted, logIn };
}

describe('log-ins', () => {
  it('are kept, each for who it is of', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting();
    const first = await cache.get('a', logIn);
    const again = await cache.get('a', logIn);
    expect([first.fresh, again.fresh]).toEqual([true, false]);
    expect(again.client).toBe(first.client);
    expect((await cache.get('b', logIn)).client).not.toBe(first.client);
    expect(counted.times).toBe(2);
  });

  it('of many who come at once are one', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting();
    const all = await Promise.all(Array.from({ length: 32 }, () => cache.get('a', logIn)));
    expect(new Set(all.map(({ client }) => client)).size).toBe(1);
    expect(counted.times).toBe(1);
  });

  it('that fail, fail for all who wait, and not for who comes later', async () => {
    const cache = new LoginCache();
    let fail = (_: Error) => {};
    const failing = () => new Promise<ClientToken>((_, reject) => (fail = reject));
    const waiting = [cache.get('a', failing), cache.get('a', failing)];
    fail(new Error('refused'));
    for (const one of await Promise.allSettled(waiting)) expect(one.status).toBe('rejected');
    expect((await cache.get('a', counting().logIn)).fresh).toBe(true);
  });

  it('are made anew when their time is over', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting({ until: performance.now() });
    await cache.get('a', logIn);
    await cache.get('a', logIn);
    expect(counted.times).toBe(2);
  });

  it('are made anew when all their uses are used, by many at once too', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting({ uses: 2 });
    const all = await Promise.all(Array.from({ length: 5 }, () => cache.get('a', logIn)));
    expect(counted.times).toBe(3);
    const uses = new Map<string, number>();
    for (const { client } of all) uses.set(client.token, (uses.get(client.token) ?? 0) + 1);
    expect([...uses.values()].sort()).toEqual([1, 2, 2]);
    await cache.get('a', logIn);
    await cache.get('a', logIn);
    expect(counted.times).toBe(4);
  });

  it('that Vault does not take any more are dropped once, and ended', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client));
    const { counted, logIn } = counting();
    const old = await cache.get('a', logIn);
    cache.drop(old);
    const { client } = await cache.get('a', logIn);
    cache.drop(old);
    expect((await cache.get('a', logIn)).client).toBe(client);
    expect(ended).toEqual([old.client]);
    expect(counted.times).toBe(2);
  });

  it('are as many as are wanted: the one used longest ago goes', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client), 2);
    const { logIn } = counting();
    await cache.get('a', logIn);
    const { client: second } = await cache.get('b', logIn);
    await cache.get('a', logIn);
    await cache.get('c', logIn);
    expect(ended).toEqual([second]);
    expect(cache.clear()).toHaveLength(2);
    expect(cache.size).toBe(0);
  });
});
