import {
  type AccountClaims,
  type AccountLimits,
  accountMeant,
  hasWildcards,
  type StoreContext,
  saveAccount,
  subjectProblem,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { type CommonOptions, changeCommon, keysNamed } from './common-claims.js';
import { parseCount, parseLimit } from './flags.js';
import { changeJetStream, hasJetStream, JETSTREAM_FLAGS, type JetStreamOptions } from './jetstream.js';
import { anyGiven, changePermissions, type PermissionOptions, USER_LIMIT_FLAGS } from './permissions.js';
import { inKeyOrder, keyOf, retire, signingKeyNamed, warnOfRefusedUsers } from './signing-keys.js';
import { changeStore, maybeName, type Report, type StoreOptions } from './workplace.js';

export interface EditAccountOptions extends StoreOptions, CommonOptions, PermissionOptions, JetStreamOptions {
  readonly name?: string;
  readonly sk?: readonly string[];
  readonly rmSk?: readonly string[];
  readonly conns?: string;
  readonly leafConns?: string;
  readonly data?: string;
  readonly payload?: string;
  readonly subscriptions?: string;
  readonly imports?: string;
  readonly exports?: string;
  readonly wildcardExports?: boolean;
  readonly disallowBearer?: boolean;
  readonly description?: string;
  readonly infoUrl?: string;
  readonly traceContextSubject?: string;
  readonly traceContextSampling?: string;
}

const LIMITS = [
  ['conns', 'conn', '--conns', 'max connections'],
  ['leafConns', 'leaf', '--leaf-conns', 'leaf node connections'],
  ['data', 'data', '--data', 'max data'],
  ['exports', 'exports', '--exports', 'max exports'],
  ['imports', 'imports', '--imports', 'max imports'],
  ['payload', 'payload', '--payload', 'max payload size'],
  ['subscriptions', 'subs', '--subscriptions', 'max subscriptions'],
] as const;

const FLAGS = [
  ...['sk', 'rmSk', 'wildcardExports', 'disallowBearer', 'description', 'infoUrl', 'traceContextSubject'],
  ...['traceContextSampling', 'tag', 'rmTag', 'start', 'expiry', 'privateKey'],
  ...[...LIMITS.map(([flag]) => flag), ...JETSTREAM_FLAGS, ...USER_LIMIT_FLAGS],
];

export async function editAccount(operand: string | undefined, options: EditAccountOptions): Promise<void> {
  if (!anyGiven(options, FLAGS))
    throw new Failure('say what to change; see "coffer identity edit account --help"');
  await changeStore(options, (context, report) => {
    const name = accountMeant(context, maybeName(operand, options.name, 'account'));
    const { claims: before } = context.store.account(name);
    const removed = (options.rmSk ?? []).map((key) => signingKeyNamed(before, key));
    const signingKeys = changeSigningKeys(context, name, before, options, removed, report);
    const claims = changeCommon(before, options, report, new Date());
    const limits = changeLimits(context, name, before, options, report);
    const info = changeInfo(options, report);
    const permissions = changePermissions(before.nats.default_permissions ?? {}, options, report);
    const trace = changeTrace(before, options, report);
    const nats = {
      ...claims.nats,
      ...info,
      limits,
      signing_keys: signingKeys,
      default_permissions: permissions,
      trace,
    };
    if (report.saysNothing(options)) return;
    saveAccount(context, name, { ...claims, nats }, { key: options.privateKey, before: before.iss });
    report.settle();
    retire(context, removed);
    warnOfRefusedUsers(context, name, removed, report);
    report.ok(`edited account ${quote(name)}`);
  });
}

function changeSigningKeys(
  context: StoreContext,
  account: string,
  { nats }: AccountClaims,
  options: EditAccountOptions,
  removed: readonly string[],
  report: Report,
): NonNullable<AccountClaims['nats']['signing_keys']> {
  const before = nats.signing_keys ?? [];
  const note = { use: 'signing-key', operator: context.store.name, account } as const;
  const added = keysNamed(context, 'account', { flag: '--sk', references: options.sk ?? [] }, note, report);
  for (const key of added) report.ok(`added signing key ${quote(key)}`);
  for (const key of removed) report.ok(`removed signing key ${quote(key)}`);
  if (added.length + removed.length === 0) return before;
  const there = before.map(keyOf);
  const all = [...before, ...new Set(added.filter((key) => !there.includes(key)))];
  return inKeyOrder(all.filter((entry) => !removed.includes(keyOf(entry))));
}

function changeLimits(
  { store }: StoreContext,
  name: string,
  claims: AccountClaims,
  options: EditAccountOptions,
  report: Report,
): AccountLimits {
  let limits: AccountLimits = { ...claims.nats.limits };
  for (const [flag, field, written, text] of LIMITS) {
    const given = options[flag];
    if (given === undefined) continue;
    const value = parseLimit(written, given);
    limits[field] = value;
    report.ok(`changed ${text} to ${value}${field === 'data' ? ' bytes' : ''}`);
  }
  if (options.wildcardExports !== undefined) {
    limits.wildcards = options.wildcardExports;
    report.ok(`changed wild card exports to ${options.wildcardExports}`);
  }
  if (options.disallowBearer !== undefined) {
    if (options.disallowBearer) requireNoBearer(store, name);
    limits.disallow_bearer = options.disallowBearer;
    report.ok(`changed disallow bearer to ${options.disallowBearer}`);
  }
  limits = changeJetStream(limits, options, report);
  const isSystem = store.operator().claims.nats.system_account === claims.sub;
  if (isSystem && anyGiven(options, JETSTREAM_FLAGS) && hasJetStream(limits)) {
    throw new Failure(
      'the system account cannot have JetStream: leave its options away, or say --js-disable',
    );
  }
  return limits;
}

function requireNoBearer(store: StoreContext['store'], account: string): void {
  const bearer = store.users(account).find(({ jwt }) => jwt.claims.nats.bearer_token);
  if (bearer === undefined) return;
  throw new Failure(
    `the user ${quote(bearer.name)} is a bearer token: change that first, "coffer identity edit user --bearer=false"`,
  );
}

function changeInfo(
  options: EditAccountOptions,
  report: Report,
): Pick<AccountClaims['nats'], 'description' | 'info_url'> {
  const { description, infoUrl } = options;
  if (description !== undefined) report.ok(`changed description to ${quote(description)}`);
  if (infoUrl !== undefined) {
    if (infoUrl !== '' && !URL.canParse(infoUrl)) throw new Failure(`--info-url ${quote(infoUrl)} is no URL`);
    report.ok(`changed info url to ${quote(infoUrl)}`);
  }
  return {
    ...(description === undefined ? {} : { description }),
    ...(infoUrl === undefined ? {} : { info_url: infoUrl }),
  };
}

function changeTrace(
  { nats }: AccountClaims,
  options: EditAccountOptions,
  report: Report,
): AccountClaims['nats']['trace'] {
  const { traceContextSubject: subject, traceContextSampling: sampling } = options;
  let trace = nats.trace;
  if (subject === '') {
    report.ok('disabled trace context');
    trace = undefined;
  } else if (subject !== undefined) {
    const wildcards = hasWildcards(subject) ? `the subject ${quote(subject)} has wildcards` : undefined;
    const problem = subjectProblem(subject) ?? wildcards;
    if (problem !== undefined) throw new Failure(`${problem}: traces cannot go there`);
    trace = { ...trace, dest: subject };
    report.ok(`changed trace context subject to ${quote(subject)}`);
  }
  if (sampling === undefined) return trace;
  if (trace == null)
    throw new Failure('--trace-context-sampling needs a subject: say --trace-context-subject, too');
  const percent = parseCount('--trace-context-sampling', sampling);
  if (percent < 1 || percent > 100) throw new Failure('--trace-context-sampling is from 1 to 100');
  report.ok(`changed trace context sampling to ${percent}%`);
  return { ...trace, sampling: percent };
}
