import { LINEAGE } from './layout.js';
import type { Standpoint } from './lineage.js';
import type { Ancestor, ReplicaEntry } from './replica-contract.js';

/** What somebody has: the stream, or an instance's replica. Keys are in base64url. */
export interface Holding {
  readonly who: string;
  readonly entries: Map<string, ReplicaEntry>;
  /** When the stream was made of which its revisions are, in milliseconds: those of two streams cannot be compared. */
  readonly era?: number | undefined;
  /** Of a replica of the stream that is there, and no older than the healer's. */
  readonly standpoint?: Standpoint | undefined;
  /** Up to this sequence it has what the stream that is there had: what the stream has in the place of that came after it. */
  readonly common?: number | undefined;
}

/** One state of a head, and who has it; the stream first. */
export interface Candidate {
  readonly who: string;
  readonly entry: ReplicaEntry;
  readonly holders: readonly Holding[];
}

/** A state of a head that did not win. */
export interface Other extends Candidate {
  /** `past`: the stream's record says, or will, that it came after this one. */
  readonly is: 'past' | 'fork' | 'unclear';
  /** Somebody's record says that it came after this one, be it a loser's. */
  readonly isAncestor: boolean;
}

export interface Futures {
  readonly winner: Candidate;
  /** What the winner's record says in the stream of those before it, or will when it is there: what loses to it, too. */
  readonly lineage: readonly Ancestor[];
  readonly others: readonly Other[];
}

export interface FutureOptions {
  readonly stream: Holding;
  readonly replicas: readonly Holding[];
  /** Of a head that is not removed. */
  generation(who: string, key: string): Promise<number>;
  /** As {@link RecordSense.isLaterLife}. */
  readonly isLaterLife?: ((generation: number, removed: number) => boolean) | undefined;
}

/** Which state of a head is the newest, and what becomes of the others. Undefined if nobody has it. */
export async function futuresOf(options: FutureOptions, key: string): Promise<Futures | undefined> {
  const all = candidatesOf(options, key);
  const [first, ...rest] = all;
  if (!first) return undefined;
  let winner = first;
  for (const other of rest) winner = await newerOf(options, key, winner, other);
  const isThere = winner.holders.includes(options.stream);
  const before = ancestorsOf(key, winner);
  const lineage = isThere ? winner.entry.lineage : named(before, all);
  const revision = isThere ? winner.entry.revision : Number.MAX_SAFE_INTEGER;
  const written: Candidate = {
    who: options.stream.who,
    entry: { ...winner.entry, revision, lineage },
    holders: [options.stream],
  };
  const others = all
    .filter((one) => one !== winner)
    .map(
      (one): Other => ({
        ...one,
        is: relationOf(options, key, written, one),
        isAncestor: all.some((other) => other !== one && descends(key, other, one)),
      }),
    );
  // What lost is before it from then on: put there again, it must not win the next time.
  const lost = others
    .filter(({ is }) => is !== 'past')
    .map(({ entry: { revision: at, fingerprint } }) => ({ revision: at, fingerprint }));
  return { winner, lineage: isThere ? lineage : named([...lost, ...before], all), others };
}

function candidatesOf({ stream, replicas }: FutureOptions, key: string): Candidate[] {
  const candidates: (Candidate & { readonly holders: Holding[] })[] = [];
  for (const holder of [stream, ...replicas]) {
    const entry = holder.entries.get(key);
    if (!entry) continue;
    const same = candidates.find((one) => isSame(one.entry, entry));
    if (same) same.holders.push(holder);
    else candidates.push({ who: holder.who, entry, holders: [holder] });
  }
  return candidates;
}

/** Sealed bytes are never twice the same; of removals there may be several. */
const isSame = (a: ReplicaEntry, b: ReplicaEntry): boolean =>
  a.isHead === b.isHead &&
  a.removed === b.removed &&
  a.fingerprint === b.fingerprint &&
  (!a.removed || a.revision === b.revision);

async function newerOf(options: FutureOptions, key: string, a: Candidate, b: Candidate): Promise<Candidate> {
  if (await follows(options, key, a, b)) return a;
  if (await follows(options, key, b, a)) return b;
  if (a.entry.removed !== b.entry.removed) {
    const [gone, live] = a.entry.removed ? [a, b] : [b, a];
    // One was removed and the other went on: what was removed stays so. But an old removal has nothing to say of a later life.
    return (await isLaterLife(options, key, live, gone)) ? live : gone;
  }
  if (a.entry.removed) return isLater(a, b) ? a : b;
  const [ofA, ofB] = await Promise.all([options.generation(a.who, key), options.generation(b.who, key)]);
  if (ofA !== ofB) return ofA > ofB ? a : b;
  return isLater(a, b) ? a : b;
}

