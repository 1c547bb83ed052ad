import { expect, test } from 'vitest';
import { FakeClock, FakeTicker } from '../src/index.js';

test('a clock goes when it is told to', () => {
  const clock = new FakeClock(1_000);
  const { now } = clock;
  expect(now()).toBe(1_000);
  clock.advance(250);
  expect(now()).toBe(1_250);
});

test('a tick lets everybody poll who has begun and not ended, and waits for them', async () => {
  const ticker = new FakeTicker();
  const polled: string[] = [];
  const poll = (name: string) => async () => {
    await Promise.resolve();
    polled.push(name);
  };
  const end = ticker.start(poll('a'));
  ticker.start(poll('b'));
  await ticker.tick();
  end();
  await ticker.tick();
  expect(polled).toEqual(['a', 'b', 'b']);
});
