import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';

import { TemporaryFolder } from '../support/processes.mjs';
import { clientOf, expectSoundAudit, launch, outcomeOf, urlOf } from './server.js';
import { ABSENT, chooseStep, matches, readState, type State, visible } from './steps.js';

/** How often the server is killed; CI's form is short. */
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 20);
const WORKERS = 12;

/** Files of the audit log are closed every few entries, and removed at the next start. */
const SMALL_FILES = 'audit:\n  segmentBytes: 4096\n  retentionDays: 0.00002\n';

test.each([
  [ROUNDS, 'random moments', undefined],
  [
    Math.ceil(ROUNDS / 2),
    'random moments, most of them while a file of the audit log is closed,',
    SMALL_FILES,
  ],
])('kill -9 at %i %s loses nothing acknowledged and leaves nothing half done', async (rounds, _, config) => {
  using folder = new TemporaryFolder();
  const states = new Map(Array.from({ length: WORKERS }, (_, index) => [`own/${index}`, ABSENT]));
  /** Values put to a secret that all write to, by the number that was acknowledged. */
  const shared = new Map<number, string>();
  let acknowledged = 0;
  let puts = 0;
  let firstEntry = 1;

  const options = config === undefined ? {} : { config };

  for (let round = 1; round <= rounds; round++) {
    const server = launch(folder, options);
    if (round % 5 === 0) {
      // Some die while they start.
      await pause(randomInt(600));
      await server.kill();
      continue;
    }
    const client = clientOf(await urlOf(server));
    const pending = new Map<string, State>();
    const writers = [...states.keys()].map(async (name) => {
      for (;;) {
        const state = states.get(name) as State;
        const step = chooseStep(name, state);
        pending.set(name, step.next);
        const outcome = await outcomeOf(step.call(client));
        if ('code' in outcome) {
          expect(outcome.code).toBe('unreachable');
          return;
        }
        acknowledged++;
        states.set(name, step.next);
        pending.delete(name);
      }
    });
    const together = Array.from({ length: 4 }, async () => {
      for (;;) {
        const value = canary(`shared ${puts++}`);
        const outcome = await outcomeOf(client.put('shared', Buffer.from(value)));
        if ('code' in outcome) return;
        expect(shared.has(outcome.value)).toBe(false);
        shared.set(outcome.value, value);
      }
    });
    await pause(20 + randomInt(500));
    await server.kill();
    await Promise.all([...writers, ...together]);

    const again = launch(folder, options);
    const reader = clientOf(await urlOf(again));
    for (const [name, state] of states) {
      const found = await readState(reader, name);
      const attempted = pending.get(name);
      const whole = [visible(state), ...(attempted ? [visible(attempted)] : [])];
      expect(whole, `${name} in round ${round}`).toContainEqual(found);
      if (attempted && !matches(found, state)) states.set(name, attempted);
    }
    for (const [version, value] of shared) {
      const found = await reader.get('shared', { version });
      expect(Buffer.from(found.value).toString()).toBe(value);
    }
    firstEntry = (await expectSoundAudit(reader, folder.join('state'))).first;
    await again.stop();
  }
  console.log(`${rounds} kills, ${acknowledged + shared.size} acknowledged changes, none lost`);
  expect(acknowledged).toBeGreaterThan(0);
  if (config === SMALL_FILES) expect(firstEntry).toBeGreaterThan(1);
});
