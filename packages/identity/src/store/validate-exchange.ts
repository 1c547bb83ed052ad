import type { ActivationClaims, Export, Import } from '../tokens/claims.js';
import { decodeActivation } from '../tokens/jwt.js';
import {
  hasWildcards,
  isContainedIn,
  renamingProblem,
  subjectProblem,
  withoutReferences,
} from '../tokens/subjects.js';
import { error, type Finding, infoFindings, warning, when } from './finding.js';

/** What is wrong with what accounts export and import. Source of the rules: nats-io/jwt v2 (`exports.go`, `imports.go`). */

const quote = (text: string | undefined): string => JSON.stringify(text ?? '');

export function exportFindings(exports: readonly Export[]): Finding[] {
  return [
    ...exports.flatMap(oneExport),
    ...(['service', 'stream'] as const).flatMap((type) => overlaps(type, exports)),
  ];
}

function oneExport(item: Export): Finding[] {
  const { type, subject = '', response_type: response = '', service_latency: latency } = item;
  const what = `the export ${quote(item.name || subject)}`;
  const service = type === 'service';
  const position = item.account_token_position ?? 0;
  const sampling = latency?.sampling;
  return [
    ...when(type === undefined, `${what} is neither a stream nor a service`),
    ...when(subjectProblem(subject) !== undefined, `${what}: ${subjectProblem(subject)}`),
    ...when(
      service && !['', 'Singleton', 'Stream', 'Chunked'].includes(response),
      `${what} has a response type that there is not`,
    ),
    ...when(!service && response !== '', `${what} is a stream, which has no response type`),
    ...when(!service && item.allow_trace === true, `${what} is a stream, whose traces its import allows`),
    ...when(!service && latency != null, `${what} is a stream, whose latency cannot be tracked`),
    ...when(
      typeof sampling === 'number' && (sampling < 0 || sampling > 100),
      `${what}: its sampling is not from 1 to 100`,
    ),
    ...when(
      latency != null && (subjectProblem(latency.results) !== undefined || hasWildcards(latency.results)),
      `${what}: the subject for its latency is none that can be published to`,
    ),
    ...when(
      Number(item.response_threshold ?? 0) < 0 || (!service && Boolean(item.response_threshold)),
      `${what} has a response threshold, which services have, and none below 0`,
    ),
    ...when(
      position > 0 && subject.split('.')[position - 1] !== '*',
      `${what}: the position of the account's token, ${position}, is not that of a * in its subject`,
    ),
    ...infoFindings(item),
  ];
}

function overlaps(type: 'service' | 'stream', exports: readonly Export[]): Finding[] {
  const subjects = exports.filter((item) => item.type === type).map(({ subject = '' }) => subject);
  return subjects.flatMap((subject, index) =>
    subjects
      .slice(index + 1)
      .filter((other) => isContainedIn(subject, other) || isContainedIn(other, subject))
      .map((other) => error(`the ${type} exports of ${quote(subject)} and ${quote(other)} overlap`)),
  );
}

export function importFindings(imports: readonly Import[], account: string): Finding[] {
  return imports.flatMap((item, index) => [
    ...importOverlaps(item, imports.slice(0, index)),
    ...oneImport(item, account),
  ]);
}

function importOverlaps(item: Import, earlier: readonly Import[]): Finding[] {
  if (item.type !== 'service') return [];
  const local = localOf(item);
  return earlier
    .filter((other) => other.type === 'service' && other.account === item.account)
    .map(localOf)
    .filter((other) => isContainedIn(local, other) || isContainedIn(other, local))
    .map((other) => error(`the imports to ${quote(local)} and ${quote(other)} of the same account overlap`));
}

/** Where it is seen in the importing account; `$1` and the like stand for wildcards. */
function localOf({ to, local_subject: local, subject = '' }: Import): string {
  return to || withoutReferences(local ?? '') || subject;
}

function oneImport(item: Import, account: string): Finding[] {
  const { type, subject = '', local_subject: local = '', token } = item;
  const what = `the import ${quote(item.name || subject)}`;
  return [
    ...when(type === undefined, `${what} is neither a stream nor a service`),
    ...when(
      type === 'service' && item.allow_trace === true,
      `${what} is a service, whose traces its export allows`,
    ),
    ...when(!item.account, `${what} does not say from which account`),
    ...(item.to
      ? [warning(`${what} has "to", which is out of use: "local_subject" has taken its place`)]
      : []),
    ...when(subjectProblem(subject) !== undefined, `${what}: ${subjectProblem(subject)}`),
    ...(local === '' ? [] : renaming(what, local, subject)),
    ...when(local !== '' && Boolean(item.to), `${what} has both "to" and "local_subject"`),
    ...when(item.share === true && type !== 'service', `${what} is a stream, which shares nothing`),
    ...(token ? activationFindings(what, item, token, account) : []),
  ];
}

function renaming(what: string, local: string, subject: string): Finding[] {
  const problem = renamingProblem(local, subject);
  return problem === undefined ? [] : [error(`${what}: ${problem}`)];
}

function activationFindings(what: string, item: Import, token: string, account: string): Finding[] {
  const claims = decodeQuietly(token);
  if (claims === undefined) return [error(`${what}: its activation cannot be read, or is not well signed`)];
  const { nats, iss, sub } = claims;
  const subject = item.type === 'service' && item.to ? item.to : (item.subject ?? '');
  return [
    ...when(
      iss !== item.account && nats.issuer_account !== item.account,
      `${what}: its activation is not by the account that it imports from`,
    ),
    ...when(sub !== account, `${what}: its activation is for another account`),
    ...when(nats.kind !== item.type, `${what}: its activation is for a ${nats.kind ?? 'nothing'}`),
    ...when(
      !isContainedIn(subject, nats.subject ?? ''),
      `${what}: its activation is for ${quote(nats.subject)}`,
    ),
  ];
}

function decodeQuietly(token: string): ActivationClaims | undefined {
  try {
    return decodeActivation(token).claims;
  } catch {
    return undefined;
  }
}
