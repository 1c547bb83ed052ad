import { expect, onTestFinished, test } from 'vitest';
import { Client, CofferClientError, type WatchEvent, type WatchOptions } from '../../src/index.js';
import { Between, codes, gate, openStore, startBed } from './bed.js';

test('a change is there without a poll, and told', async () => {
  const { server, client } = await startBed({ alpha: 'one', bravo: 'x' });
  const { store, updates } = await openStore({ client, secrets: ['alpha', 'bravo'] });
  const alpha = store.secret('alpha');
  let seen = '';
  store.on('update', () => {
    seen = alpha.reveal();
  });
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.mustRotate('alpha', 'two');
  await expect.poll(() => updates).toEqual([{ name: 'alpha', version: 2 }]);
  expect(seen).toBe('two');
  await server.mustActivate('alpha', 1);
  await expect.poll(() => updates.at(-1)).toEqual({ name: 'alpha', version: 1 });
  expect(alpha.reveal()).toBe('one');
  expect(store.metrics()).toMatchObject({ polls: 0, updates: 2 });
});

test('a version that is not active yet changes nothing', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store, updates } = await openStore({ client: between, secrets: ['alpha'] });
  await expect.poll(() => between.asked.length).toBe(2);
  await server.mustPut('alpha', 'two');
  await expect.poll(() => between.asked.length).toBe(3);
  await store.refresh();
  expect(updates).toEqual([]);
  expect(store.secret('alpha').reveal()).toBe('one');
});

test('a change between the first values and the beginning of the watch is not missed', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { opened, open } = gate();
  between.beforeWatch = opened;
  const { store } = await openStore({ client: between, secrets: ['alpha'] });
  await server.mustRotate('alpha', 'two');
  expect(store.secret('alpha').reveal()).toBe('one');
  open();
  await expect.poll(() => store.secret('alpha').reveal()).toBe('two');
  expect(between.asked).toEqual([[{ name: 'alpha' }], [{ name: 'alpha', known: 1 }]]);
});

test('changes while one is fetched are fetched together, after it', async () => {
  const names = ['a', 'b', 'c', 'd'] as const;
  const { server, client } = await startBed(Object.fromEntries(names.map((name) => [name, 'one'])));
  const between = new Between(client);
  const { store, updates } = await openStore({ client: between, secrets: names });
  await expect.poll(() => between.asked.length).toBe(2);
  const { opened, open } = gate();
  between.beforeMany = opened;
  await server.mustActivate('a', await server.mustPut('a', 'two'));
  await expect.poll(() => between.asked.length).toBe(3);
  for (const name of names) await server.mustRotate(name, 'three');
  // What is pushed is in order: when this is told, all of them were.
  const last = client.watch({ secrets: ['last'] });
  onTestFinished(() => void last.return());
  await last.next();
  await server.mustPut('last', 'x');
  await last.next();
  open();
  await expect.poll(() => names.map((name) => store.secret(name).reveal())).toEqual(names.map(() => 'three'));
  expect(between.asked.length).toBeLessThanOrEqual(5);
  expect(new Set(updates.map(({ name }) => name))).toEqual(new Set(names));
});

test('an older answer never takes the place of a newer one', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store, updates } = await openStore({ client: between, secrets: ['alpha'], watch: false });
  const { opened, open } = gate();
  between.afterMany = opened;
  const first = store.refresh();
  await expect.poll(() => between.asked.length).toBe(2);
  await server.mustRotate('alpha', 'two');
  const second = store.refresh();
  expect(between.asked.length).toBe(2);
  open();
  await Promise.all([first, second]);
  expect(store.secret('alpha').reveal()).toBe('two');
  expect(updates.map(({ version }) => version)).toEqual([2]);
});

test('a secret that is deleted keeps its value, is reported, and is current when it is made anew', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const { store, errors } = await openStore({ client, secrets: ['alpha'] });
  const alpha = store.secret('alpha');
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.mustDelete('alpha');
  await expect.poll(() => codes(errors)).toEqual(['not_found']);
  expect(alpha.reveal()).toBe('one');
  // The number is the same.
  await server.mustPut('alpha', 'other');
  await expect.poll(() => alpha.reveal()).toBe('other');
  await server.mustDelete('alpha');
  await expect.poll(() => codes(errors)).toEqual(['not_found', 'not_found']);
});

