import { describe, expect, it } from 'vitest';
import type { ClientToken } from '../src/vault/login.js';
import { LoginCache, type LoginKey } from '../src/vault/login-cache.js';

const FOREVER = Number.POSITIVE_INFINITY;
const key = (text: string, owner = text): LoginKey => ({
  owner,
  token: { jti: text, key: owner, issuer: 'an account' },
  text,
});
let made = 0;
const token = (about: Partial<ClientToken> = {}): ClientToken => ({
  token: `token ${++made}`,
  namespace: undefined,
  until: FOREVER,
  leaseEnd: FOREVER,
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
    const first = await cache.get(key('a'), logIn);
    const again = await cache.get(key('a'), logIn);
    expect([first.fresh, again.fresh]).toEqual([true, false]);
    expect(again.client).toBe(first.client);
    expect((await cache.get(key('b'), logIn)).client).not.toBe(first.client);
    expect(counted.times).toBe(2);
  });

  it('of many who come at once are one', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting();
    const all = await Promise.all(Array.from({ length: 32 }, () => cache.get(key('a'), logIn)));
    expect(new Set(all.map(({ client }) => client)).size).toBe(1);
    expect(counted.times).toBe(1);
  });

  it('that fail, fail for all who wait, and not for who comes later', async () => {
    const cache = new LoginCache();
    let fail = (_: Error) => {};
    const failing = () => new Promise<ClientToken>((_, reject) => (fail = reject));
    const waiting = [cache.get(key('a'), failing), cache.get(key('a'), failing)];
    fail(new Error('refused'));
    for (const one of await Promise.allSettled(waiting)) expect(one.status).toBe('rejected');
    expect((await cache.get(key('a'), counting().logIn)).fresh).toBe(true);
  });

  it('are made anew when their time is over', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting({ until: performance.now() });
    await cache.get(key('a'), logIn);
    await cache.get(key('a'), logIn);
    expect(counted.times).toBe(2);
  });

  it('are made anew when all their uses are used, by many at once too', async () => {
    const cache = new LoginCache();
    const { counted, logIn } = counting({ uses: 2 });
    const all = await Promise.all(Array.from({ length: 5 }, () => cache.get(key('a'), logIn)));
    expect(counted.times).toBe(3);
    const uses = new Map<string, number>();
    for (const { client } of all) uses.set(client.token, (uses.get(client.token) ?? 0) + 1);
    expect([...uses.values()].sort()).toEqual([1, 2, 2]);
    await cache.get(key('a'), logIn);
    await cache.get(key('a'), logIn);
    expect(counted.times).toBe(4);
  });

  it('that Vault does not take any more are dropped once, and ended', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client));
    const { counted, logIn } = counting();
    const old = await cache.get(key('a'), logIn);
    cache.drop(old);
    const { client } = await cache.get(key('a'), logIn);
    cache.drop(old);
    expect((await cache.get(key('a'), logIn)).client).toBe(client);
    expect(ended).toEqual([old.client]);
    expect(counted.times).toBe(2);
  });

  it('are as many as are wanted: the one used longest ago goes', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client), { most: 2, share: 2 });
    const { logIn } = counting();
    await cache.get(key('a'), logIn);
    const { client: second } = await cache.get(key('b'), logIn);
    await cache.get(key('a'), logIn);
    await cache.get(key('c'), logIn);
    expect(ended).toEqual([second]);
    expect(await cache.close()).toHaveLength(2);
    expect(cache.size).toBe(0);
  });

  it('of one owner are no more than its share: it gives up its own, and nobody else’s', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client), { most: 100, share: 3 });
    const { counted, logIn } = counting();
    await cache.get(key('other', 'b'), logIn);
    const { client: first } = await cache.get(key('1', 'a'), logIn);
    const { client: second } = await cache.get(key('2', 'a'), logIn);
    await cache.get(key('3', 'a'), logIn);
    await cache.get(key('1', 'a'), logIn);
    await cache.get(key('4', 'a'), logIn);
    expect(ended).toEqual([second]);
    expect((await cache.get(key('1', 'a'), logIn)).client).toBe(first);
    expect((await cache.get(key('other', 'b'), logIn)).fresh).toBe(false);
    expect(counted.times).toBe(5);
  });

  it('that another log-in would not help are not dropped for a while', async () => {
    const cache = new LoginCache();
    const { logIn } = counting();
    const login = await cache.get(key('a'), logIn);
    expect((await cache.get(key('a'), logIn)).fresh).toBe(false);
    cache.rest(login);
    expect((await cache.get(key('a'), logIn)).fresh).toBe(true);
    expect((await cache.get(key('b'), logIn)).client).not.toBe(login.client);
  });

  it('whose time is over are swept out, and ended where Vault would keep them', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client));
    const now = performance.now();
    const { client } = await cache.get(key('a'), async () => token({ until: now }));
    await cache.get(key('b'), async () => token({ until: now, leaseEnd: now }));
    await cache.get(key('c'), async () => token());
    cache.sweep();
    expect(cache.size).toBe(1);
    expect(ended).toEqual([client]);
  });

  it('of who was revoked are swept out, and ended', async () => {
    const ended: ClientToken[] = [];
    const cache = new LoginCache((client) => ended.push(client));
    const { client } = await cache.get(key('a'), async () => token());
    await cache.get(key('b'), async () => token());
    cache.sweep(({ jti }) => jti === 'a');
    expect([cache.size, ended]).toEqual([1, [client]]);
  });

  it('that are under way at the end are waited for, so that they are ended, too', async () => {
    const cache = new LoginCache();
    let resolve = (_: ClientToken) => {};
    const coming = cache.get(key('a'), () => new Promise((done) => (resolve = done)));
    const closing = cache.close();
    const late = token();
    resolve(late);
    expect(await closing).toEqual([late]);
    await coming;
    await expect(cache.get(key('b'), counting().logIn)).rejects.toThrow(/closed/);
  });
});
