import {
  adds,
  describe,
  isAcknowledged,
  isEffective,
  type Operation,
  type Violation,
  versionOf,
} from './history.js';

/** How old what is read may be. */
export interface ReadRules {
  /** Milliseconds: what was acknowledged anywhere so long before a read began is in it. */
  readonly boundMs: number;
}

/**
 * What must hold of the reads of one secret: a value is what was put under its number; what was acknowledged longer ago than the
 * bound is seen, what was acknowledged by the same instance, or in the same session, at once; and no instance goes back behind what
 * it has shown.
 */
export function checkReads(operations: readonly Operation[], rules: ReadRules): Violation[] {
  const changes = operations.filter((operation) => operation.kind !== 'get' && isEffective(operation));
  const reads = operations.filter(
    ({ kind, outcome }) => kind === 'get' && outcome !== 'refused' && outcome !== 'unknown',
  );
  reads.sort((a, b) => a.end - b.end);
  const shown = new Map<string, { start: number; read: Operation }[]>();
  return reads.flatMap((read) => {
    const wrong = checkValue(read, changes);
    if (wrong) return [wrong];
    const states = statesOf(read, changes).filter(({ start }) => start < read.end);
    const newest = newestCertain(read, changes, rules);
    const possible = states.filter(({ end }) => end >= newest.start);
    if (possible.length === 0) {
      const what = newest.by ? `after ${describe(newest.by)}` : 'that never was';
      return [problem('stale read', read, `${describe(read)} shows what was ${what}`)];
    }
    if (read.version !== undefined) return [];
    const before = shown.get(read.instance) ?? [];
    shown.set(read.instance, before);
    const latest = before.filter((other) => other.read.end < read.start).reduce(later, NOTHING);
    const start = Math.min(...possible.map((state) => state.start));
    before.push({ start, read });
    if (possible.some(({ end }) => end >= latest.start) || latest === NOTHING) return [];
    return [
      problem('read went backwards', read, `${describe(read)} after ${describe(latest.read as Operation)}`),
    ];
  });
}

/** A moment from which on the read could be true, and the one after which it is so for certain. */
interface Interval {
  readonly start: number;
  readonly end: number;
}

const NOTHING: { readonly start: number; readonly read?: Operation } = { start: Number.NEGATIVE_INFINITY };
const later = <Item extends { readonly start: number }>(a: Item, b: Item): Item =>
  b.start > a.start ? b : a;

function checkValue(read: Operation, changes: readonly Operation[]): Violation | undefined {
  if (read.outcome !== 'ok') return undefined;
  const put = changes.find((change) => adds(change) && change.value === read.value);
  const version = put && versionOf(put);
  if (put && put.start < read.end && (version === undefined || version === read.answered)) return undefined;
  return problem('wrong value', read, `${describe(read)} has a value that nobody put there`);
}

/** The changes after which the read is true. */
function statesOf(read: Operation, changes: readonly Operation[]): Interval[] {
  const version = read.version ?? read.answered;
  if (read.outcome === 'absent') {
    const removals = changes.filter(
      (change) =>
        change.kind === 'delete' || (change.kind === 'delete-version' && change.version === read.version),
    );
    return [{ start: Number.NEGATIVE_INFINITY, end: Number.NEGATIVE_INFINITY }, ...removals];
  }
  const put = changes.find((change) => adds(change) && change.value === read.value);
  if (read.version !== undefined) return put ? [put] : [];
  return changes.filter((change) =>
    change === put
      ? change.kind === 'create-version' || (change.answered ?? 1) === 1
      : change.kind === 'activate' && change.version === version,
  );
}

/** The latest change that the read must show, or what came after it. */
function newestCertain(
  read: Operation,
  changes: readonly Operation[],
  { boundMs }: ReadRules,
): { readonly start: number; readonly by?: Operation } {
  const isCertain = (change: Operation) =>
    isAcknowledged(change) &&
    change.end < read.start - (isNear(change, read) ? 0 : boundMs) &&
    decides(change, read);
  return changes
    .filter(isCertain)
    .map((by) => ({ start: by.start, by }))
    .reduce<{ start: number; by?: Operation }>(later, NOTHING);
}

const isNear = (change: Operation, read: Operation): boolean =>
  change.instance === read.instance || (change.session !== undefined && change.session === read.session);

/** Whether a change makes another answer of what the read asks for, or the same one. */
function decides(change: Operation, read: Operation): boolean {
  const { kind } = change;
  if (kind === 'delete') return true;
  if (read.version !== undefined) {
    const isThere = adds(change) && versionOf(change) === read.version;
    return isThere || (kind === 'delete-version' && change.version === read.version);
  }
  // While there is any version one of them is the active one.
  if (read.outcome === 'absent') return true;
  return kind === 'activate' || kind === 'create-version' || (kind === 'put' && change.answered === 1);
}

const problem = (kind: Violation['kind'], { secret }: Operation, message: string): Violation => ({
  kind,
  secret,
  message,
});
