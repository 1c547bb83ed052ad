import { LINEAGE } from './layout.js';
import type { ReplicaEntry } from './replica-contract.js';

/** The stream's name among those who have something. */
export const STREAM = 'stream';

/** What somebody has: the stream, or an instance's replica. Keys are in base64url. */
export interface Holding {
  /** {@link STREAM}, or an instance. */
  readonly who: string;
  readonly entries: ReadonlyMap<string, ReplicaEntry>;
}

/** What the engine knows of records, without opening them. */
export interface RecordSense {
  /** Records of one group are one thing: a head, and those beside it that it refers to. */
  groupOf(key: Uint8Array): string;
  /** Grows with each change of a head. @throws anything for what is none */
  generationOf(key: Uint8Array, bytes: Uint8Array): number;
  /** A head that is never removed as long as there is a store. */
  isLasting?(key: Uint8Array): boolean;
}

/** What is to be done to one record of the stream. */
export interface Mending {
  readonly key: string;
  /** Whose record it is to be; its entry may say that it is removed. */
  readonly from: string;
  readonly entry: ReplicaEntry;
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
}

export interface HealPlan {
  readonly mendings: readonly Mending[];
  readonly forks: readonly Fork[];
  readonly contests: readonly Contest[];
}

export interface PlanOptions {
  readonly stream: Holding;
  readonly replicas: readonly Holding[];
  groupOf(key: string): string;
  /** Of a head that is not removed, asked where its lineage does not tell. */
  generation(who: string, key: string): Promise<number>;
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
  for (const keys of groups.values()) {
    const plan = await planGroup(options, [...keys]);
    mendings.push(...plan.mendings);
    forks.push(...plan.forks);
    contests.push(...plan.contests);
  }
  return { mendings, forks, contests };
}

async function planGroup(options: PlanOptions, keys: readonly string[]): Promise<HealPlan> {
  const { stream, replicas } = options;
  const all = [stream, ...replicas];
  const heads = keys.filter((key) => all.some(({ entries }) => entries.get(key)?.isHead));
  const [head] = heads;
  // Bulk that no head of anybody refers to means nothing.
  if (head === undefined) return { mendings: [], forks: [], contests: [] };
  const { winner, losers, unclear } = await winnerOf(options, head);
  const beside = keys.filter((key) => key !== head);
  const contested = [
    ...losers.map((loser) => ({ loser, isSure: true })),
    ...unclear.map((loser) => ({ loser, isSure: false })),
  ].flatMap(({ loser: { holders, entry }, isSure }) => {
    const [holder] = holders;
    return holder && !entry.removed ? [{ holder, isSure }] : [];
  });
  const isContest = contested.length > 0 && !winner.entry.removed;
  return {
    contests: isContest ? [{ key: head, beside, winner: winner.holders, losers: contested }] : [],
    mendings: mendingsOf(stream, winner.holders, head, beside),
    forks: losers.map((loser) => ({
      key: head,
      winner: winner.who,
      loser: loser.who,
      lost: [head, ...beside].flatMap((key) => {
        const holder = all.find(({ who }) => who === loser.who);
        const entry = holder?.entries.get(key);
        const isElsewhere = entry && winner.holders[0]?.entries.get(key)?.fingerprint === entry.fingerprint;
        return entry && !entry.removed && !isElsewhere ? [{ key, from: loser.who, entry }] : [];
      }),
    })),
  };
}

/** One state of a head, and who has it; the stream first. */
interface Candidate {
  readonly who: string;
  readonly entry: ReplicaEntry;
  readonly holders: Holding[];
}

