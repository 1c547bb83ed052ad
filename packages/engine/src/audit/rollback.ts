import { CofferError } from '../errors.js';
import type { Anchor } from '../integrity.js';
import type { Stated, Tail } from './tail.js';

/** What a store knows of its log and of itself. */
export interface StoreWitness extends Stated {
  /** A line that was durable when the store was last written; `seq` 0 if it knows none. */
  readonly anchor: Anchor;
}

/** Something that was put back to an earlier state. */
export interface Rollback {
  readonly error: CofferError;
  /** For the log, if somebody accepts it. */
  readonly target: string;
}

const ACCEPT = 'start once with --accept-rollback, which says so in the audit log and goes on';

/** Somebody would have accepted what there was not, as far as could be seen. */
export const NOT_NEEDED =
  'Nothing was put back to an earlier state: --accept-rollback was not needed; leave it out.';

/** Holds the log's end against the store: neither may lack what the other one saw written. */
export function findRollbacks(path: string, tail: Tail, store: StoreWitness): Rollback[] {
  return [lostLines(path, tail, store.anchor), lostChanges(tail.stated, store)].filter(
    (one) => one !== undefined,
  );
}

function lostLines(path: string, { seq, anchored }: Tail, anchor: Anchor): Rollback | undefined {
  if (anchor.seq === 0 || anchored === anchor.hash) return undefined;
  const found =
    seq < anchor.seq
      ? `the audit log ended with line ${seq}, and the store knew of line ${anchor.seq}`
      : `line ${anchor.seq} of the audit log was not the one that the store knew`;
  const error = new CofferError(
    'audit_rolled_back',
    seq < anchor.seq
      ? `the audit log ${path} ends with line ${seq}, but the store knows that line ${anchor.seq} was written: the log was ` +
          `cut, taken away or put back to an earlier state. Put the newest log back; or, if it is lost, ${ACCEPT}`
      : `line ${anchor.seq} of the audit log ${path} is not the one that the store knows: the log was exchanged or written ` +
          `anew. Put the store's own log back; or, if it is lost, ${ACCEPT}`,
  );
  return { error, target: `${found}: ${anchor.seq}:${anchor.hash}` };
}

function lostChanges(log: Stated, store: Stated): Rollback | undefined {
  if (store.revision >= log.revision && store.generation >= log.generation) return undefined;
  const [is, was] =
    store.revision < log.revision
      ? [`change ${store.revision}`, `change ${log.revision}`]
      : [`policy state ${store.generation}`, `policy state ${log.generation}`];
  const error = new CofferError(
    'store_rolled_back',
    `the store is at ${is}, but the audit log tells of ${was}: the store was put back to an earlier state, in which ` +
      `revoked tokens may be valid and old values active. Put the newest store back; or, if this state is wanted, ${ACCEPT}`,
  );
  return { error, target: `the store was at ${is}, and the audit log told of ${was}` };
}