test('a secret that is deleted and made anew between two looks at it is current', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store } = await openStore({ client: between, secrets: ['alpha'] });
  await expect.poll(() => between.asked.length).toBe(2);
  const { opened, open } = gate();
  between.beforeMany = opened;
  await server.mustDelete('alpha');
  await server.mustPut('alpha', 'other');
  await expect.poll(() => between.asked.length).toBe(3);
  open();
  await expect.poll(() => store.secret('alpha').reveal()).toBe('other');
});

test('a secret that was deleted and made anew while the server was away is current afterwards', async () => {
  const { server, client } = await startBed({ alpha: 'one', bravo: 'x' });
  const { store, errors } = await openStore({ client, secrets: ['alpha', 'bravo'] });
  const alpha = store.secret('alpha');
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.stop();
  await expect.poll(() => store.metrics().watching).toBe(false);
  // On a slow machine the next try is over as well.
  expect(codes(errors)[0]).toBe('stopped');
  expect(alpha.reveal()).toBe('one');
  await server.start();
  await server.mustDelete('alpha');
  await server.mustPut('alpha', 'other');
  await expect.poll(() => alpha.reveal(), { timeout: 10_000 }).toBe('other');
  expect(store.metrics()).toMatchObject({ watching: true, polls: 0 });
});

test('everything is read anew when the grants are others', async () => {
  const { server } = await startBed({ alpha: 'one', bravo: 'x' });
  const grant = { actions: ['get'] as const, secrets: ['alpha', 'bravo'] };
  const { token, principal } = await server.createToken('program', [grant]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const between = new Between(client);
  const { store, errors } = await openStore({ client: between, secrets: ['alpha', 'bravo'] });
  await expect.poll(() => between.asked.length).toBe(2);
  await server.grant(principal, [{ ...grant, secrets: ['alpha'] }]);
  await expect
    .poll(() => errors.map(({ message }) => message))
    .toEqual([
      'access denied: no grant allows you to get "bravo"; ask an administrator for one; its last value stays',
    ]);
  expect(between.asked.at(-1)).toEqual([{ name: 'alpha' }, { name: 'bravo' }]);
  await server.mustRotate('bravo', 'y');
  await server.grant(principal, [grant]);
  await expect.poll(() => store.secret('bravo').reveal()).toBe('y');
});

test('a watch of which nothing can be told any more is reported, and tried again at the next poll', async () => {
  const { server } = await startBed({ alpha: 'one' });
  const grant = { actions: ['get'] as const, secrets: ['alpha'] };
  const { token, principal } = await server.createToken('program', [grant]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  const { store, errors, ticker } = await openStore({ client, secrets: ['alpha'] });
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.grant(principal, []);
  await expect.poll(() => codes(errors)).toEqual(['access_denied', 'access_denied']);
  expect(store.metrics().watching).toBe(false);
  await server.mustRotate('alpha', 'two');
  await server.grant(principal, [grant]);
  expect(store.secret('alpha').reveal()).toBe('one');
  await ticker.tick();
  expect(store.secret('alpha').reveal()).toBe('two');
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.mustRotate('alpha', 'three');
  await expect.poll(() => store.secret('alpha').reveal()).toBe('three');
});

test('a push whose fetch fails is fetched again until that works, and the failure told once', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store, errors } = await openStore({ client: between, secrets: ['alpha'] });
  await expect.poll(() => between.asked.length).toBe(2);
  let tries = 0;
  const { getMany } = between;
  between.getMany = async () => {
    tries++;
    throw new CofferClientError('unreachable', `not now (${tries})`);
  };
  await server.mustRotate('alpha', 'two');
  await expect.poll(() => tries).toBeGreaterThan(1);
  between.getMany = getMany;
  await expect.poll(() => store.secret('alpha').reveal()).toBe('two');
  expect(errors.map(({ message }) => message)).toEqual(['not now (1)']);
});

