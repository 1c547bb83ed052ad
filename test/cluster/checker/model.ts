import { createHash } from 'node:crypto';
import type { FinalState, Operation } from './history.js';

/** A secret as it is after some changes. Not changed in place. */
export interface State {
  readonly active: number;
  /** The highest number that was ever given, 0 if there is no such secret. */
  readonly highest: number;
  readonly versions: ReadonlyMap<number, string>;
  readonly deleted: ReadonlySet<number>;
  /** The same where versions and deleted numbers are the same, and hardly ever otherwise. */
  readonly digest: bigint;
}

export const ABSENT: State = { active: 0, highest: 0, versions: new Map(), deleted: new Set(), digest: 0n };

/** What a change makes of a state; undefined where it is refused, or would have been answered otherwise. */
export function apply(state: State, change: Operation): State | undefined {
  const { kind, version = 0, value = '', answered } = change;
  switch (kind) {
    case 'put': {
      const given = state.highest + 1;
      if (answered !== undefined && answered !== given) return undefined;
      return { ...withVersion(state, given, value), active: state.active || given };
    }
    case 'create-version':
      if (state.versions.has(version) || state.deleted.has(version)) return undefined;
      return { ...withVersion(state, version, value), active: version };
    case 'activate':
      return state.versions.has(version) ? { ...state, active: version } : undefined;
    case 'delete-version': {
      if (!state.versions.has(version) || state.active === version) return undefined;
      const versions = new Map(state.versions);
      versions.delete(version);
      const digest = state.digest ^ digestOf(`deleted ${version}`);
      return { ...state, versions, deleted: new Set(state.deleted).add(version), digest };
    }
    case 'delete':
      return ABSENT;
    default:
      return undefined;
  }
}

const withVersion = (state: State, version: number, value: string): State => ({
  ...state,
  highest: Math.max(state.highest, version),
  versions: new Map(state.versions).set(version, value),
  digest: state.digest ^ digestOf(`${version} ${value}`),
});

const digestOf = (text: string): bigint => createHash('md5').update(text).digest().readBigUInt64LE();

/** The same for states that are the same. */
export const keyOf = ({ active, highest, digest }: State): string => `${active}/${highest}/${digest}`;

export function isSeenAs(state: State, { active, versions }: FinalState): boolean {
  if (state.active !== active || state.versions.size !== versions.size) return false;
  return [...versions].every(([version, value]) => state.versions.get(version) === value);
}
