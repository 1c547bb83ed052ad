import type { Operation } from '../checker/history.js';
import type { Fault } from './nemesis.js';

/**
 * The gets that failed though nothing was broken that they could have felt.
 *
 * @param graceMs how long after it was mended a fault may still be felt
 */
export function unexplained(
  operations: readonly Operation[],
  faults: readonly Fault[],
  { graceMs, answersStale }: { readonly graceMs: number; readonly answersStale: boolean },
): Operation[] {
  const explains = (fault: Fault, { instance, session, code, start, end }: Operation): boolean => {
    if (end < fault.start || start > fault.end + graceMs) return false;
    if (fault.instance === instance) return true;
    // Who has seen something newer elsewhere is not given what is older, by no instance.
    if (code === 'stale' && session !== undefined) return true;
    // What happens to the servers of NATS keeps no instance from answering that may answer what is old.
    return fault.instance === undefined && !answersStale;
  };
  return operations.filter(
    (operation) =>
      operation.kind === 'get' &&
      operation.outcome === 'refused' &&
      !faults.some((fault) => explains(fault, operation)),
  );
}
