import {
  compareAges,
  eraOf,
  type FutureOptions,
  type Futures,
  futuresOf,
  type Holding,
} from './heal-futures.js';
import { contradicts, isPast } from './lineage.js';
import type { Ancestor, ReplicaEntry } from './replica-contract.js';

/** The stream's name among those who have something. */
export const STREAM = 'stream';

/** What the engine knows of records, without opening them. */
export interface RecordSense {
  /** Records of one group are one thing: a head, and those beside it that it refers to. */
  groupOf(key: Uint8Array): string;
  /** Grows with each change of a head. @throws anything for what is none */
  generationOf(key: Uint8Array, bytes: Uint8Array): number;
  /** Whether a head of this generation began its life after one of that generation was removed for good. */
  isLaterLife?(generation: number, removed: number): boolean;
  /** By the key alone, whatever a message says of itself. */
  isHead?(key: Uint8Array): boolean;
  /** A head that is never removed as long as there is a store. */
  isLasting?(key: Uint8Array): boolean;
}

/** Whether a record says that it is a head and its key that it is none, or the other way round: no instance writes that. */
export const isContradicted = (sense: RecordSense, key: Uint8Array, { isHead }: ReplicaEntry): boolean =>
  (sense.isHead?.(key) ?? isHead) !== isHead;

/** 0 of what is no head: what cannot be read does not win. */
export function generationOf(sense: RecordSense, key: Uint8Array, bytes: Uint8Array): number {
  try {
    return sense.generationOf(key, bytes);
  } catch {
    return 0;
  }
}

/** What is to be done to one record of the stream. */
export interface Mending {
  readonly key: string;
  /** Whose record it is to be; its entry may say that it is removed. */
  readonly from: string;
  readonly entry: ReplicaEntry;
  /** Of a head: what its record is to name as before it. */
  readonly lineage?: readonly Ancestor[] | undefined;
}

/** A head that had two futures. */
export interface Fork {
  readonly key: string;
  readonly winner: string;
  readonly loser: string;
  /** The head that lost, and what is beside it. */
  readonly lost: readonly Mending[];
}

/** A head that won against others, of which at least one may have been another future. */
export interface Contest {
  readonly key: string;
  readonly beside: readonly string[];
  /** Those that have it as it won. */
  readonly winner: readonly Holding[];
  readonly losers: readonly { readonly holder: Holding; readonly isSure: boolean }[];
  /** What came before it, as it is in the stream or will be, and somebody still has. */
  readonly past: readonly Lost[];
}

/** A state of a head that did not win, and what is beside it. */
export type Lost = readonly Mending[];

export interface HealPlan {
  readonly mendings: readonly Mending[];
  readonly forks: readonly Fork[];
  readonly contests: readonly Contest[];
  /** What lost, or may have: the forks', and what nobody can tell any more. */
  readonly lost: readonly Lost[];
}

export interface PlanOptions extends FutureOptions {
  groupOf(key: string): string;
}

/**
 * What the stream lacks of what the replicas have. Of each head the newest state wins, of whoever has it, and what is beside it goes
 * along; a removal wins over what it removed, and over another future of the same record. Records that the stream has and nobody else
 * stay.
 */
export async function planHeal(options: PlanOptions): Promise<HealPlan> {
  const { stream, replicas, groupOf } = options;
  const groups = new Map<string, Set<string>>();
  for (const { entries } of [stream, ...replicas]) {
    for (const key of entries.keys()) {
      const group = groupOf(key);
      const keys = groups.get(group);
      if (keys) keys.add(key);
      else groups.set(group, new Set([key]));
    }
  }
  const mendings: Mending[] = [];
  const forks: Fork[] = [];
  const contests: Contest[] = [];
  const lost: Lost[] = [];
  for (const keys of groups.values()) {
    const plan = await planGroup(options, [...keys]);
    if (!plan) continue;
    mendings.push(...plan.mendings);
    forks.push(...plan.forks);
    contests.push(...plan.contests);
    lost.push(...plan.lost);
  }
  return { mendings, forks, contests, lost };
}

