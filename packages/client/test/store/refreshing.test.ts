import { expect, onTestFinished, test, vi } from 'vitest';
import { CofferClientError, SecretBytes, Store, type StoreClient } from '../../src/index.js';
import { pollTicker } from '../../src/store/poll-ticker.js';
import { Between, codes, gate, openStore, startBed } from './bed.js';

const text = (bytes: string) => new TextEncoder().encode(bytes);

test('a refresh rejects when a secret is gone, and takes what is new of the others', async () => {
  const { server, client } = await startBed({ small: '1', large: '500', huge: '9000' });
  const { store, errors } = await openStore({
    client,
    secrets: ['small', 'large', 'huge'],
    watch: false,
  });
  await server.mustRotate('small', '2');
  await server.mustDelete('large');
  await expect(store.refresh()).rejects.toMatchObject({
    code: 'not_found',
    message: 'not found: there is no secret "large"; its last value stays',
  });
  expect(store.secret('small').reveal()).toBe('2');
  expect(store.secret('large').reveal()).toBe('500');
  await server.mustDelete('huge');
  await expect(store.refresh()).rejects.toMatchObject({
    code: 'not_found',
    message: expect.stringMatching(
      /^2 secrets failed: .*"large"; its last value stays; .*"huge"; its last value stays$/,
    ),
    cause: { errors: [{ code: 'not_found' }, { code: 'not_found' }] },
  });
  // Who asked was told.
  expect(errors).toEqual([]);
  expect(store.metrics()).toMatchObject({ polls: 2, pollErrors: 2 });
});

test('refreshes while one runs share the next one, which sees what was so when they were called', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store } = await openStore({ client: between, secrets: ['alpha'], watch: false });
  const { opened, open } = gate();
  between.afterMany = opened;
  const first = store.refresh();
  await expect.poll(() => between.asked.length).toBe(2);
  await server.mustRotate('alpha', 'two');
  const others = [store.refresh(), store.refresh(), store.refresh()];
  open();
  await first;
  await Promise.all(others);
  expect(store.secret('alpha').reveal()).toBe('two');
  expect(between.asked.length).toBe(3);
  expect(store.metrics().polls).toBe(2);
});

test('a refresh ends with its signal, and what it asked for comes all the same', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const between = new Between(client);
  const { store } = await openStore({ client: between, secrets: ['alpha'], watch: false });
  await server.mustRotate('alpha', 'two');
  const { opened, open } = gate();
  between.afterMany = opened;
  const stop = new AbortController();
  const refresh = store.refresh({ signal: stop.signal });
  await expect.poll(() => between.asked.length).toBe(2);
  stop.abort(new Error('enough'));
  await expect(refresh).rejects.toThrow('enough');
  expect(store.secret('alpha').reveal()).toBe('one');
  open();
  await expect.poll(() => store.secret('alpha').reveal()).toBe('two');
});

test('an outage is reported once, until it is over', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const { store, errors, ticker } = await openStore({ client, secrets: ['alpha'], watch: false });
  for (const outage of [1, 2]) {
    await server.stop();
    await ticker.tick();
    await ticker.tick();
    await expect(store.refresh()).rejects.toMatchObject({ code: 'unreachable' });
    expect(codes(errors)).toEqual(Array.from({ length: outage }, () => 'unreachable'));
    expect(store.secret('alpha').reveal()).toBe('one');
    await server.start();
    await ticker.tick();
  }
  expect(store.metrics()).toMatchObject({ polls: 8, pollErrors: 6 });
});

test('a poll that fails is made up for when the server is back', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const { store, ticker } = await openStore({ client, secrets: ['alpha'], watch: false });
  await server.mustRotate('alpha', 'two');
  await server.stop();
  await ticker.tick();
  await server.start();
  await expect.poll(() => store.secret('alpha').reveal(), { timeout: 20_000 }).toBe('two');
});

test('of a client that knows one secret at a time, one that fails in its own way holds up no other', async () => {
  const values = new Map([
    ['a', 'one'],
    ['b', 'one'],
  ]);
  let broken = false;
  const get: StoreClient['get'] = async (name) => {
    if (broken && name === 'a') throw new TypeError('out of order');
    return { value: text(values.get(name) ?? '') as never, version: values.get(name)?.length ?? 0 };
  };
  const getIfChanged: StoreClient['getIfChanged'] = async (name, known) => {
    const got = await get(name);
    return got.version === known ? undefined : got;
  };
  const { store, errors, ticker } = await openStore({ client: { get, getIfChanged }, secrets: ['a', 'b'] });
  broken = true;
  values.set('b', 'three');
  await ticker.tick();
  expect(store.secret('b').reveal()).toBe('three');
  expect(errors).toMatchObject([
    { code: 'internal', message: 'the client of the store failed', thrown: { message: 'out of order' } },
  ]);
  broken = false;
  values.set('a', 'fifteen');
  await expect.poll(() => store.secret('a').reveal()).toBe('fifteen');
});

