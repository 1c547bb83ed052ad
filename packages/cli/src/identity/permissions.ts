import {
  CONNECTION_TYPES,
  inTemplateOrder,
  isCidr,
  isTimeZone,
  type Permission,
  permissionProblem,
  type UserPermissionLimits,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import {
  formatGoDuration,
  parseCount,
  parseGoDuration,
  parseLimit,
  withItems,
  withoutItems,
} from './flags.js';
import type { Report } from './workplace.js';

/** What users may do and what bounds them: changed by nsc's flags, and told in nsc's words. */

export interface PermissionOptions {
  readonly allowPub?: readonly string[];
  readonly allowSub?: readonly string[];
  readonly allowPubsub?: readonly string[];
  readonly denyPub?: readonly string[];
  readonly denySub?: readonly string[];
  readonly denyPubsub?: readonly string[];
  readonly allowPubResponse?: string;
  readonly maxResponses?: string;
  readonly responseTtl?: string;
  readonly rm?: readonly string[];
  readonly rmResponsePerms?: boolean;
}

export interface UserLimitOptions extends PermissionOptions {
  readonly payload?: string;
  readonly data?: string;
  readonly subs?: string;
  readonly bearer?: boolean;
  readonly sourceNetwork?: readonly string[];
  readonly rmSourceNetwork?: readonly string[];
  readonly time?: readonly string[];
  readonly rmTime?: readonly string[];
  readonly locale?: string;
  readonly connType?: readonly string[];
  readonly rmConnType?: readonly string[];
}

const PERMISSION_FLAGS = [
  ...['allowPub', 'allowSub', 'allowPubsub', 'denyPub', 'denySub', 'denyPubsub'],
  ...['allowPubResponse', 'maxResponses', 'responseTtl', 'rm', 'rmResponsePerms'],
];
export const USER_LIMIT_FLAGS = [
  ...PERMISSION_FLAGS,
  ...['payload', 'data', 'subs', 'bearer', 'sourceNetwork', 'rmSourceNetwork', 'time', 'rmTime', 'locale'],
  ...['connType', 'rmConnType'],
];

/** Whether any of these flags was given. */
export const anyGiven = (options: object, flags: readonly string[]): boolean =>
  flags.some((flag) => (options as Readonly<Record<string, unknown>>)[flag] !== undefined);

type Permissions = Pick<UserPermissionLimits, 'pub' | 'sub' | 'resp'>;

export function changePermissions<T extends Permissions>(
  current: T,
  options: PermissionOptions,
  report: Report,
): T {
  const {
    allowPub = [],
    allowSub = [],
    allowPubsub = [],
    denyPub = [],
    denySub = [],
    denyPubsub = [],
  } = options;
  const { rm = [] } = options;
  for (const subject of [...allowPub, ...allowPubsub, ...denyPub, ...denyPubsub])
    requireSubject(subject, false);
  for (const subject of [...allowSub, ...denySub]) requireSubject(subject, true);
  const resp = changeResponses(current.resp, options, report);
  const pub = changeOne(
    current.pub,
    [...allowPub, ...allowPubsub],
    [...denyPub, ...denyPubsub],
    rm,
    'pub',
    report,
  );
  const sub = changeOne(
    current.sub,
    [...allowSub, ...allowPubsub],
    [...denySub, ...denyPubsub],
    rm,
    'sub',
    report,
  );
  const { resp: _, ...rest } = current;
  return { ...rest, pub, sub, ...(resp == null ? {} : { resp }) } as T;
}

function requireSubject(subject: string, queue: boolean): void {
  const problem = permissionProblem(subject, { queue });
  if (problem !== undefined) throw new Failure(problem);
}

function changeResponses(
  current: UserPermissionLimits['resp'],
  options: PermissionOptions,
  report: Report,
): UserPermissionLimits['resp'] {
  if (options.rmResponsePerms) {
    report.ok('removed response permissions');
    return undefined;
  }
  const count = options.allowPubResponse ?? options.maxResponses;
  if (count === undefined && options.responseTtl === undefined) return current;
  const resp = { ...(current ?? { max: 0, ttl: 0 }) };
  if (count !== undefined) {
    resp.max = count === '-1' ? -1 : parseCount('--allow-pub-response', count);
    report.ok(`set max responses to ${resp.max}`);
  }
  if (options.responseTtl !== undefined) {
    const ttl = parseGoDuration('--response-ttl', options.responseTtl);
    resp.ttl = ttl;
    report.ok(`set response ttl to ${formatGoDuration(ttl)}`);
  }
  return resp;
}

function changeOne(
  current: Permission | undefined,
  allow: readonly string[],
  deny: readonly string[],
  remove: readonly string[],
  what: 'pub' | 'sub',
  report: Report,
): Permission {
  const { allow: allowed, deny: denied, ...rest } = current ?? {};
  for (const subject of allow) report.ok(`added ${what} ${quote(subject)}`);
  for (const subject of deny) report.ok(`added deny ${what} ${quote(subject)}`);
  for (const subject of remove) {
    if (allowed?.includes(subject)) report.ok(`removed ${what} ${quote(subject)}`);
    if (denied?.includes(subject)) report.ok(`removed deny ${what} ${quote(subject)}`);
  }
  const list = (field: string, before: readonly string[] | null | undefined, more: readonly string[]) => {
    const after = withoutItems(withItems(before, more), remove);
    return after.length === 0 ? {} : { [field]: after.sort() };
  };
  return { ...list('allow', allowed, allow), ...list('deny', denied, deny), ...rest };
}

/** Those of nats-servers, and `HTTP`, which they pass over: coffer's own. */
const WAYS_TO_CONNECT = [...CONNECTION_TYPES, 'HTTP'];

export function changeUserLimits<T extends UserPermissionLimits>(
  current: T,
  options: UserLimitOptions,
  report: Report,
): T {
  const limits: Record<string, number> = {};
  for (const [flag, field, text] of [
    ['--payload', 'payload', 'max payload'],
    ['--data', 'data', 'max data'],
    ['--subs', 'subs', 'max number of subs'],
  ] as const) {
    const given = options[field];
    if (given === undefined) continue;
    limits[field] = parseLimit(flag, given);
    report.ok(`changed ${text} to ${limits[field]}`);
  }
  if (options.bearer !== undefined) report.ok(`changed bearer to ${options.bearer}`);
  const bearer = options.bearer === undefined ? {} : { bearer_token: options.bearer };
  const changed = {
    ...current,
    ...limits,
    ...bearer,
    allowed_connection_types: changeConnectionTypes(current, options, report),
    src: changeNetworks(current, options, report),
    ...changeTimes(current, options, report),
  };
  return inTemplateOrder(changePermissions(changed, options, report)) as T;
}

function changeConnectionTypes(
  current: UserPermissionLimits,
  options: UserLimitOptions,
  report: Report,
): string[] {
  const add = (options.connType ?? []).map((type) => type.toUpperCase());
  const remove = (options.rmConnType ?? []).map((type) => type.toUpperCase());
  const unknown = add.find((type) => !WAYS_TO_CONNECT.includes(type));
  if (unknown !== undefined) {
    throw new Failure(`${quote(unknown)} is no way to connect: it is one of ${WAYS_TO_CONNECT.join(', ')}`);
  }
  for (const type of add) report.ok(`added connection type ${type}`);
  for (const type of remove) report.ok(`removed connection type ${type}`);
  return withoutItems(withItems(current.allowed_connection_types, add), remove);
}

function changeNetworks(current: UserPermissionLimits, options: UserLimitOptions, report: Report): string[] {
  const { sourceNetwork: add = [], rmSourceNetwork: remove = [] } = options;
  const bad = add.find((network) => !isCidr(network));
  if (bad !== undefined) throw new Failure(`${quote(bad)} is no network: write it such as 10.0.0.0/8`);
  for (const network of add) report.ok(`added src network ${network}`);
  for (const network of remove) report.ok(`removed src network ${network}`);
  return withoutItems(withItems(current.src, add), remove).sort();
}

function changeTimes(
  current: UserPermissionLimits,
  options: UserLimitOptions,
  report: Report,
): Pick<UserPermissionLimits, 'times' | 'times_location'> {
  const { time: add = [], rmTime: remove = [], locale } = options;
  const added = add.map((range) => {
    const [, start, end] = /^(\d\d:[0-5]\d:[0-5]\d)-(\d\d:[0-5]\d:[0-5]\d)$/.exec(range) ?? [];
    if (start === undefined || end === undefined || start > '23:59:59' || end > '23:59:59') {
      throw new Failure(`${quote(range)} is no range of times: write it such as 08:00:00-17:30:00`);
    }
    report.ok(`added time range ${range}`);
    return { start, end };
  });
  const stays = (current.times ?? []).filter(({ start, end }) => {
    if (start === undefined || !remove.includes(start)) return true;
    report.ok(`removed time range ${start}-${end}`);
    return false;
  });
  if (locale !== undefined && locale !== '' && !isTimeZone(locale)) {
    throw new Failure(`${quote(locale)} is no time zone: write it such as Europe/Berlin`);
  }
  if (locale !== undefined) report.ok(`changed locale to ${quote(locale)}`);
  return { times: [...stays, ...added], times_location: locale ?? current.times_location };
}
