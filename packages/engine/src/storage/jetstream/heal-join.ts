import { CofferError } from '../../errors.js';
import type { ForkJoin, Future, Joined } from '../shared.js';
import type { Holding } from './heal-futures.js';
import type { Contest, HealPlan, Mending } from './heal-plan.js';
import { LINEAGE, token } from './layout.js';
import { lineageBehind } from './messages.js';
import type { Ancestor, ReplicaEntry, ReplicaLike } from './replica-contract.js';

/** A head that won, and what it becomes. */
export interface Joining {
  readonly key: string;
  readonly joined: Joined;
  /** All that it stands in for, so that who heals again does not join them once more. */
  readonly lineage: readonly Ancestor[];
  /** Of those that won, what goes; and what was before them and it does not name. */
  readonly lost: readonly Mending[];
}

export interface JoinOptions {
  readonly plan: HealPlan;
  readonly stream: ReadonlyMap<string, ReplicaEntry>;
  readonly replica: ReplicaLike;
  readonly join: ForkJoin | undefined;
  readonly bytes: (who: string, key: string) => Promise<Uint8Array>;
}

/**
 * Asks the engine of each head that had more than one future what may not come back of it.
 *
 * @throws CofferError `conflict` if another instance has newer keys; `tampered`
 */
export async function joinFutures({ plan, stream, replica, join, bytes }: JoinOptions): Promise<Joining[]> {
  if (!join || plan.contests.length === 0) return [];
  const joinings: Joining[] = [];
  for (const contest of plan.contests) {
    const losers = contest.losers.map(({ holder, isSure }) => ({
      ...futureOf([holder], contest, bytes),
      isSure,
    }));
    const key = Buffer.from(contest.key, 'base64url');
    const joined = await join.join(key, futureOf(contest.winner, contest, bytes), losers);
    if (joined) joinings.push({ key: contest.key, joined, ...whatGoes(contest, joined) });
  }
  if (joinings.length > 0) requireKeys(plan, stream, replica, join.fence);
  return joinings;
}

/** Nothing may be sealed under a key that the store is about to forget. */
function requireKeys(
  { mendings }: HealPlan,
  stream: ReadonlyMap<string, ReplicaEntry>,
  replica: ReplicaLike,
  fence: Uint8Array,
): void {
  const id = token(fence);
  const mending = mendings.find(({ key }) => key === id);
  const wanted = mending?.entry ?? stream.get(id);
  if (wanted?.fingerprint === replica.entry(fence)?.fingerprint) return;
  const where = mending ? mending.from : 'one that is started anew';
  throw new CofferError(
    'conflict',
    `the store's keys are newer than this instance's: heal at another instance (${where}); nothing was written`,
  );
}

function futureOf(
  holders: readonly Holding[],
  { key, beside }: Contest,
  bytes: (who: string, key: string) => Promise<Uint8Array>,
): Future {
  const found = new Map<string, { readonly who: string; readonly entry: ReplicaEntry }>();
  for (const one of [key, ...beside]) {
    for (const { who, entries } of holders) {
      const entry = entries.get(one);
      if (!entry) continue;
      if (!entry.removed) found.set(one, { who, entry });
      break;
    }
  }
  return {
    records: new Map([...found].map(([one, { entry }]) => [one, entry.fingerprint])),
    bytes: async (one) => {
      const at = found.get(one);
      if (!at) throw new CofferError('unavailable', 'a record is gone that was here: heal again');
      return bytes(at.who, one);
    },
  };
}

function whatGoes({ key, winner, losers, past }: Contest, joined: Joined): Pick<Joining, 'lineage' | 'lost'> {
  const entries = [...winner, ...losers.map(({ holder }) => holder)].flatMap(
    ({ entries }) => entries.get(key) ?? [],
  );
  const [won] = entries;
  const [first] = winner;
  const ancestors = entries.map(({ revision, fingerprint }) => ({ revision, fingerprint }));
  // One place is left for the winner as it will be in the stream.
  const lineage = distinct([...ancestors, ...(won ? lineageBehind(won) : [])]).slice(0, LINEAGE - 1);
  const lost = [key, ...joined.remove].flatMap((one): Mending[] => {
    const entry = first?.entries.get(one);
    return first && entry && !entry.removed ? [{ key: one, from: first.who, entry }] : [];
  });
  const isNamed = (one: Mending | undefined) =>
    lineage.some((ancestor) => ancestor.fingerprint === one?.entry.fingerprint);
  return { lineage, lost: [...lost, ...past.filter(([one]) => !isNamed(one)).flat()] };
}

const distinct = (ancestors: readonly Ancestor[]): Ancestor[] => [
  ...new Map(ancestors.map((one) => [`${one.revision}:${one.fingerprint}`, one])).values(),
];