async function isLaterLife(
  { isLaterLife: isLater, generation }: FutureOptions,
  key: string,
  live: Candidate,
  { entry: { removedGeneration } }: Candidate,
): Promise<boolean> {
  if (!isLater || removedGeneration === undefined) return false;
  return isLater(await generation(live.who, key), removedGeneration);
}

async function follows(
  options: FutureOptions,
  key: string,
  newer: Candidate,
  older: Candidate,
): Promise<boolean> {
  const isSaid = descends(key, newer, older) || covers(options, key, newer, older);
  return isSaid && !(await goesBack(options, key, newer, older));
}

/** What is said to have come before a record does not make it newer, if it is not: who can write to the bucket can say that too. */
async function goesBack(
  { generation }: FutureOptions,
  key: string,
  newer: Candidate,
  older: Candidate,
): Promise<boolean> {
  if (newer.entry.removed || older.entry.removed) return false;
  const [ofNewer, ofOlder] = await Promise.all([generation(newer.who, key), generation(older.who, key)]);
  return ofNewer < ofOlder;
}

const descends = (key: string, { holders }: Candidate, { entry: older }: Candidate): boolean =>
  holders.some(({ entries }) => {
    const lineage = entries.get(key)?.lineage ?? [];
    return lineage.some((one) => isNamed(one, older));
  });

const isNamed = ({ revision, fingerprint: print }: Ancestor, older: ReplicaEntry): boolean =>
  print === older.fingerprint && (!older.removed || revision === older.revision);

/**
 * Whether what the lineage does not reach was there before all the same: the instance has said in the stream that it had all up to
 * `common`, and what the stream has in the place of that came after it. A removal of which nothing is left was swept, when all
 * had it.
 */
function covers({ stream }: FutureOptions, key: string, newer: Candidate, older: Candidate): boolean {
  const { entry } = newer;
  const isOfStream = newer.holders.includes(stream);
  return older.holders.some(({ entries, common = 0 }) => {
    const known = entries.get(key);
    if (!known || known.revision > common || entry.revision <= known.revision) return false;
    if (known.removed) return !entry.lineage.some(({ revision }) => revision < known.revision);
    return isOfStream && isFull(entry) && entry.lineage.every(({ revision }) => revision > known.revision);
  });
}

function relationOf(options: FutureOptions, key: string, written: Candidate, older: Candidate): Other['is'] {
  const { entry } = written;
  const isPast = older.entry.removed || entry.lineage.some((one) => isNamed(one, older.entry));
  if (isPast || covers(options, key, written, older)) return 'past';
  return reachesBeyond(options, written, older) ? 'unclear' : 'fork';
}

const isFull = ({ lineage }: ReplicaEntry): boolean => lineage.length >= LINEAGE;

/** So many changes lie between the two that the newer does not name the older any more. */
function reachesBeyond({ stream }: FutureOptions, { entry }: Candidate, older: Candidate): boolean {
  if (!isFull(entry)) return false;
  if (eraOf(stream) > eraOf(older.holders[0])) return true;
  return entry.lineage.every(({ revision }) => revision > older.entry.revision);
}

/** What the winner's record says came before it, as those say who have it. */
function ancestorsOf(key: string, { holders }: Candidate): Ancestor[] {
  return holders.flatMap(({ entries }) => entries.get(key)?.lineage ?? []);
}

/**
 * As many as a record names: before the rest those that somebody still has, who would take them for something else. In the order in which
 * they came: revisions of two streams tell nothing of that.
 */
function named(ancestors: readonly Ancestor[], all: readonly Candidate[]): Ancestor[] {
  const known = new Map(ancestors.map((one) => [`${one.revision}:${one.fingerprint}`, one]));
  const distinct = [...known.values()];
  const wanted = distinct.filter((one) => all.some(({ entry }) => isNamed(one, entry)));
  const chosen = [...wanted, ...distinct.filter((one) => !wanted.includes(one))].slice(0, LINEAGE);
  return distinct.filter((one) => chosen.includes(one));
}

export const eraOf = (holder: Holding | undefined): number => holder?.era ?? Number.POSITIVE_INFINITY;

function isLater(a: Candidate, b: Candidate): boolean {
  return compareAges(a.holders[0], a.entry, b.holders[0], b.entry) >= 0;
}

/** By revision, of records of one stream; the younger stream's is the newer. */
export function compareAges(
  a: Holding | undefined,
  ofA: ReplicaEntry,
  b: Holding | undefined,
  ofB: ReplicaEntry,
): number {
  const [eraA, eraB] = [eraOf(a), eraOf(b)];
  return eraA === eraB ? ofA.revision - ofB.revision : eraA > eraB ? 1 : -1;
}
