import { isIP } from 'node:net';
import type {
  AccountClaims,
  OperatorClaims,
  Permission,
  UserClaims,
  UserPermissionLimits,
} from '../tokens/claims.js';
import { signingKeysOf } from '../tokens/claims.js';
import { hasWildcards, permissionProblem, subjectProblem } from '../tokens/subjects.js';
import { error, type Finding, infoFindings, isBadUrl, when } from './finding.js';
import { JETSTREAM } from './order.js';
import { kindOfPublicKey } from './signer.js';
import { exportFindings, importFindings } from './validate-exchange.js';

/**
 * What is wrong with claims that are well formed and well signed: what nats-server would not take, or take otherwise than it
 * looks.
 *
 * Source of the rules: nats-io/jwt v2, `Validate` of its claims.
 */

/** Of what all tokens have. */
function timeFindings(
  { exp, nbf }: { exp?: number | undefined; nbf?: number | undefined },
  now: Date,
): Finding[] {
  const seconds = now.getTime() / 1000;
  return [
    ...when(exp !== undefined && exp !== 0 && exp < seconds, 'it has expired'),
    ...when(nbf !== undefined && nbf > seconds, 'it is not valid yet'),
  ];
}

export function operatorFindings(claims: OperatorClaims, now: Date = new Date()): Finding[] {
  const { nats, sub, iss } = claims;
  const { account_server_url: server, system_account: system, assert_server_version: version } = nats;
  return [
    ...timeFindings(claims, now),
    ...when(
      iss !== sub && !nats.signing_keys?.includes(iss),
      'it is signed by neither its own key nor one of its signing keys',
    ),
    ...when(
      Boolean(server) && isBadUrl(server, ['http:', 'https:', 'nats:', 'tls:', 'ws:', 'wss:']),
      `the account server ${JSON.stringify(server)} is no URL of http, https, nats, tls, ws or wss`,
    ),
    ...(nats.operator_service_urls ?? []).flatMap((url) =>
      when(
        isBadUrl(url, ['nats:', 'tls:', 'ws:', 'wss:']),
        `the service ${JSON.stringify(url)} is no URL of nats, tls, ws or wss`,
      ),
    ),
    ...when(
      Boolean(system) && kindOfPublicKey(system ?? '') !== 'account',
      'its system account is named by what is no key of an account',
    ),
    ...when(
      Boolean(version) && !/^\d+\.\d+\.\d+$/.test(version ?? ''),
      'the version of the server that it asserts is not of the form 1.2.3',
    ),
    ...when(
      nats.strict_signing_key_usage === true && (nats.signing_keys ?? []).length === 0,
      'it demands signing keys and has none',
    ),
  ];
}

export function accountFindings(claims: AccountClaims, now: Date = new Date()): Finding[] {
  const { nats } = claims;
  const { limits = {}, trace } = nats;
  const exports = nats.exports ?? [];
  const imports = nats.imports ?? [];
  const { imports: importLimit = 0, exports: exportLimit = 0 } = limits;
  return [
    ...timeFindings(claims, now),
    ...importFindings(imports, claims.sub),
    ...exportFindings(exports),
    ...when(
      Object.keys(limits.tiered_limits ?? {}).length > 0 && JETSTREAM.some((field) => Boolean(limits[field])),
      'it has JetStream limits both for all tiers and for single ones',
    ),
    ...permissionFindings(nats.default_permissions ?? {}),
    ...mappingFindings(nats.mappings ?? {}),
    ...(trace == null
      ? []
      : when(
          subjectProblem(trace.dest ?? '') !== undefined || hasWildcards(trace.dest ?? ''),
          'the subject of its traces is none that can be published to',
        )),
    ...when(
      (trace?.sampling ?? 0) < 0 || (trace?.sampling ?? 0) > 100,
      'the sampling of its traces is not from 1 to 100',
    ),
    ...when(importLimit >= 0 && imports.length > importLimit, 'it has more imports than its limit allows'),
    ...when(exportLimit >= 0 && exports.length > exportLimit, 'it has more exports than its limit allows'),
    ...when(
      exportLimit >= 0 &&
        limits.wildcards !== true &&
        exports.some(({ subject = '' }) => hasWildcards(subject)),
      'it exports subjects with wildcards, which its limits do not allow',
    ),
    ...[...signingKeysOf(claims)].flatMap(([key, scope]) =>
      scope === undefined
        ? []
        : limitFindings(scope.template).map(({ level, text }) => ({
            level,
            text: `signing key ${key} (${scope.role}): ${text}`,
          })),
    ),
    ...infoFindings(nats),
  ];
}

export function userFindings(claims: UserClaims, now: Date = new Date()): Finding[] {
  return [...timeFindings(claims, now), ...limitFindings(claims.nats)];
}

/** Of what bounds a user, or those whom a scoped signing key signs. */
function limitFindings(limits: UserPermissionLimits): Finding[] {
  const time = /^([01]\d|2[0-3]):[0-5]\d:[0-5]\d$/;
  return [
    ...permissionFindings(limits),
    ...(limits.src ?? []).flatMap((cidr) => when(!isCidr(cidr), `${JSON.stringify(cidr)} is no network`)),
    ...(limits.times ?? []).flatMap(({ start = '', end = '' }) =>
      when(!time.test(start) || !time.test(end), `${JSON.stringify(`${start}-${end}`)} is no range of times`),
    ),
    ...when(
      Boolean(limits.times_location) && !isTimeZone(limits.times_location ?? ''),
      `${JSON.stringify(limits.times_location)} is no time zone`,
    ),
  ];
}

function permissionFindings({
  pub,
  sub,
}: {
  pub?: Permission | undefined;
  sub?: Permission | undefined;
}): Finding[] {
  const of = (permission: Permission | undefined, queue: boolean) =>
    [...(permission?.allow ?? []), ...(permission?.deny ?? [])].flatMap((subject) => {
      const problem = permissionProblem(subject, { queue });
      return problem === undefined ? [] : [error(problem)];
    });
  return [...of(sub, true), ...of(pub, false)];
}

function mappingFindings(mappings: Readonly<Record<string, unknown>>): Finding[] {
  return Object.entries(mappings).flatMap(([from, to]) => {
    const targets = (Array.isArray(to) ? to : []) as {
      subject?: string;
      weight?: number;
      cluster?: string;
    }[];
    const sums = new Map<string, number>();
    for (const { weight, cluster = '' } of targets) {
      sums.set(cluster, (sums.get(cluster) ?? 0) + (weight || 100));
    }
    const bad = [from, ...targets.map(({ subject = '' }) => subject)].some(
      (subject) => subjectProblem(subject) !== undefined,
    );
    return [
      ...when(bad, `the mapping of ${JSON.stringify(from)} has a subject that is none`),
      ...when(
        [...sums.values()].some((sum) => sum > 100),
        `the mapping of ${JSON.stringify(from)} shares out more than 100 %`,
      ),
    ];
  });
}

/** As Go's `net.ParseCIDR` has it: an address and how many bits of it count. */
export function isCidr(text: string): boolean {
  const [address = '', bits = '', ...more] = text.split('/');
  const version = isIP(address);
  return (
    more.length === 0 && version !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)
  );
}

export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
