/** Tokens of a real Vault that are given up, many at once. */
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { VaultApi } from '../../packages/wasmcloud/src/vault/api.js';
import { Farewells } from '../../packages/wasmcloud/src/vault/farewells.js';
import { VaultHttp } from '../../packages/wasmcloud/src/vault/http.js';
import { type ClientToken, endToken } from '../../packages/wasmcloud/src/vault/login.js';
import { LoginCache } from '../../packages/wasmcloud/src/vault/login-cache.js';
import { VaultServer } from '../support/vault.mjs';
import { Between } from './vault-world.js';

const FOREVER = Number.POSITIVE_INFINITY;
const MANY = 300;
const GENEROUS = { timeout: 60_000, interval: 200 };

let vault: VaultServer;
let between: Between;
beforeAll(async () => {
  vault = await VaultServer.start();
  between = await Between.start(vault.url);
});
afterAll(async () => {
  await between?.[Symbol.asyncDispose]();
  await vault?.stop();
});

async function open() {
  const api = new VaultApi(await VaultHttp.at(between.url), 0);
  onTestFinished(() => api.close());
  const notices: string[] = [];
  const onNotice = (sentence: string) => void notices.push(sentence);
  const farewells = new Farewells((...which) => endToken(api, ...which), { graceMs: 0, onNotice });
  between.instead = () => false;
  between.before = async () => {};
  between.seen.length = 0;
  return { api, farewells, notices };
}

async function clientToken(leaseEnd = FOREVER): Promise<ClientToken> {
  const { auth } = await vault.call('POST', 'auth/token/create', { policies: ['default'] });
  const token = (auth as { client_token: string }).client_token;
  return { token, namespace: undefined, until: leaseEnd, leaseEnd, uses: FOREVER };
}

/** How many tokens Vault has. */
const held = async () => ((await vault.call('GET', 'auth/token/accessors?list=true')).data.keys as []).length;
const ends = () => between.count('auth/token/revoke-self');

it('all of who was revoked are ended, however slow Vault is, and others need not wait behind them', async () => {
  const { api, farewells, notices } = await open();
  const before = await held();
  const cache = new LoginCache((client) => farewells.later(client), { most: MANY, share: MANY });
  for (let n = 0; n < MANY; n++) {
    const token = { jti: `${n}`, key: 'a component', issuer: 'an account' };
    await cache.get({ owner: 'one', token, text: `${n}` }, () => clientToken());
  }
  expect(await held()).toBe(before + MANY);
  // Longer in all than one may take.
  let [now, most] = [0, 0];
  between.before = async ({ url }) => {
    if (url !== '/v1/auth/token/revoke-self') return;
    most = Math.max(most, ++now);
    await new Promise((resolve) => setTimeout(resolve, 600));
    now--;
  };
  cache.sweep(({ issuer }) => issuer === 'an account');
  await expect.poll(ends).toBeGreaterThan(31);
  const patience = { until: performance.now() + 20_000 };
  await api.ask({ method: 'GET', path: 'sys/health', namespace: undefined }, patience);
  expect(ends()).toBeLessThan(MANY);
  await expect.poll(held, GENEROUS).toBe(before);
  expect([ends(), most, notices]).toEqual([MANY, 32, []]);
}, 120_000);

it('what Vault cannot be made to end is told once, and tried again until its lease is over', async () => {
  const { farewells, notices } = await open();
  const before = await held();
  const waiting: (() => void)[] = [];
  between.instead = (_, answer) => {
    waiting.push(() => answer(500, { errors: ['storage is gone'] }));
    if (ends() >= 2) for (const one of waiting.splice(0)) one();
    return true;
  };
  for (const client of [await clientToken(), await clientToken(performance.now())]) farewells.later(client);
  const told = [expect.stringMatching(/^Vault could not be made to end 2 tokens .*tried again/)];
  await expect.poll(() => notices, GENEROUS).toEqual(told);
  farewells.again();
  await expect.poll(ends, GENEROUS).toBe(3);
  between.instead = () => false;
  await expect
    .poll(async () => {
      farewells.again();
      return await held();
    }, GENEROUS)
    .toBe(before + 1);
  expect(notices).toEqual(told);
}, 120_000);

it('at the end of a source all that are left are ended', async () => {
  const { farewells, notices } = await open();
  const before = await held();
  for (let n = 0; n < 3; n++) farewells.later(await clientToken());
  await farewells.now([await clientToken()]);
  expect([await held(), notices]).toEqual([before, []]);
}, 120_000);
