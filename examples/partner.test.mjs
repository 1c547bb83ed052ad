/**
 * Tests of a program that uses coffer: first without a server, then with a real one, in this process.
 *
 *   node --test partner.test.mjs
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Client, MemoryCache, StaticSecret, Store } from '@coffer/client';
import { FakeTicker, startTestServer } from '@coffer/testing';
import { Partner } from './partner.mjs';

const NAME = 'prod/billing/partner-token';
const URL = 'https://partner.example.com';

const authorization = (token) => new Partner(URL, token).request('/report').headers.get('authorization');

test('a request holds the token', () => {
  assert.equal(authorization(new StaticSecret('swordfish')), 'Bearer swordfish');
});

test('a token that is activated is used at once', async (t) => {
  const { server, client } = await start(t);
  const store = await Store.open({ client, secrets: [NAME] });
  t.after(() => store.close());
  assert.equal(authorization(store.secret(NAME)), 'Bearer swordfish');

  const updated = new Promise((resolve) => store.on('update', resolve));
  await server.mustRotate(NAME, 'correct horse');
  assert.deepEqual(await updated, { name: NAME, version: 2 });
  assert.equal(authorization(store.secret(NAME)), 'Bearer correct horse');
});

test('where nothing is pushed, a poll finds the new token', async (t) => {
  const { server, client } = await start(t);
  const ticker = new FakeTicker();
  const store = await Store.open({ client, secrets: [NAME], watch: false, ticker });
  t.after(() => store.close());

  await server.mustRotate(NAME, 'correct horse');
  assert.equal(authorization(store.secret(NAME)), 'Bearer swordfish');
  await ticker.tick();
  assert.equal(authorization(store.secret(NAME)), 'Bearer correct horse');
});

test('without a server the last token stays, and a cache starts the program', async (t) => {
  const { server, client } = await start(t);
  const cache = new MemoryCache();
  const options = { client, secrets: [NAME], cache, onError: () => {} };
  const first = await Store.open(options);
  t.after(() => first.close());

  await server.stop();
  await assert.rejects(first.refresh(), { code: 'unreachable' });
  assert.equal(authorization(first.secret(NAME)), 'Bearer swordfish');

  const second = await Store.open(options);
  t.after(() => second.close());
  assert.equal(authorization(second.secret(NAME)), 'Bearer swordfish');
});

test('a token that may not be read is an error that says so', async (t) => {
  const { server } = await start(t);
  const { token } = await server.createToken('nobody');
  const client = new Client({ server: server.url, token });
  t.after(() => client.close());
  await assert.rejects(client.get(NAME), { code: 'access_denied' });
});

/** A server of its own for each test; some 20 ms. */
async function start(t) {
  const server = await startTestServer({ secrets: { [NAME]: 'swordfish' } });
  const client = new Client({ server: server.url, token: server.token });
  t.after(async () => {
    client.close();
    await server.close();
  });
  return { server, client };
}