test('values are wiped when others take their place, and when the store is closed', async () => {
  const given: SecretBytes[] = [];
  const client: StoreClient = {
    get: async () => {
      const value = SecretBytes.copyOf(text('swordfish'));
      given.push(value);
      return { value, version: given.length };
    },
    getIfChanged: () => client.get('a'),
  };
  const { store, ticker } = await openStore({ client, secrets: ['a'] });
  await ticker.tick();
  const wiped = () => given.map((value) => value.every((byte) => byte === 0));
  expect(wiped()).toEqual([true, false]);
  expect(store.secret('a').reveal()).toBe('swordfish');
  await store.close();
  expect(wiped()).toEqual([true, true]);
});

test('a client that neither answers nor heeds its signal does not hold a store up for ever', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const { opened, open } = gate();
  const answers = [['one'], ['late', opened], ['three']] as const;
  let asked = 0;
  const getMany: StoreClient['getMany'] = async () => {
    const [value, wait] = answers[asked++] ?? ['more'];
    const answer = { name: 'a', version: asked, value: SecretBytes.copyOf(text(value)) };
    await wait;
    return [answer];
  };
  const never = () => Promise.reject(new Error('not asked for'));
  const { store } = await openStore({ client: { get: never, getIfChanged: never, getMany }, secrets: ['a'] });
  const late = expect(store.refresh()).rejects.toMatchObject({ code: 'timeout' });
  await vi.advanceTimersByTimeAsync(1);
  const next = store.refresh();
  await vi.advanceTimersByTimeAsync(300_000);
  await late;
  await next;
  open();
  await vi.advanceTimersByTimeAsync(1);
  expect(store.secret('a').reveal()).toBe('three');
});

test('what listeners throw or reject with is told, and breaks nothing', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const { store, errors } = await openStore({ client, secrets: ['alpha'], watch: false });
  const warnings: Error[] = [];
  const listener = (warning: Error) => warnings.push(warning);
  process.on('warning', listener);
  onTestFinished(() => void process.off('warning', listener));
  const cause = new Error('of the listener');
  const ends = [
    store.on('update', () => {
      throw cause;
    }),
    store.on('update', async () => {
      throw cause;
    }),
    store.on('update', () => {
      throw new CofferClientError('update_failed', 'its own');
    }),
    store.on('error', () => {
      throw new Error('again');
    }),
  ];
  let told = 0;
  store.on('update', () => told++);
  await server.mustRotate('alpha', 'two');
  await store.refresh();
  expect(told).toBe(1);
  await expect.poll(() => errors.length).toBe(3);
  expect(codes(errors).sort()).toEqual(['listener_failed', 'listener_failed', 'update_failed']);
  for (const error of errors) if (error.code === 'listener_failed') expect(error.thrown).toBe(cause);
  await expect
    .poll(() => warnings.map(({ message }) => message))
    .toContain("a listener to 'error' of the store failed");
  for (const end of ends) end();
  await server.mustRotate('alpha', 'three');
  await store.refresh();
  expect(told).toBe(2);
  expect(errors.length).toBe(3);
});

test('a listener that closes the store is the last to hear of it', async () => {
  const { server, client } = await startBed({ alpha: 'one', bravo: 'one' });
  const { store, updates } = await openStore({ client, secrets: ['alpha', 'bravo'], watch: false });
  store.on('update', () => void store.close());
  await server.mustRotate('alpha', 'two');
  await server.mustRotate('bravo', 'two');
  await store.refresh().catch(() => {});
  expect(updates.length).toBe(1);
});

test('a store polls by itself, about as often as it is told to', async () => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const polls: number[] = [];
  const began = Date.now();
  const end = pollTicker(1_000).start(async () => void polls.push(Date.now() - began));
  await vi.advanceTimersByTimeAsync(5_600);
  expect(polls.length).toBeGreaterThanOrEqual(5);
  const [first = 0, second = 0] = polls;
  expect(first).toBeGreaterThanOrEqual(900);
  expect(first).toBeLessThanOrEqual(1_100);
  expect(Math.abs(second - 2 * first)).toBeLessThanOrEqual(2);
  end();
  const { length } = polls;
  await vi.advanceTimersByTimeAsync(5_000);
  expect(polls.length).toBe(length);
});

test('a store with an interval of its own polls, and with none does not', async () => {
  const { server, client } = await startBed({ alpha: 'one' });
  const common = { client, secrets: ['alpha'], watch: false } as const;
  await using often = await Store.open({ ...common, pollInterval: 20 });
  await using never = await Store.open({ ...common, pollInterval: Number.POSITIVE_INFINITY });
  await server.mustRotate('alpha', 'two');
  await expect.poll(() => often.secret('alpha').reveal()).toBe('two');
  expect(never.secret('alpha').reveal()).toBe('one');
  expect(never.metrics().polls).toBe(0);
});