async function winnerOf(
  options: PlanOptions,
  key: string,
): Promise<{ readonly winner: Candidate; readonly losers: Candidate[]; readonly unclear: Candidate[] }> {
  const candidates: Candidate[] = [];
  for (const holder of [options.stream, ...options.replicas]) {
    const entry = holder.entries.get(key);
    if (!entry) continue;
    const same = candidates.find((one) => isSame(one.entry, entry));
    if (same) same.holders.push(holder);
    else candidates.push({ who: holder.who, entry, holders: [holder] });
  }
  const [first, ...others] = candidates;
  if (!first) throw new Error('a group without a head');
  let winner = first;
  let losers: Candidate[] = [];
  let unclear: Candidate[] = [];
  for (const other of others) {
    const { newer, isFork, isUnclear } = await compare(options, key, winner, other);
    const older = newer === other ? winner : other;
    // What lost against one that is now older itself may be one of its ancestors.
    losers = losers.filter((loser) => !descends(newer.entry, loser.entry));
    unclear = unclear.filter((loser) => !descends(newer.entry, loser.entry));
    winner = newer;
    if (isFork) losers.push(older);
    else if (isUnclear) unclear.push(older);
  }
  return { winner, losers, unclear };
}

/** Sealed bytes are never twice the same; of removals there may be several. */
const isSame = (a: ReplicaEntry, b: ReplicaEntry): boolean =>
  a.removed === b.removed && a.fingerprint === b.fingerprint && (!a.removed || a.revision === b.revision);

const descends = (newer: ReplicaEntry, older: ReplicaEntry): boolean =>
  newer.lineage.some(
    ({ revision, fingerprint }) =>
      fingerprint === older.fingerprint && (!older.removed || revision === older.revision),
  );

async function compare(
  { generation }: PlanOptions,
  key: string,
  a: Candidate,
  b: Candidate,
): Promise<{ readonly newer: Candidate; readonly isFork: boolean; readonly isUnclear?: boolean }> {
  if (descends(a.entry, b.entry)) return { newer: a, isFork: false };
  if (descends(b.entry, a.entry)) return { newer: b, isFork: false };
  // One was removed and the other went on: what was removed stays so.
  if (a.entry.removed !== b.entry.removed) {
    const [removed, live] = a.entry.removed ? [a, b] : [b, a];
    return { newer: removed, isFork: !reachesBeyond(removed.entry, live.entry) };
  }
  if (a.entry.removed) return { newer: a.entry.revision >= b.entry.revision ? a : b, isFork: false };
  const [ofA, ofB] = await Promise.all([generation(a.who, key), generation(b.who, key)]);
  if (ofA === ofB) return { newer: a.entry.revision >= b.entry.revision ? a : b, isFork: true };
  const [newer, older] = ofA > ofB ? [a, b] : [b, a];
  const isUnclear = reachesBeyond(newer.entry, older.entry);
  return { newer, isFork: !isUnclear, isUnclear };
}

/** So many changes lie between the two that the newer does not name the older any more. */
const reachesBeyond = (newer: ReplicaEntry, older: ReplicaEntry): boolean => {
  const oldest = newer.lineage.at(-1);
  return oldest !== undefined && newer.lineage.length >= LINEAGE && oldest.revision > older.revision;
};

/** What of the group the stream has not as those have it who have the head. */
function mendingsOf(
  stream: Holding,
  holders: readonly Holding[],
  head: string,
  beside: readonly string[],
): Mending[] {
  const isThere = holders.includes(stream);
  const [first] = holders;
  if (!first) return [];
  const mend = (key: string, { who }: Holding, entry: ReplicaEntry): Mending[] => {
    const present = stream.entries.get(key);
    const isAsWanted = entry.removed
      ? present === undefined || present.removed
      : present !== undefined && !present.removed && present.fingerprint === entry.fingerprint;
    return isAsWanted ? [] : [{ key, from: who, entry }];
  };
  const sides = beside.flatMap((key): Mending[] => {
    const held = (isThere ? holders.slice(1) : holders).flatMap((holder) => {
      const entry = holder.entries.get(key);
      return entry ? [{ holder, entry }] : [];
    });
    const [newest] = held.sort((a, b) => b.entry.revision - a.entry.revision);
    const present = stream.entries.get(key);
    if (!newest) {
      // The stream's other future of the head may not leave something beside this one.
      return isThere || !present || present.removed
        ? []
        : [{ key, from: first.who, entry: { ...present, removed: true } }];
    }
    if (isThere && present && present.revision >= newest.entry.revision) return [];
    return mend(key, newest.holder, newest.entry);
  });
  const entry = first.entries.get(head);
  return [...sides, ...(entry && !isThere ? mend(head, first, entry) : [])];
}
