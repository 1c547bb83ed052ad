import { LINEAGE } from './layout.js';
import type { ReplicaEntry } from './replica-contract.js';

/** A change of one head whose answer was lost. */
export interface Lost {
  /** The revision that the head had. */
  readonly expected: number;
  /** Of its bytes as they were sent. */
  readonly fingerprint: string;
  /** Its revision if it came true, by the mark that the stream has of its batch; undefined if it has none. */
  readonly place: number | undefined;
  /** Whether records under its key are sealed: otherwise what one says of those before it proves nothing. */
  readonly isSealed: boolean;
}

export type Fate =
  | { readonly is: 'stored'; readonly revision: number }
  /** Another change was made in its place. */
  | { readonly is: 'overtaken' }
  /** The head is as it was. */
  | { readonly is: 'unchanged' }
  /** What is there does not tell. */
  | { readonly is: 'unknown' };

/**
 * What became of a change, by what is there now: the head's record names those before it, under seal, and so which one followed on the
 * one that the change was made on.
 *
 * The batch's mark alone says nothing: it can be overheard on its way to the server, and put into the stream by itself when the server
 * has refused the batch. A record that is just like the one that was sent is not enough either, since all removals are alike; it has to be
 * where the mark says.
 */
export function fateOf(entry: ReplicaEntry | undefined, lost: Lost): Fate {
  const { expected, fingerprint, place, isSealed } = lost;
  if ((entry?.revision ?? 0) === expected) return { is: 'unchanged' };
  if (!entry) return { is: 'unknown' };
  const line = [{ revision: entry.revision, fingerprint: entry.fingerprint }, ...entry.lineage];
  const before = line.findIndex(({ revision }) => revision <= expected);
  // Where too many followed to name them all, it is the oldest that is named, or none of them.
  const next = before >= 0 ? line[before - 1] : line.at(-1);
  const isNamed = before >= 0 || line.length <= LINEAGE;
  if (next?.fingerprint !== fingerprint) return { is: next && isNamed ? 'overtaken' : 'unknown' };
  // Of the ring's record no two that were made are alike.
  const isOurs = next.revision === (isSealed ? place : entry.revision);
  return isOurs ? { is: 'stored', revision: next.revision } : { is: 'unknown' };
}
