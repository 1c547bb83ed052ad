import {
  adds,
  describe,
  type FinalState,
  isAcknowledged,
  isEffective,
  type Operation,
  type Violation,
  versionOf,
} from './history.js';
import { findOrder } from './linearize.js';

/**
 * What must hold of the changes of one secret and of what it is in the end. The last check comprises the others, which say better
 * what is wrong.
 */
export function checkChanges(operations: readonly Operation[], final: FinalState): Violation[] {
  const changes = operations.filter((operation) => operation.kind !== 'get' && isEffective(operation));
  const known = withKnownAnswers(changes, operations, final);
  const found = [...twice(known), ...lost(known, final), ...cameBack(known, final)];
  if (found.length > 0) return found;
  const order = findOrder(known, final);
  if (order === 'found') return [];
  const kind = order === 'none' ? 'no order' : 'undecided';
  const listed = known.slice(-30).map(describe).join('\n  ');
  return [
    { kind, secret: final.secret, message: `no order of its changes explains what it is:\n  ${listed}` },
  ];
}

/** A put of unknown outcome whose value somebody saw came true by then, with the number that was seen. */
function withKnownAnswers(
  changes: readonly Operation[],
  operations: readonly Operation[],
  { versions }: FinalState,
): Operation[] {
  const seen = new Map<string, { version: number; by: number }>();
  for (const { kind, outcome, value, answered, end } of operations) {
    if (kind !== 'get' || outcome !== 'ok' || value === undefined || answered === undefined) continue;
    const before = seen.get(value);
    if (!before || end < before.by) seen.set(value, { version: answered, by: end });
  }
  for (const [version, value] of versions) {
    if (!seen.has(value)) seen.set(value, { version, by: Number.POSITIVE_INFINITY });
  }
  return changes.map((change) => {
    if (change.outcome !== 'unknown' || !adds(change)) return change;
    const found = seen.get(change.value ?? '');
    return found ? { ...change, outcome: 'ok', answered: found.version, end: found.by } : change;
  });
}

/** Only as long as the secret is not deleted as a whole does a number stand for one version. */
const isOneLife = (changes: readonly Operation[]) => changes.every(({ kind }) => kind !== 'delete');

function twice(changes: readonly Operation[]): Violation[] {
  if (!isOneLife(changes)) return [];
  const first = new Map<number, Operation>();
  return changes.filter(adds).flatMap((change) => {
    const version = isAcknowledged(change) ? versionOf(change) : undefined;
    if (version === undefined) return [];
    const other = first.get(version);
    first.set(version, change);
    if (!other) return [];
    return [problem('version number twice', change, `${describe(other)} and ${describe(change)}`)];
  });
}

function lost(changes: readonly Operation[], { versions }: FinalState): Violation[] {
  const removals = changes.filter(({ kind }) => kind === 'delete' || kind === 'delete-version');
  return changes.filter(adds).flatMap((change) => {
    const version = versionOf(change);
    if (!isAcknowledged(change) || version === undefined) return [];
    const isGone = ({ kind, version: removed, end }: Operation) =>
      (kind === 'delete' || removed === version) && end >= change.start;
    if (removals.some(isGone)) return [];
    const found = versions.get(version);
    if (found === change.value) return [];
    if (found === undefined)
      return [problem('lost write', change, `${describe(change)} is not there in the end`)];
    return [problem('wrong value', change, `${describe(change)} has another value in the end`)];
  });
}

function cameBack(changes: readonly Operation[], { secret, versions }: FinalState): Violation[] {
  const removals = changes.filter(({ kind, outcome }) => outcome === 'ok' && kind.startsWith('delete'));
  return [...versions].flatMap(([version, value]): Violation[] => {
    const put = changes.find((change) => adds(change) && change.value === value);
    if (!put) {
      return [
        { kind: 'wrong value', secret, message: `version ${version} has a value that nobody put there` },
      ];
    }
    const removal = removals.find(
      ({ kind, version: removed, start }) => (kind === 'delete' || removed === version) && start > put.end,
    );
    return removal
      ? [problem('deleted came back', put, `${describe(put)} is there again after ${describe(removal)}`)]
      : [];
  });
}

const problem = (kind: Violation['kind'], { secret }: Operation, message: string): Violation => ({
  kind,
  secret,
  message,
});
