import { LINEAGE } from './layout.js';
import { lineOf } from './lineage.js';
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
  const line = lineOf(entry);
  const before = line.findIndex(({ revision }) => revision <= expected);
  // Where too many followed to name them all, it is the oldest that is named, or none of them.
  const next = before >= 0 ? line[before - 1] : line.at(-1);
  const isNamed = before >= 0 || line.length <= LINEAGE;
  if (next?.fingerprint !== fingerprint) return { is: next && isNamed ? 'overtaken' : 'unknown' };
  // Of the ring's record no two that were made are alike.
  const isOurs = next.revision === (isSealed ? place : entry.revision);
  return isOurs ? { is: 'stored', revision: next.revision } : { is: 'unknown' };
}

/** What is known of a change that the server is said to have stored. */
export interface Acknowledged {
  readonly fingerprint: string;
  /** The revision that its head has by the answer. */
  readonly place: number;
  /** The mark of its batch is where the answer puts it. */
  readonly isMarked: boolean;
  readonly isSealed: boolean;
}

/**
 * Whether the head shows a change as stored there: anybody may have answered in the server's place who can publish where answers are
 * waited for, and what one server had stored may be lost with it. Where so many followed that they do not name it any more, its mark
 * is believed.
 */
export function isShown(entry: ReplicaEntry | undefined, acknowledged: Acknowledged): boolean {
  if (!entry) return false;
  const { fingerprint, place, isMarked, isSealed } = acknowledged;
  const line = isSealed ? lineOf(entry) : lineOf(entry).slice(0, 1);
  const there = line.find(({ revision }) => revision <= place);
  if (there) return there.revision === place && there.fingerprint === fingerprint;
  return isSealed && line.length > LINEAGE && isMarked;
}
