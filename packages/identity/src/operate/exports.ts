import { IdentityError } from '../errors.js';
import type { AccountClaims, Export } from '../tokens/claims.js';
import { hasWildcards, isContainedIn, subjectProblem } from '../tokens/subjects.js';

/**
 * What an account lets others have: streams that they may subscribe to, services that they may ask.
 *
 * Source of the rules: nats-io/jwt v2 (`exports.go`, `account_claims.go`).
 */

export const RESPONSE_TYPES = ['Singleton', 'Stream', 'Chunked'] as const;

/** What somebody asks for who adds an export. */
export interface ExportRequest {
  readonly subject: string;
  readonly name?: string | undefined;
  /** Else a stream. */
  readonly service?: boolean | undefined;
  /** Who imports it needs an activation token. */
  readonly private?: boolean | undefined;
  readonly responseType?: string | undefined;
  /** After how long a response is late, in nanoseconds. */
  readonly responseThreshold?: number | undefined;
  /** Where latencies are published to, and of how many requests in a hundred; 0 is "as the request's headers say". */
  readonly latency?: { readonly results: string; readonly sampling: number } | undefined;
  /** Which token of the subject, counted from 1, must be the importing account's key. */
  readonly accountTokenPosition?: number | undefined;
  readonly advertise?: boolean | undefined;
  readonly description?: string | undefined;
  readonly infoUrl?: string | undefined;
}

/** @throws IdentityError `invalid_claims` */
export function exportOf(request: ExportRequest): Export {
  const { subject, name, service, latency, responseThreshold, accountTokenPosition } = request;
  const made: Export = {
    name: name || subject,
    subject,
    type: service ? 'service' : 'stream',
    token_req: request.private || undefined,
    response_type: request.responseType ?? (service ? 'Singleton' : undefined),
    response_threshold: responseThreshold || undefined,
    service_latency: latency && {
      sampling: latency.sampling === 0 ? 'headers' : latency.sampling,
      results: latency.results,
    },
    account_token_position: accountTokenPosition || undefined,
    advertise: request.advertise || undefined,
    description: request.description,
    info_url: request.infoUrl,
  };
  const problem = exportProblem(made);
  if (problem) throw new IdentityError('invalid_claims', `this export cannot be: ${problem}`);
  return defined(made);
}

/**
 * The account's claims with one more export.
 *
 * @throws IdentityError `invalid_claims` if what is exported is exported already, or the account may not export it
 */
export function withExport<C extends Pick<AccountClaims, 'nats'>>(claims: C, added: Export): C {
  const exports = [...(claims.nats.exports ?? []), added];
  const problem = exportsProblem(exports, claims.nats.limits);
  if (problem) throw new IdentityError('invalid_claims', `this export cannot be added: ${problem}`);
  return { ...claims, nats: { ...claims.nats, exports } };
}

/** @throws IdentityError `invalid_claims` if the account exports no such subject */
export function withoutExport<C extends Pick<AccountClaims, 'nats'>>(
  claims: C,
  subject: string | undefined,
): { readonly claims: C; readonly removed: Export } {
  const exports = claims.nats.exports ?? [];
  if (exports.length === 0) throw new IdentityError('invalid_claims', 'this account has no exports');
  const wanted = subject ?? (exports.length === 1 ? exports[0]?.subject : undefined);
  if (wanted === undefined) {
    throw new IdentityError('invalid_claims', `say which export by its subject: ${subjectsOf(exports)}`);
  }
  const removed = exports.find((one) => one.subject === wanted);
  if (!removed) {
    throw new IdentityError(
      'invalid_claims',
      `this account does not export "${wanted}", only ${subjectsOf(exports)}`,
    );
  }
  const left = exports.filter((one) => one !== removed);
  return {
    claims: { ...claims, nats: { ...claims.nats, exports: left.length > 0 ? left : undefined } },
    removed,
  };
}

const subjectsOf = (exports: readonly Export[]): string =>
  exports.map(({ subject = '' }) => `"${subject}"`).join(', ');

function exportProblem(one: Export): string | undefined {
  const { subject = '', type, response_type, service_latency, response_threshold } = one;
  const service = type === 'service';
  const responses: readonly string[] = RESPONSE_TYPES;
  if (service && response_type !== undefined && !responses.includes(response_type)) {
    return `a service answers with ${RESPONSE_TYPES.join(', ')}`;
  }
  if (!service && response_type !== undefined) return 'only a service has a type of responses';
  if (!service && service_latency) return 'only of a service latency can be tracked';
  if (!service && response_threshold !== undefined) return 'only a service has a response threshold';
  if (!Number.isSafeInteger(response_threshold ?? 0) || (response_threshold ?? 0) < 0) {
    return 'a response threshold is a whole number of nanoseconds, 0 or more';
  }
  return (
    subjectProblem(subject) ??
    latencyProblem(service_latency) ??
    positionProblem(subject, one) ??
    infoProblem(one)
  );
}

function latencyProblem(latency: Export['service_latency']): string | undefined {
  if (!latency) return undefined;
  const { sampling, results } = latency;
  const percent =
    sampling === 'headers' || (Number.isInteger(sampling) && Number(sampling) > 0 && Number(sampling) <= 100);
  if (!percent) return 'latency is sampled of 1 to 100 requests in a hundred, or as headers say';
  if (hasWildcards(results)) return 'latencies are published to one subject, without wildcards';
  return subjectProblem(results);
}

function positionProblem(
  subject: string,
  { account_token_position: position = 0 }: Export,
): string | undefined {
  if (position === 0) return undefined;
  const tokens = subject.split('.');
  if (tokens[position - 1] === '*') return undefined;
  return `token ${position} of "${subject}" is no *, where the importing account’s key could stand`;
}

function infoProblem({ description = '', info_url }: Export): string | undefined {
  if (Buffer.byteLength(description) > INFO_BYTES) return 'its description is too long';
  if (info_url === undefined || info_url === '') return undefined;
  if (Buffer.byteLength(info_url) > INFO_BYTES) return 'its info URL is too long';
  return URL.canParse(info_url) && new URL(info_url).hostname !== '' ? undefined : 'its info URL is no URL';
}

const INFO_BYTES = 8 * 1024;

function exportsProblem(
  exports: readonly Export[],
  limits: AccountClaims['nats']['limits'],
): string | undefined {
  const allowed = Number(limits?.exports ?? 0);
  if (allowed !== -1 && exports.length > allowed) return `the account may have ${allowed} exports`;
  if (!limits?.wildcards && exports.some(({ subject = '' }) => hasWildcards(subject))) {
    return 'the account may not export subjects with wildcards';
  }
  for (const [at, one] of exports.entries()) {
    const within = exports.find(
      (other, otherAt) =>
        at !== otherAt && one.type === other.type && isContainedIn(one.subject ?? '', other.subject ?? ''),
    );
    if (within) return `the ${one.type} "${one.subject}" is exported by "${within.subject}" already`;
  }
  return undefined;
}

/** Without the fields that are undefined. */
export const defined = <T extends object>(given: T): T =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) as T;
