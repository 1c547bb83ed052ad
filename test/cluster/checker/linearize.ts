import { adds, type FinalState, type Operation, versionOf } from './history.js';
import { ABSENT, apply, isSeenAs, keyOf, type State } from './model.js';

/** Beyond so many steps a search is given up. */
const STEPS = 100_000;

/**
 * Looks for an order of one secret's changes that explains all their answers and the final state, in which no change stands before
 * one that was acknowledged before it was asked for (Wing and Gong's search, with Lowe's memory of what was tried). Changes of
 * unknown outcome may stand anywhere after their beginning, or nowhere.
 *
 * @param changes of outcome `ok` or `unknown`
 * @returns `undecided` if the search was too long
 */
export function findOrder(
  changes: readonly Operation[],
  final: FinalState | undefined,
  steps = STEPS,
): 'found' | 'none' | 'undecided' {
  const acknowledged = changes.filter(({ outcome }) => outcome === 'ok').sort((a, b) => a.start - b.start);
  const unknown = changes.filter(({ outcome }) => outcome === 'unknown');
  const seen = new Set(final?.versions.values());
  const tried = new Set<string>();
  const stack: Node[] = [{ first: 0, ahead: [], pending: unknown.map((_, index) => index), state: ABSENT }];
  for (let step = 0; stack.length > 0; step++) {
    if (step > steps) return 'undecided';
    const node = stack.pop() as Node;
    const { first, ahead, pending, state } = node;
    if (first === acknowledged.length && (!final || isSeenAs(state, final))) return 'found';
    const key = `${first}|${ahead}|${pending}|${keyOf(state)}`;
    if (tried.has(key)) continue;
    tried.add(key);
    stack.push(...successors(node, acknowledged, unknown, final, seen));
  }
  return 'none';
}

/** How far an order has come: all acknowledged changes before `first` stand in it, and those in `ahead`. */
interface Node {
  readonly first: number;
  /** Ascending. */
  readonly ahead: readonly number[];
  /** Of the unknown ones, those that do not stand in it. */
  readonly pending: readonly number[];
  readonly state: State;
}

/** What may come next, the most promising last. */
function successors(
  node: Node,
  acknowledged: readonly Operation[],
  unknown: readonly Operation[],
  final: FinalState | undefined,
  seen: ReadonlySet<string>,
): Node[] {
  const { first, ahead, pending, state } = node;
  const open: number[] = [];
  let earliestEnd = Number.POSITIVE_INFINITY;
  for (let index = first; index < acknowledged.length; index++) {
    const { start, end } = acknowledged[index] as Operation;
    if (start > earliestEnd) break;
    if (ahead.includes(index)) continue;
    open.push(index);
    earliestEnd = Math.min(earliestEnd, end);
  }
  const waiting = open.map((index) => acknowledged[index] as Operation);
  const next: Node[] = [];
  const alike = new Set<string>();
  for (const index of pending) {
    const change = unknown[index] as Operation;
    if (change.start > earliestEnd || !isOfUse(change, state, waiting, final)) continue;
    // Values that nobody has seen are as good as one another.
    const sort = `${change.kind} ${change.version} ${seen.has(change.value ?? '') && change.value}`;
    if (alike.has(sort)) continue;
    alike.add(sort);
    const after = apply(state, change);
    if (after) next.push({ ...node, pending: pending.filter((other) => other !== index), state: after });
  }
  for (const index of open.reverse()) {
    const change = acknowledged[index] as Operation;
    const after = change.start <= earliestEnd ? apply(state, change) : undefined;
    if (after) next.push({ ...advance(first, [...ahead, index]), pending, state: after });
  }
  return next;
}

/**
 * Whether a change of unknown outcome makes possible what comes next, or the final state. If one that does not is in some order, the
 * order without it, or with it later, is as good: to look at those alone makes the search short.
 */
function isOfUse(
  { kind, version = 0, value = '' }: Operation,
  state: State,
  waiting: readonly Operation[],
  final: FinalState | undefined,
): boolean {
  const given = kind === 'put' ? state.highest + 1 : version;
  const ends = waiting.length === 0;
  switch (kind) {
    case 'activate':
      if (ends) return final?.active === version;
      return waiting.some((next) => next.kind === 'delete-version' && next.version === state.active);
    case 'delete-version':
      return ends && final !== undefined && !final.versions.has(version);
    case 'delete':
      return ends || waiting.some((next) => adds(next) && (versionOf(next) ?? 0) <= state.highest);
    default:
      if (final && [...final.versions].some((entry) => entry[1] === value && entry[0] !== given))
        return false;
      if (ends) return final?.versions.get(given) === value;
      return waiting.some((next) => (adds(next) ? (versionOf(next) ?? 0) > given : next.version === given));
  }
}

function advance(first: number, done: number[]): Pick<Node, 'first' | 'ahead'> {
  const ahead = done.sort((a, b) => a - b);
  let at = first;
  while (ahead[0] === at) {
    ahead.shift();
    at++;
  }
  return { first: at, ahead };
}
