import { expect, test } from 'vitest';

import { Beats } from '../src/storage/jetstream/beats.js';
import { SteadyClock } from '../src/storage/jetstream/steady-clock.js';

/** Two clocks of a machine, which a test sets. */
function machine() {
  const at = { monotonic: 0, wall: 1_000_000 };
  const clock = new SteadyClock(
    () => at.monotonic,
    () => at.wall,
  );
  const pass = (milliseconds: number) => {
    at.monotonic += milliseconds;
    at.wall += milliseconds;
  };
  return { at, clock, pass };
}

function beating(consistency: 'latest' | { bounded: number }) {
  const { at, clock, pass } = machine();
  const beats = new Beats({ consistency, clock });
  const sent: string[] = [];
  beats.start((payload) => sent.push(payload));
  const last = () => sent.at(-1) as string;
  return { at, beats, sent, pass, last };
}

test('time goes on while the machine sleeps, and never back', () => {
  const { at, clock, pass } = machine();
  const begun = clock.now();
  pass(100);
  expect(clock.now() - begun).toBe(100);
  at.wall += 3_600_000; // asleep: the monotonic clock stood still
  expect(clock.now() - begun).toBe(3_600_100);
  at.wall -= 7_200_000; // set back by hand
  expect(clock.now() - begun).toBe(3_600_100);
  pass(5);
  expect(clock.now() - begun).toBe(3_600_105);
});

test('what is read is as old as the newest beat that came back was sent, not as it came back', () => {
  const { beats, pass, last } = beating({ bounded: 1_000 });
  expect(() => beats.require(beats.mark())).toThrow(/not heard from the store yet/);
  const payload = last();
  pass(900);
  beats.came(payload);
  expect(beats.age()).toBe(900);
  beats.require(beats.mark());
  pass(101);
  expect(() => beats.require(beats.mark())).toThrow(/1\.0 seconds/);
  beats.stop();
});

test('a lid that was closed makes what is read old', () => {
  const { at, beats, last } = beating({ bounded: 1_000 });
  beats.came(last());
  beats.require(beats.mark());
  at.wall += 60_000;
  expect(() => beats.require(beats.mark())).toThrow(/60\.0 seconds/);
  beats.stop();
});

test("another process's beat, an older one and one that came twice say nothing", () => {
  const { beats, pass, sent, last } = beating({ bounded: 1_000 });
  beats.came('somebody.1');
  expect(beats.mark()).toBe(Number.NEGATIVE_INFINITY);
  const first = last();
  pass(100);
  beats.start((payload) => sent.push(payload));
  beats.came(last());
  const mark = beats.mark();
  beats.came(first);
  beats.came(last());
  expect(beats.mark()).toBe(mark);
  beats.stop();
});

test('with latest a read waits for a beat that was sent after it asked, and those of one turn for the same', async () => {
  const { beats, sent, last, pass } = beating('latest');
  const before = last();
  const asked = [beats.ready(), beats.ready()];
  await Promise.resolve();
  expect(sent).toHaveLength(2);
  pass(1);
  beats.came(before);
  const late = beats.ready();
  await Promise.resolve();
  expect(sent).toHaveLength(2);
  beats.came(last());
  await Promise.all(asked);
  await Promise.resolve();
  expect(sent).toHaveLength(3);
  beats.came(last());
  await late;
  beats.stop();
});

test('with latest a read is refused when the stream is lost meanwhile', async () => {
  const { beats } = beating('latest');
  const asked = beats.ready();
  beats.stop();
  await expect(asked).rejects.toMatchObject({ code: 'stale' });
  expect(() => beats.ready()).toThrow(/not heard/);
});

test('the more instances, the more seldom each beats, but often enough for the bound', () => {
  const { beats } = beating({ bounded: 1_000 });
  expect(beats.interval).toBe(200);
  beats.members = 3;
  expect(beats.interval).toBe(300);
  beats.members = 1_000;
  expect(beats.interval).toBeCloseTo(333, 0);
  beats.stop();
});
