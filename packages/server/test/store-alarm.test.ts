import type { SharedHealth, StorageAlarm } from '@coffer/engine';
import { expect, test } from 'vitest';
import { tellAlarm } from '../src/store-alarm.js';
import { readableLog } from './nats-world.js';

const FINDER = '00000000000000aa';
const HEALER = '00000000000000bb';

/** A store whose alarm is set from outside, and what the log says of it. */
function store() {
  const { log, lines } = readableLog();
  let alarm: StorageAlarm | undefined;
  let tell = () => {};
  tellAlarm(
    {
      get sharedHealth() {
        return { instance: HEALER, alarm } as SharedHealth;
      },
      onStoreAlarm: (listener) => {
        tell = listener;
        return () => {};
      },
    },
    log,
  );
  const set = (next: Pick<StorageAlarm, 'instance' | 'healer'> | undefined) => {
    alarm = next && { kind: 'behind', message: 'what was found', at: new Date(), ...next };
    tell();
  };
  return { set, said: () => lines.map(({ level, msg }) => `${level} ${msg}`) };
}

test('an alarm is an error, the heal of it a warning, and its end is told', () => {
  const { set, said } = store();
  set({ instance: FINDER });
  set({ instance: FINDER });
  set({ instance: FINDER, healer: HEALER });
  set(undefined);
  expect(said()).toEqual([
    expect.stringMatching(`^50 instance ${FINDER} has raised the alarm.*storage heal --dry-run`),
    expect.stringMatching('^40 this instance heals the store'),
    expect.stringMatching('^30 the alarm of the store is lifted'),
  ]);
});

test('a heal that a person has begun where nothing was wrong is no alarm to anybody', () => {
  const { set, said } = store();
  set({ instance: HEALER, healer: HEALER });
  set(undefined);
  expect(said()).toEqual([
    expect.stringMatching('^40 this instance heals the store'),
    expect.stringMatching('^30 the heal of the store is done'),
  ]);
});
