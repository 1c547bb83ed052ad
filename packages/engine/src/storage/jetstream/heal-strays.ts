import { cameTrue } from './beside.js';
import type { Holding } from './heal-futures.js';
import { isCopy } from './heal-outlived.js';
import { type Mending, STREAM } from './heal-plan.js';
import { LINEAGE, token } from './layout.js';
import { lineageBehind } from './messages.js';
import type { Beside, ReplicaEntry } from './replica-contract.js';

/**
 * Takes out of what the stream has, and of what instances have from there, what was written with a change that did not come true, and
 * somebody has put there by itself. One instance that follows the stream is enough, if it still has what came before.
 *
 * @param whole what the stream has; changed, as are the replicas' entries
 * @returns what was taken out
 */
export function takeStrays(whole: Map<string, ReplicaEntry>, replicas: readonly Holding[]): Mending[] {
  const taken = [...whole].filter(([key, entry]) => isStray(key, entry, whole, replicas));
  for (const [key, entry] of taken) {
    whole.delete(key);
    for (const { entries } of replicas) if (isCopy(entries.get(key), entry)) entries.delete(key);
  }
  return taken.map(([key, entry]) => ({ key, from: STREAM, entry }));
}

/** What comes in the place of one that was taken out says that it came after it: who has taken it over must not think that it is older. */
export function behindStrays(mendings: readonly Mending[], strays: readonly Mending[]): Mending[] {
  const taken = new Map(strays.map(({ key, entry }) => [key, entry]));
  return mendings.map((one) => {
    const stray = taken.get(one.key);
    if (!stray) return one;
    const { revision, fingerprint } = stray;
    return { ...one, lineage: [{ revision, fingerprint }, ...lineageBehind(one.entry)].slice(0, LINEAGE) };
  });
}

function isStray(
  key: string,
  entry: ReplicaEntry,
  whole: ReadonlyMap<string, ReplicaEntry>,
  replicas: readonly Holding[],
): boolean {
  const { beside } = entry;
  if (!beside) return false;
  const said = { ...entry, beside };
  const head = headOf(whole, beside);
  if (head && cameTrue(head, said)) return false;
  // Whoever has nothing of its head cannot tell.
  const isDenied = ({ entries }: Holding) => {
    const own = headOf(entries, beside);
    return own !== undefined && !cameTrue(own, said);
  };
  if (replicas.some((one) => isCopy(one.entries.get(key), entry) && !isDenied(one))) return false;
  return replicas.some(
    (one) => one.standpoint && isDenied(one) && mayComeBefore(one.entries.get(key), entry),
  );
}

const headOf = (entries: ReadonlyMap<string, ReplicaEntry>, { head }: Beside) => entries.get(token(head));

const mayComeBefore = (known: ReplicaEntry | undefined, { lineage }: ReplicaEntry): boolean =>
  known === undefined ||
  lineage.some((one) => one.revision === known.revision && one.fingerprint === known.fingerprint);
