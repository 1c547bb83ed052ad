import { checkChanges } from './changes.js';
import { bySecret, describe, type FinalState, isChange, type Operation, type Violation } from './history.js';
import { checkReads, type ReadRules } from './reads.js';

/** What was recorded of a run. */
export interface History {
  readonly operations: readonly Operation[];
  /** Of every secret that was asked for, read when all was quiet, at each instance. */
  readonly finals: readonly FinalState[];
}

/** All that is wrong with a run, see {@link Violation}. */
export function check({ operations, finals }: History, rules: ReadRules): Violation[] {
  const groups = bySecret(operations);
  return finals.flatMap((final) => {
    const own = groups.get(final.secret) ?? [];
    return [...checkChanges(own, final), ...checkReads(own, rules)];
  });
}

/** Of a line of the audit log, what is looked at. */
export interface AuditLine {
  readonly action: string;
  readonly authorized: boolean;
  readonly secret?: string | undefined;
  readonly phase?: string | undefined;
  readonly operation?: string | undefined;
  readonly error?: string | undefined;
}

/**
 * Whether all that was answered stands in the audit logs of the instances together: each acknowledged change once, with its outcome;
 * of each secret no fewer reads than were answered.
 */
export function checkAudit(operations: readonly Operation[], lines: readonly AuditLine[]): Violation[] {
  const outcomes = new Map<string, number>();
  const reads = new Map<string, number>();
  for (const { action, authorized, secret = '', phase, operation = '', error } of lines) {
    if (!authorized || error !== undefined) continue;
    if (action === 'get') count(reads, secret);
    else if (phase === 'outcome') count(outcomes, operation);
  }
  const changes = operations.flatMap((change): Violation[] => {
    if (!isChange(change) || change.outcome !== 'ok' || change.operation === undefined) return [];
    const times = outcomes.get(change.operation) ?? 0;
    if (times === 1) return [];
    return [{ kind: 'not audited', secret: change.secret, message: `${describe(change)}: ${times} lines` }];
  });
  const gets = operations.filter(({ kind, outcome }) => kind === 'get' && outcome === 'ok');
  const missing = [...bySecret(gets)].flatMap(([secret, answered]): Violation[] => {
    const times = reads.get(secret) ?? 0;
    if (times >= answered.length) return [];
    return [{ kind: 'not audited', secret, message: `${answered.length} reads, ${times} lines` }];
  });
  return [...changes, ...missing];
}

const count = (map: Map<string, number>, key: string) => map.set(key, (map.get(key) ?? 0) + 1);