test('secrets that are looked up are watched too, and what changed meanwhile is not missed', async () => {
  const { server, client } = await startBed({ alpha: 'one', bravo: 'one' });
  const between = new Between(client);
  const { store, updates } = await openStore({ client: between, allowLookup: true });
  const alpha = await store.lookup('alpha');
  await expect.poll(() => between.watched.map(({ secrets }) => secrets)).toEqual([['alpha']]);
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.mustRotate('alpha', 'two');
  await expect.poll(() => alpha.reveal()).toBe('two');

  const { opened, open } = gate();
  between.afterGet = opened;
  const looking = store.lookup('bravo');
  await expect.poll(() => between.looked).toEqual(['alpha', 'bravo']);
  await server.mustRotate('bravo', 'two');
  open();
  const bravo = await looking;
  await expect.poll(() => bravo.reveal()).toBe('two');
  await expect.poll(() => between.watched.at(-1)?.secrets).toEqual(['alpha', 'bravo']);
  expect(between.watched.at(-1)?.since).toBeDefined();
  await server.mustRotate('bravo', 'three');
  await expect.poll(() => bravo.reveal()).toBe('three');
  expect(updates.map(({ name }) => name)).toEqual(['alpha', 'bravo', 'bravo']);
});

test('a change of a secret under a pattern, told while it is looked up, is not missed', async () => {
  // So many that they are watched by what they begin with.
  const others = Array.from({ length: 31 }, (_, index) => `${String.fromCharCode(97 + index)}-own`);
  const names = [...others, ...Array.from({ length: 9 }, (_, index) => `many/${index}`)];
  const { server, client } = await startBed(Object.fromEntries([...names, 'many/x'].map((n) => [n, 'one'])));
  const between = new Between(client);
  const { store } = await openStore({ client: between, secrets: names, allowLookup: true });
  await expect.poll(() => between.asked.length).toBe(2);
  const { opened, open } = gate();
  between.afterGet = opened;
  const looking = store.lookup('many/x');
  await expect.poll(() => between.looked).toEqual(['many/x']);
  await server.mustRotate('many/x', 'two');
  // Pushed in order: when this is seen, the other has been told.
  await server.mustRotate('many/0', 'two');
  await expect.poll(() => store.secret('many/0')?.reveal()).toBe('two');
  open();
  const secret = await looking;
  await expect.poll(() => secret.reveal()).toBe('two');
  expect(between.watched.map(({ secrets }) => secrets)).toEqual([expect.arrayContaining(['many/*'])]);
});

test('without a watch, or with a client that has none, only polls find what is new', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store, ticker } = await openStore({ client: between, secrets: ['alpha'], watch: false });
  await server.mustRotate('alpha', 'two');
  await ticker.tick();
  expect(store.secret('alpha').reveal()).toBe('two');
  expect(between.watched).toEqual([]);
  const { get, getIfChanged } = between;
  const plain = await openStore({ client: { get, getIfChanged }, secrets: ['alpha'] });
  await server.mustRotate('alpha', 'three');
  await plain.ticker.tick();
  expect(plain.store.secret('alpha').reveal()).toBe('three');
  expect(plain.errors).toEqual([]);
});

test('a server that cannot push is told of once, and polled', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const unsupported = new CofferClientError('unsupported', 'it cannot tell of changes');
  between.beforeWatch = Promise.reject(unsupported);
  between.beforeWatch.catch(() => {});
  const { store, errors, ticker } = await openStore({ client: between, secrets: ['alpha'] });
  await expect.poll(() => errors).toEqual([unsupported]);
  await server.mustRotate('alpha', 'two');
  await ticker.tick();
  await ticker.tick();
  expect(store.secret('alpha').reveal()).toBe('two');
  // It may have been something else in the server's place: once for each poll it is tried again.
  await expect.poll(() => between.watched.length).toBe(3);
  expect(errors.length).toBe(1);
});

test('a watch that ends without a word is begun again, not at once for ever', async () => {
  const { client } = await startBed({ alpha: 'one' });
  let watches = 0;
  async function* watch(_: WatchOptions = {}): AsyncGenerator<WatchEvent, void> {
    watches++;
    yield { type: 'ready', id: '1' };
  }
  const { get, getIfChanged } = new Between(client);
  const { store, ticker } = await openStore({ client: { get, getIfChanged, watch }, secrets: ['alpha'] });
  await store.refresh();
  await ticker.tick();
  await expect.poll(() => watches).toBeGreaterThan(1);
  expect(watches).toBeLessThan(10);
});
