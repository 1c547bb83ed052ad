import { randomInt } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { Client } from '@coffer/client';
import { expect, test } from 'vitest';
import { canary } from '../support/canary.mjs';

import { TemporaryFolder } from '../support/processes.mjs';
import { clientOf, expectSoundAudit, launch, outcomeOf, urlOf } from './server.js';

/** How often the server is killed; CI's form is short. */
const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 20);
const WORKERS = 12;

/** A secret as its only writer knows it. */
interface State {
  readonly active: number;
  readonly used: readonly number[];
  readonly versions: Readonly<Record<number, string>>;
}

const ABSENT: State = { active: 0, used: [], versions: {} };

/** One change and what it does to a state. */
interface Step {
  readonly call: (client: Client) => Promise<unknown>;
  readonly next: State;
}

let counter = 0;

/** A change that is possible in `state`, at random. */
function chooseStep(name: string, state: State): Step {
  const numbers = Object.keys(state.versions).map(Number);
  const highest = Math.max(0, ...state.used);
  const value = canary(`${counter++} of ${name}`);
  const inactive = numbers.filter((number) => number !== state.active);
  const some = inactive[randomInt(Math.max(1, inactive.length))];
  const kind = randomInt(10);
  if (kind < 3 && some !== undefined) {
    return { call: (client) => client.activate(name, some), next: { ...state, active: some } };
  }
  if (kind < 5 && some !== undefined) {
    const { [some]: _, ...versions } = state.versions;
    return { call: (client) => client.deleteVersion(name, some), next: { ...state, versions } };
  }
  if (kind === 5) return { call: (client) => client.delete(name), next: ABSENT };
  const version = highest + 1;
  const added = { used: [...state.used, version], versions: { ...state.versions, [version]: value } };
  if (kind === 6) {
    return {
      call: (client) => client.createVersion(name, version, Buffer.from(value)),
      next: { ...added, active: version },
    };
  }
  return {
    call: (client) => client.put(name, Buffer.from(value)),
    next: { ...added, active: state.active || version },
  };
}

/** What the server holds under the name; `used` cannot be asked. */
async function readState(client: Client, name: string): Promise<Omit<State, 'used'>> {
  const info = await outcomeOf(client.info(name));
  if ('code' in info) {
    expect(info.code).toBe('not_found');
    return { active: 0, versions: {} };
  }
  const versions: Record<number, string> = {};
  for (const version of info.value.versions) {
    versions[version] = Buffer.from((await client.get(name, { version })).value).toString();
  }
  return { active: info.value.activeVersion, versions };
}

const visible = ({ active, versions }: State) => ({ active, versions });

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
        const value = canary(`shared ${counter++}`);
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

const matches = (found: Omit<State, 'used'>, state: State): boolean =>
  JSON.stringify([found.active, found.versions]) === JSON.stringify([state.active, state.versions]);