async function planGroup(options: PlanOptions, keys: readonly string[]): Promise<HealPlan | undefined> {
  const { stream, replicas } = options;
  const all = [stream, ...replicas];
  const head = keys.find((key) => all.some(({ entries }) => entries.get(key)?.isHead));
  // Bulk that no head of anybody refers to means nothing.
  const futures = head === undefined ? undefined : await futuresOf(options, head);
  if (head === undefined || !futures) return undefined;
  const { winner, others } = futures;
  const beside = keys.filter((key) => key !== head);
  const stateOf = ({ holders: [holder] }: Futures['winner']): Lost =>
    [head, ...beside].flatMap((key) => {
      const entry = holder?.entries.get(key);
      const isElsewhere = entry && winner.holders[0]?.entries.get(key)?.fingerprint === entry.fingerprint;
      return holder && entry && !entry.removed && !isElsewhere ? [{ key, from: holder.who, entry }] : [];
    });
  const losers = others.filter(({ is }) => is !== 'past');
  const rivals = losers.filter(({ isAncestor }) => !isAncestor);
  const contested = rivals.flatMap(({ holders: [holder], is }) =>
    holder ? [{ holder, isSure: is === 'fork' }] : [],
  );
  const past = others.filter(({ is, entry }) => is === 'past' && !entry.removed).map(stateOf);
  const isContest = contested.length > 0 && !winner.entry.removed;
  return {
    contests: isContest ? [{ key: head, beside, winner: winner.holders, losers: contested, past }] : [],
    mendings: mendingsOf(stream, futures, head, beside),
    lost: losers.map(stateOf),
    forks: rivals
      .filter(({ is }) => is === 'fork')
      .map((loser) => ({ key: head, winner: winner.who, loser: loser.who, lost: stateOf(loser) })),
  };
}

const isSameEra = (one: Holding, other: Holding): boolean => eraOf(one) === eraOf(other);

/** What of the group the stream has not as those have it who have the head. */
function mendingsOf(
  stream: Holding,
  { winner: { holders }, lineage }: Futures,
  head: string,
  beside: readonly string[],
): Mending[] {
  const isThere = holders.includes(stream);
  const [first] = holders;
  if (!first) return [];
  const sides = beside.flatMap((key): Mending[] => {
    const held = (isThere ? holders.slice(1) : holders).flatMap((holder) => {
      const entry = holder.entries.get(key);
      return entry ? [{ holder, entry }] : [];
    });
    const present = stream.entries.get(key);
    const isPastOf = (entry: ReplicaEntry) =>
      held.some((other) => isPast(entry, other.entry)) || (isThere && present && isPast(entry, present));
    const [newest] = held
      .filter((one) => !isPastOf(one.entry))
      .sort((a, b) => compareAges(b.holder, b.entry, a.holder, a.entry));
    if (!newest) {
      // The stream's other future of the head may not leave something beside this one.
      return isThere || !present || present.removed
        ? []
        : [{ key, from: first.who, entry: { ...present, removed: true } }];
    }
    const { holder, entry } = newest;
    const isNewer = isThere && present && compareAges(stream, present, holder, entry) >= 0;
    // What came before it, or does not follow on it, is an older message that somebody put there again.
    const isPutBack =
      isNewer && (isPast(present, entry) || (isSameEra(stream, holder) && contradicts(entry, present)));
    if (isNewer && !isPutBack) return [];
    const isAsWanted = entry.removed
      ? present === undefined || present.removed
      : present !== undefined && !present.removed && present.fingerprint === entry.fingerprint;
    return isAsWanted ? [] : [{ key, from: holder.who, entry }];
  });
  const entry = first.entries.get(head);
  // That it was removed is written where nothing is, too: one that is away may still have it.
  const isWritten = isThere || !entry || (entry.removed && stream.entries.get(head)?.removed === true);
  return isWritten ? sides : [...sides, { key: head, from: first.who, entry, lineage }];
}
