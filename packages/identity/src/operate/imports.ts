import { IdentityError } from '../errors.js';
import { parsePublicKey } from '../keys/nkey.js';
import type { AccountClaims, ActivationClaims, Import } from '../tokens/claims.js';
import { decodeActivation } from '../tokens/jwt.js';
import { isContainedIn, renamingProblem, subjectProblem, withoutReferences } from '../tokens/subjects.js';
import { defined } from './exports.js';

/**
 * What an account has of others, by an activation token of theirs or, where the export is public, without.
 *
 * Source of the rules: nats-io/jwt v2 (`imports.go`, `activation_claims.go`, `account_claims.go`).
 */

/** What somebody asks for who adds an import: by an activation token, or of a public export. */
export interface ImportRequest {
  readonly name?: string | undefined;
  readonly localSubject?: string | undefined;
  /** Tells the exporting account who asks, when latency is tracked; for services. */
  readonly share?: boolean | undefined;
  readonly allowTrace?: boolean | undefined;
  readonly from:
    | { readonly token: string }
    | { readonly account: string; readonly subject: string; readonly service: boolean };
}

/**
 * @param importer the account that gets the import
 * @throws IdentityError `invalid_claims`; as `decodeActivation` and `parsePublicKey`
 */
export function importOf({ from, ...request }: ImportRequest, importer: string): Import {
  const { subject, account, service, name, token } = 'token' in from ? ofToken(from.token) : ofPublic(from);
  const made: Import = {
    name: request.name || name,
    subject,
    account,
    token,
    local_subject: request.localSubject ?? (service ? subject : undefined),
    type: service ? 'service' : 'stream',
    share: request.share || undefined,
    allow_trace: request.allowTrace || undefined,
  };
  const problem = importProblem(made, importer);
  if (problem) throw new IdentityError('invalid_claims', `this import cannot be: ${problem}`);
  return defined(made);
}

interface Source {
  readonly subject: string;
  readonly account: string;
  readonly service: boolean;
  readonly name: string;
  readonly token?: string;
}

function ofToken(text: string): Source {
  const { nats, name = '' } = decodeActivation(text).claims;
  const subject = nats.subject ?? '';
  const account = exporterOf(decodeActivation(text).claims);
  return { subject, account, service: nats.kind === 'service', name: name || subject, token: text };
}

function ofPublic({
  account,
  subject,
  service,
}: {
  account: string;
  subject: string;
  service: boolean;
}): Source {
  if (parsePublicKey(account).kind !== 'account') {
    throw new IdentityError('invalid_claims', 'an import comes from an account, by its key (A…)');
  }
  return { account, subject, service, name: subject };
}

/** The account whose export an activation token opens. */
export const exporterOf = ({ iss, nats }: ActivationClaims): string => nats.issuer_account ?? iss;

/**
 * The account's claims with one more import.
 *
 * @throws IdentityError `invalid_claims` if it clashes with another, or the account may have no more
 */
export function withImport<C extends Pick<AccountClaims, 'nats'>>(claims: C, added: Import): C {
  const imports = [...(claims.nats.imports ?? []), added];
  const problem = importsProblem(imports, claims.nats.limits);
  if (problem) throw new IdentityError('invalid_claims', `this import cannot be added: ${problem}`);
  return { ...claims, nats: { ...claims.nats, imports } };
}

/**
 * @param from the exporting account, where more than one import has this subject
 * @throws IdentityError `invalid_claims` if the account has no such import, or more than one
 */
export function withoutImport<C extends Pick<AccountClaims, 'nats'>>(
  claims: C,
  subject: string | undefined,
  from: string | undefined,
): { readonly claims: C; readonly removed: Import } {
  const imports = claims.nats.imports ?? [];
  if (imports.length === 0) throw new IdentityError('invalid_claims', 'this account has no imports');
  const wanted = subject ?? (imports.length === 1 ? imports[0]?.subject : undefined);
  const found = imports.filter(
    (one) => one.subject === wanted && (from === undefined || one.account === from),
  );
  const [removed, ...more] = found;
  if (!removed) {
    const all = imports.map((one) => `"${one.subject}" from ${one.account}`).join(', ');
    throw new IdentityError('invalid_claims', `say which import by its subject: ${all}`);
  }
  if (more.length > 0) {
    const accounts = found.map(({ account = '' }) => account).join(', ');
    throw new IdentityError(
      'invalid_claims',
      `more than one import has the subject "${wanted}": say --src-account, one of ${accounts}`,
    );
  }
  const left = imports.filter((one) => one !== removed);
  return {
    claims: { ...claims, nats: { ...claims.nats, imports: left.length > 0 ? left : undefined } },
    removed,
  };
}

function importProblem(one: Import, importer: string): string | undefined {
  const { subject = '', local_subject, account = '', token, type, share, allow_trace } = one;
  if (account === importer) return 'an account imports from others, and this export is its own';
  if (share && type !== 'service') return 'only of a service information is shared';
  if (allow_trace && type !== 'stream') return 'only for a stream traces are allowed by who imports it';
  const problem = subjectProblem(subject);
  if (problem) return problem;
  if (local_subject !== undefined) {
    const renaming = renamingProblem(local_subject, subject);
    if (renaming) return renaming;
  }
  return token === undefined ? undefined : activationProblem(decodeActivation(token).claims, one, importer);
}

function activationProblem(
  { sub, nats }: ActivationClaims,
  { subject = '', type }: Import,
  importer: string,
): string | undefined {
  if (sub !== importer) return `its activation token is for another account: ${sub}`;
  if (nats.kind !== type) return `its activation token is for a ${nats.kind ?? 'nothing'}`;
  if (!isContainedIn(subject, nats.subject ?? ''))
    return `its activation token is for "${nats.subject ?? ''}"`;
  return undefined;
}

function importsProblem(
  imports: readonly Import[],
  limits: AccountClaims['nats']['limits'],
): string | undefined {
  const allowed = Number(limits?.imports ?? 0);
  if (allowed !== -1 && imports.length > allowed) return `the account may have ${allowed} imports`;
  const added = imports.at(-1);
  const clash = imports.slice(0, -1).find((other) => added && clashes(added, other));
  if (!clash) return undefined;
  return `it overlaps with the ${clash.type} "${clash.subject}" from ${clash.account}`;
}

/** Services of one account need local subjects of their own; a stream is imported once. */
function clashes(one: Import, other: Import): boolean {
  if (one.account !== other.account || one.type !== other.type) return false;
  if (one.type === 'stream') return one.subject === other.subject && localOf(one) === localOf(other);
  return isContainedIn(localOf(one), localOf(other)) || isContainedIn(localOf(other), localOf(one));
}

const localOf = ({ to, local_subject, subject = '' }: Import): string =>
  to || (local_subject && withoutReferences(local_subject)) || subject;
