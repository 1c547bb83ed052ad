import { FakeClock } from '@coffer/testing';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { CofferClientError, MemoryCache, Store } from '../../src/index.js';
import { pollTicker } from '../../src/store/poll-ticker.js';
import { openStore } from './bed.js';
import { LocalClient } from './local-client.js';

const MINUTE = 60_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test('a store polls about every hour, if it is not told otherwise', async () => {
  const client = new LocalClient({ alpha: 'one' });
  await using store = await Store.open({ client, secrets: ['alpha'], watch: false });
  await vi.advanceTimersByTimeAsync(53 * MINUTE);
  expect(store.metrics().polls).toBe(0);
  await vi.advanceTimersByTimeAsync(14 * MINUTE);
  expect(store.metrics().polls).toBe(1);
});

test('of stores that open together, each draws its own interval, ± 10 %', async () => {
  const random = vi.spyOn(Math, 'random');
  for (const [drawn, period] of [
    [0, 900],
    [0.5, 1_000],
    [0.999_999, 1_099],
  ] as const) {
    random.mockReturnValue(drawn);
    const poll = vi.fn(async () => {});
    const end = pollTicker(1_000).start(poll);
    await vi.advanceTimersByTimeAsync(period - 1);
    expect(poll).not.toHaveBeenCalled();
    await vi.advanceTimersByTimeAsync(2);
    expect(poll).toHaveBeenCalledTimes(1);
    end();
  }
});

test('a server that pushes nothing is asked for a watch again at the next poll, and not before', async () => {
  const client = new LocalClient({ alpha: 'one' });
  // biome-ignore lint/correctness/useYield: it has nothing to tell
  client.events = async function* () {
    throw new CofferClientError('unsupported', 'it is setec');
  };
  const { ticker } = await openStore({ client, secrets: ['alpha'] });
  await vi.advanceTimersByTimeAsync(24 * 60 * MINUTE);
  expect(client.watches).toBe(1);
  await ticker.tick();
  expect(client.watches).toBe(2);
});

test('the cache says now and then that the server still has what is in it', async () => {
  const client = new LocalClient({ alpha: 'one' });
  const clock = new FakeClock(1_000_000);
  const cache = new MemoryCache();
  const checkedAt = () => Number(JSON.parse(Buffer.from(cache.read() ?? '').toString()).alpha.checkedAt);
  const { ticker } = await openStore({ client, secrets: ['alpha'], cache, now: clock.now, watch: false });
  const opened = checkedAt();
  for (const [seconds, confirmed] of [
    [30, 0],
    [40, 70],
    [50, 70],
  ] as const) {
    clock.advance(seconds * 1_000);
    await vi.advanceTimersByTimeAsync(seconds * 1_000);
    await ticker.tick();
    expect(checkedAt() - opened).toBe(confirmed);
  }
});

test('reading a version counts as a use of the secret', async () => {
  const client = new LocalClient({ alpha: 'one' });
  const clock = new FakeClock(1_000_000);
  const options = { client, allowLookup: true, watch: false, expiryAge: MINUTE, now: clock.now };
  const { store, ticker } = await openStore(options);
  const secret = store.versioned('alpha');
  for (let time = 0; time < 4; time++) {
    await secret.get(1);
    clock.advance(0.7 * MINUTE);
    await ticker.tick();
  }
  expect(client.got.length).toBe(1);
});
