import { randomInt } from 'node:crypto';
import type { Client } from '@coffer/client';
import { expect } from 'vitest';
import { canary } from '../support/canary.mjs';
import { outcomeOf } from './server.js';

/** A secret as its only writer knows it. */
export interface State {
  readonly active: number;
  readonly used: readonly number[];
  readonly versions: Readonly<Record<number, string>>;
}

export const ABSENT: State = { active: 0, used: [], versions: {} };

/** One change and what it does to a state. */
export interface Step {
  readonly call: (client: Client) => Promise<unknown>;
  readonly next: State;
}

let counter = 0;

/** A change that is possible in `state`, at random. */
export function chooseStep(name: string, state: State): Step {
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
export async function readState(client: Client, name: string): Promise<Omit<State, 'used'>> {
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

/** What of a state a reader sees. */
export const visible = ({ active, versions }: State) => ({ active, versions });

export const matches = (found: Omit<State, 'used'>, state: State): boolean =>
  JSON.stringify([found.active, found.versions]) === JSON.stringify([state.active, state.versions]);
