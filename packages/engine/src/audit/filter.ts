import { CofferError } from '../errors.js';
import { Pattern } from '../patterns.js';
import { AUDIT_ACTIONS } from './entry.js';
import { LineHead } from './line-head.js';

/** Which entries somebody wants; what is left out does not narrow. */
export interface AuditFilter {
  /** A principal's id, or its name; of a caller's further ones (`also`) too. */
  readonly principal?: string | undefined;
  /** A pattern of names. */
  readonly secret?: string | undefined;
  readonly action?: string | undefined;
  /** A pattern of the applications that requests claimed to be for, and of the hosts that they claimed to come from. */
  readonly application?: string | undefined;
  readonly host?: string | undefined;
  readonly since?: Date | undefined;
  /** Entries of this very moment are in. */
  readonly until?: Date | undefined;
}

interface Fields {
  readonly action?: unknown;
  readonly secret?: unknown;
  readonly principal?: {
    readonly id?: unknown;
    readonly user?: unknown;
    readonly also?: unknown;
    readonly application?: unknown;
    readonly host?: unknown;
  };
}

/**
 * An action that there is not would match nothing, which reads as if nothing had happened.
 *
 * @throws CofferError `invalid_argument`
 */
export function requireKnownAction({ action }: AuditFilter): void {
  if (action === undefined || (AUDIT_ACTIONS as readonly string[]).includes(action)) return;
  throw new CofferError(
    'invalid_argument',
    `unknown action ${JSON.stringify(action.slice(0, 64))}: the log knows ${USUAL.join(', ')} and those in docs/audit.md`,
  );
}

/** All of them would be more than a sentence. */
const USUAL: readonly (typeof AUDIT_ACTIONS)[number][] = [
  'get',
  'info',
  'put',
  'create-version',
  'activate',
  'delete',
  'apply-policy',
  'create-token',
  'revoke',
  'read-audit',
  'backup',
  'checkpoint',
];

/** Tells whether a line is wanted; undefined where all are. A line that is no entry of ours never is. */
export function matcherOf(filter: AuditFilter): ((line: Buffer) => boolean) | undefined {
  // By name: a range has more fields than a filter, and to look into each line costs more than all else that is done with it.
  const { since, until, principal, action, secret, application, host } = filter;
  const deep = [principal, action, secret, application, host].some((part) => part !== undefined);
  if (!deep && since === undefined && until === undefined) return undefined;
  const isWanted = { secret: matcher(secret), application: matcher(application), host: matcher(host) };
  return (line) => {
    const time = LineHead.of(line)?.time;
    if (time === undefined || (since && time < since.getTime()) || (until && time > until.getTime()))
      return false;
    if (!deep) return true;
    const fields = fieldsOf(line);
    if (!fields) return false;
    if (action !== undefined && fields.action !== action) return false;
    if (!isWanted.secret(fields.secret)) return false;
    if (!isWanted.application(fields.principal?.application)) return false;
    if (!isWanted.host(fields.principal?.host)) return false;
    return principal === undefined || isBy(fields, principal);
  };
}

/** Matches everything where nothing is wanted in particular, an entry without the field too. */
function matcher(wanted: string | undefined): (field: unknown) => boolean {
  if (wanted === undefined) return () => true;
  const pattern = new Pattern(wanted);
  return (field) => typeof field === 'string' && pattern.matches(field);
}

function isBy({ principal }: Fields, wanted: string): boolean {
  const { id, user, also } = principal ?? {};
  return id === wanted || user === wanted || (Array.isArray(also) && also.includes(wanted));
}

function fieldsOf(line: Buffer): Fields | undefined {
  try {
    return (JSON.parse(line.toString()) ?? undefined) as Fields | undefined;
  } catch {
    return undefined;
  }
}
