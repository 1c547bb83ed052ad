import { FakeClock, startTestServer } from '@coffer/testing';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Client, type CofferClientError, MemoryCache, Store, type StoreEvents } from '../../src/index.js';
import { codes, openStore, startBed } from './bed.js';

const ALL = { actions: ['get', 'info'], secrets: ['*'] } as const;
const PATIENT = { timeout: 15_000 };

/** A client of a principal that may read everything, until it is told otherwise. */
async function startGuest(secrets: Record<string, string>) {
  const server = await startTestServer({ secrets });
  onTestFinished(() => server.close());
  const { token, principal } = await server.createToken('guest', [ALL]);
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  return { server, client, may: (...grants: (typeof ALL)[]) => server.grant(principal, grants) };
}

function recoveries(store: Store): StoreEvents['recovered'][] {
  const told: StoreEvents['recovered'][] = [];
  store.on('recovered', (event) => told.push(event));
  return told;
}

test('the end of an outage is told once, with what it was', async () => {
  const { server, client } = await startBed({ alpha: 'ok', bravo: 'yes' });
  const { store, errors, ticker } = await openStore({ client, secrets: ['alpha', 'bravo'] });
  const told = recoveries(store);
  await expect.poll(() => store.metrics().watching).toBe(true);
  await server.stop();
  await expect.poll(() => store.metrics().watching).toBe(false);
  await ticker.tick();
  await server.start();
  await expect.poll(() => store.metrics().watching, PATIENT).toBe(true);
  await ticker.tick();
  await expect.poll(() => told.length).toBeGreaterThan(0);
  expect(told.length).toBeLessThanOrEqual(errors.length);
  expect(told.map(({ names }) => names)).toEqual(told.map(() => []));
  expect(new Set(told.map(({ error }) => error))).toEqual(new Set(errors));
});

test('secrets that are refused together are told as one, and so is that they are well again', async () => {
  const { client, may } = await startGuest({ alpha: 'ok', bravo: 'yes' });
  const { store, errors, ticker } = await openStore({ client, secrets: ['alpha', 'bravo'], watch: false });
  const told = recoveries(store);
  await may();
  await ticker.tick();
  await ticker.tick();
  expect(codes(errors)).toEqual(['access_denied']);
  expect(errors[0]?.message).toMatch(/^2 secrets failed: .*"alpha".*; .*"bravo"/);
  await may(ALL);
  await ticker.tick();
  expect(told).toEqual([
    { error: expect.objectContaining({ code: 'access_denied' }), names: ['alpha', 'bravo'] },
  ]);
});

test('a store that was refused hears of changes again some seconds after its rights are back', async () => {
  const { server, client, may } = await startGuest({ alpha: 'ok' });
  const { store, errors } = await openStore({ client, secrets: ['alpha'] });
  const told = recoveries(store);
  await expect.poll(() => store.metrics().watching).toBe(true);
  await may();
  await expect.poll(() => codes(errors)).toContain('access_denied');
  await may(ALL);
  await server.mustRotate('alpha', 'fine');
  await expect.poll(() => store.secret('alpha').reveal(), PATIENT).toBe('fine');
  await expect.poll(() => told.flatMap(({ names }) => names)).toContain('alpha');
});

test('a cause that comes back after another one is told again', async () => {
  const { server } = await startBed({ alpha: 'ok' });
  const client = new Client({ server: server.url, token: 'nonsense', retries: 0 });
  onTestFinished(() => client.close());
  const errors: CofferClientError[] = [];
  const stop = new AbortController();
  const opening = Store.open({
    client,
    secrets: ['alpha'],
    signal: stop.signal,
    onError: (error) => errors.push(error),
  });
  const ended = expect(opening).rejects.toThrow();
  await expect.poll(() => codes(errors)).toEqual(['unauthenticated']);
  await server.stop();
  await expect.poll(() => codes(errors), PATIENT).toEqual(['unauthenticated', 'unreachable']);
  await server.start();
  await expect
    .poll(() => codes(errors), PATIENT)
    .toEqual(['unauthenticated', 'unreachable', 'unauthenticated']);
  stop.abort();
  await ended;
}, 30_000);

test('an opening says each minute what it waits for, and why', async () => {
  const { client } = await startBed({ alpha: 'ok' });
  const errors: CofferClientError[] = [];
  const stop = new AbortController();
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  onTestFinished(() => void vi.useRealTimers());
  const opening = Store.open({
    client,
    secrets: ['alpha', 'bravo'],
    watch: false,
    signal: stop.signal,
    onError: (error) => errors.push(error),
  });
  const ended = expect(opening).rejects.toThrow();
  await expect.poll(() => codes(errors)).toEqual(['not_found']);
  for (const told of [2, 3]) {
    vi.advanceTimersByTime(60_000);
    await expect.poll(() => codes(errors)).toEqual(Array(told).fill('not_found'));
    expect(errors.at(-1)?.message).toBe(
      'the store still waits for 1 of 2 secrets, "bravo": not found: there is no secret "bravo"',
    );
  }
  stop.abort();
  await ended;
  vi.advanceTimersByTime(120_000);
  expect(errors).toHaveLength(3);
});

test('when the server last confirmed what is held is not when a poll last failed', async () => {
  const { server, client, may } = await startGuest({ alpha: 'ok', bravo: 'yes' });
  const clock = new FakeClock(1_000_000);
  const { store, ticker } = await openStore({
    client,
    secrets: ['alpha', 'bravo'],
    watch: false,
    now: clock.now,
  });
  expect(store.metrics()).toMatchObject({ confirmedAt: 1_000_000, latestPoll: undefined });
  clock.advance(60_000);
  await ticker.tick();
  expect(store.metrics()).toMatchObject({ confirmedAt: 1_060_000, latestPoll: 1_060_000 });
  await may({ ...ALL, secrets: ['alpha'] as never });
  clock.advance(60_000);
  await ticker.tick();
  expect(store.metrics()).toMatchObject({ confirmedAt: 1_060_000, latestPoll: 1_120_000 });
  await may(ALL);
  await ticker.tick();
  await server.stop();
  clock.advance(60_000);
  await ticker.tick();
  expect(store.metrics()).toMatchObject({ confirmedAt: 1_120_000, latestPoll: 1_180_000 });
});

test('a cache that does not spare the store the server says why, if the server is not there', async () => {
  const { server, client } = await startBed({ alpha: 'ok', bravo: 'yes' });
  const cache = new MemoryCache(
    '{"alpha":{"secret":{"Value":"eA==","Version":1},"lastAccess":"0","checkedAt":"0"},"charlie":{"secret":{"Value":"eA==","Version":1},"lastAccess":"0","checkedAt":"0"}}',
  );
  await server.stop();
  const errors: CofferClientError[] = [];
  const opening = Store.open({
    client,
    secrets: ['alpha', 'bravo'],
    cache,
    maxAge: 3_600_000 * 24,
    now: () => 26 * 3_600_000,
    watch: false,
    onError: (error) => errors.push(error),
  });
  await expect.poll(() => codes(errors), PATIENT).toEqual(['unreachable', 'bad_cache']);
  expect(errors[1]?.message).toBe(
    'the cache is not enough to open the store: the server confirmed "alpha" 26 hours ago, and maxAge is 24 hours; it has no "bravo"',
  );
  await server.start();
  await using store = await opening;
  expect(store.secret('bravo').reveal()).toBe('yes');
});
