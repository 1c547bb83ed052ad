import type { Holding } from './heal-futures.js';
import { type Mending, STREAM } from './heal-plan.js';
import { isOfLostStream, isOutlived } from './lineage.js';
import type { ReplicaEntry } from './replica-contract.js';

/**
 * Takes out of what the stream has, and of what instances have from there, the old messages that somebody put there again when nobody
 * remembered them any more. One instance that follows the stream and did not take it over is enough: a new one has nothing to tell it by.
 *
 * @param whole what the stream has; changed, as are the replicas' entries
 * @returns what was taken out: where nobody has anything else in its place, it is to be removed
 */
export function takeOutlived(whole: Map<string, ReplicaEntry>, replicas: readonly Holding[]): Mending[] {
  const taken = [...whole].filter(([key, entry]) => !entry.removed && isPutThereAgain(key, entry, replicas));
  for (const [key, entry] of taken) {
    whole.delete(key);
    for (const { entries } of replicas) if (isCopy(entries.get(key), entry)) entries.delete(key);
  }
  return taken.map(([key, entry]) => ({ key, from: STREAM, entry }));
}

function isPutThereAgain(key: string, entry: ReplicaEntry, replicas: readonly Holding[]): boolean {
  // Where somebody knows something else of it, that tells.
  const isNew = replicas.every(({ entries }) => !entries.has(key) || isCopy(entries.get(key), entry));
  return replicas.some(({ entries, standpoint }) => {
    if (!standpoint || isCopy(entries.get(key), entry)) return false;
    return isOfLostStream(standpoint, entry) || (isNew && isOutlived(standpoint, entry));
  });
}

/** Whether it was read from there. */
export const isCopy = (one: ReplicaEntry | undefined, entry: ReplicaEntry): boolean =>
  one?.revision === entry.revision && one.fingerprint === entry.fingerprint;
