import { LINEAGE } from './layout.js';
import type { Ancestor, ReplicaEntry, ReplicaLike } from './replica-contract.js';

/**
 * Whether a record that came cannot be a successor of the one that is here: it names its predecessors back to that one or beyond and
 * this one is not among them. Both were then written on top of the same one, in a stream that was put back in between.
 */
export function contradicts(
  known: ReplicaEntry,
  { lineage, after = 0 }: Pick<ReplicaEntry, 'lineage' | 'after'>,
): boolean {
  const { revision, fingerprint, removed } = known;
  if (lineage.some((one) => one.revision === revision)) {
    return !lineage.some((one) => one.revision === revision && one.fingerprint === fingerprint);
  }
  // A tombstone that every member confirmed is swept: a new life may begin without knowing of it, but not before it.
  if (removed)
    return lineage.some((one) => one.revision < revision) || (lineage.length === 0 && after < revision);
  const oldest = lineage.at(-1);
  return oldest === undefined || lineage.length < LINEAGE || oldest.revision < revision;
}

/**
 * Whether a state of a record is one that the other's says came before it, wherever it lies: sealed bytes are never twice the same. Of a
 * removal, whether what it removed was followed by something else, too.
 */
export function isPast({ removed, fingerprint, lineage }: ReplicaEntry, other: ReplicaEntry): boolean {
  const before = (print: string | undefined) => other.lineage.findIndex((one) => one.fingerprint === print);
  // What a heal brings back names itself.
  if (!removed) return fingerprint !== other.fingerprint && before(fingerprint) >= 0;
  return !other.removed && before(lineage[0]?.fingerprint) > 0;
}

/** A record and those before it that it names, the newest first. */
export const lineOf = ({ revision, fingerprint, lineage }: ReplicaEntry): readonly Ancestor[] => [
  { revision, fingerprint },
  ...lineage,
];

/** Where a replica is, as far as an old message is told by it. */
export type Standpoint = Pick<ReplicaLike, 'position' | 'outlived'>;

/**
 * Whether a record of which nothing is known here is an older message that somebody put there again: whoever wrote it had not read what
 * every member has read long ago. What lies before the position was there when this instance read on, and is none.
 */
export const isOutlived = (
  { position, outlived }: Standpoint,
  { revision, after = 0 }: Pick<ReplicaEntry, 'revision' | 'after'>,
): boolean => revision > position && after < outlived;

/**
 * Whether a record is of a stream that was put back since: whoever wrote it had read beyond the place where it lies now. Whether
 * something is known under its key or not, it is an older message, too.
 */
export const isOfLostStream = (
  { position }: Pick<Standpoint, 'position'>,
  { revision, after = 0 }: Pick<ReplicaEntry, 'revision' | 'after'>,
): boolean => revision > position && after >= revision;
