import type { Grant } from '../grant.js';
import { grantId } from '../grant.js';
import { type IssuedRecord, type Revocation, revokedName } from '../policy-record.js';
import type { RetiredTransitKey } from '../transit-keys.js';
import type { StateContents } from './contents.js';
import type { NewerState } from './newer.js';

/** What newer states take from a backup, and what they have beyond it. */
export interface Merged {
  /** When each token was revoked, by id. */
  readonly revoked: ReadonlyMap<string, Date>;
  /** In force in any of them; where only a log can be read, also what was lifted. */
  readonly revocations: readonly Revocation[];
  /** All that were seen, of a key perhaps several. */
  readonly issued: readonly IssuedRecord[];
  /** As {@link revocations}: what was retired anywhere. */
  readonly transitKeysRetired: readonly RetiredTransitKey[];
  /** Grants of the backup that the newest state does not give. */
  readonly grantsGone: readonly Grant[];
  /** The place of that newest state; undefined if only logs could be read, or nothing newer than the backup. */
  readonly newest: string | undefined;
  /** How often the policy was changed since, where only a log tells. */
  readonly policyChanges: number;
  /** In the backup, and deleted since; they are there again. Where only a log tells: what was deleted or lost a version. */
  readonly deletedSince: SecretsDifference;
  /** Made since the backup, and not in it. */
  readonly madeSince: SecretsDifference;
}

/** Names in byte order. */
export interface SecretsDifference {
  readonly secrets: readonly string[];
  /** Versions of secrets that both have. */
  readonly versions: readonly { readonly name: string; readonly version: number }[];
}

/**
 * Joins what newer states tell: every revocation of each, and the grants of the newest. What a restore gives is never more
 * than that one gave. That a log says of a revocation that it was lifted does not count: a line that was added could say so.
 */
export function mergeNewer(
  backup: { readonly sequence: number; readonly contents: StateContents },
  newer: readonly NewerState[],
): Merged {
  const { sequence, contents } = backup;
  const states = newer
    .flatMap(({ path, state }) => (state && state.sequence > sequence ? [{ path, ...state }] : []))
    .sort((a, b) => b.sequence - a.sequence);
  const [newest] = states;
  const revoked = new Map(newer.flatMap((state) => [...state.revoked]));
  const known = newer.flatMap(({ state, log }) => state ?? log ?? []);
  const revocations = distinct(known.flatMap(({ revocations }) => revocations));
  const taken = {
    revoked,
    revocations,
    issued: known.flatMap(({ issued }) => issued),
    transitKeysRetired: known.flatMap(({ transitKeysRetired }) => transitKeysRetired),
  };
  const policyChanges = Math.max(0, ...newer.map(({ log }) => log?.policyChanges ?? 0));
  if (!newest) {
    const deleted = new Set(newer.flatMap(({ log }) => [...(log?.deletions ?? [])]));
    const secrets = [...contents.secrets.keys()].filter((name) => deleted.has(name)).sort();
    const deletedSince = { secrets, versions: [] };
    return { ...taken, grantsGone: [], newest: undefined, policyChanges, deletedSince, madeSince: NONE };
  }
  const given = new Set(newest.grants.map(grantId));
  return {
    ...taken,
    grantsGone: contents.grants.filter((grant) => !given.has(grantId(grant))),
    newest: newest.path,
    policyChanges: 0,
    deletedSince: difference(contents.secrets, newest.secrets),
    madeSince: difference(newest.secrets, contents.secrets),
  };
}

/** The first of each. */
const distinct = (revocations: readonly Revocation[]): Revocation[] => [
  ...new Map(revocations.toReversed().map((one) => [revokedName(one), one])).values(),
];

const NONE: SecretsDifference = { secrets: [], versions: [] };

/** What `one` has and `other` has not. */
function difference(
  one: ReadonlyMap<string, readonly number[]>,
  other: ReadonlyMap<string, readonly number[]>,
): SecretsDifference {
  const secrets: string[] = [];
  const versions: { name: string; version: number }[] = [];
  for (const [name, numbers] of one) {
    const theirs = other.get(name);
    if (!theirs) secrets.push(name);
    else for (const version of numbers) if (!theirs.includes(version)) versions.push({ name, version });
  }
  return { secrets: secrets.sort(), versions };
}
