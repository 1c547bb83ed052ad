import {
  accountMeant,
  accountSigner,
  checkNewName,
  decodeOperator,
  type Export,
  encodeJwt,
  newAccount,
  newOperator,
  newUser,
  OperatorStore,
  openContext,
  remember,
  resolveKey,
  type StoreContext,
  saveAccount,
  saveOperator,
  saveUser,
  tokenIn,
  userSigner,
  type Workplace,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import {
  type CommonOptions,
  keysNamed,
  newKey,
  normalTag,
  type TimeOptions,
  times,
} from './common-claims.js';
import { readInput } from './files.js';
import {
  anyGiven,
  changePermissions,
  changeUserLimits,
  type PermissionOptions,
  USER_LIMIT_FLAGS,
  type UserLimitOptions,
} from './permissions.js';
import {
  changePlace,
  changeStore,
  maybeName,
  oneName,
  type Report,
  type StoreOptions,
  shownPath,
} from './workplace.js';

/** `coffer identity add`: new operators, accounts and users. */

type AddOptions = StoreOptions & TimeOptions & { readonly name?: string; readonly publicKey?: string };

export interface AddOperatorOptions extends AddOptions {
  readonly url?: string;
  readonly sys?: boolean;
  readonly generateSigningKey?: boolean;
  readonly force?: boolean;
}

export async function addOperator(operand: string | undefined, options: AddOperatorOptions): Promise<void> {
  if (options.url !== undefined) return importOperator(operand, options);
  const name = checkNewName(oneName(operand, options.name, 'operator'), 'an operator');
  await changePlace(options, (place, report) => {
    requireNew(place, name);
    using pair =
      options.privateKey === undefined
        ? newOperatorKey(place, name, report)
        : resolveKey(options.privateKey, place.keys);
    if (pair.kind !== 'operator') throw new Failure(`${pair.publicKey} is not the key of an operator`);
    if (options.privateKey !== undefined)
      place.ledger.note({ key: pair.publicKey, use: 'identity', operator: name });
    const claims = { ...newOperator(pair.publicKey, name), ...times(options, new Date()) };
    const token = encodeJwt(claims, pair);
    report.ok(`added operator ${quote(name)}`);
    OperatorStore.create(place.locations.stores, token, { name }, (store) =>
      completeOperator({ ...place, store, defaultAccount: undefined }, options, report),
    );
    report.settle();
    remember(place, { operator: name });
  });
}

function requireNew({ locations }: Workplace, name: string): void {
  const there = OperatorStore.list(locations.stores).find(
    (each) => each.toLowerCase() === name.toLowerCase(),
  );
  if (there !== undefined) throw new Failure(`the operator ${quote(there)} already exists`);
}

function newOperatorKey(place: Workplace, operator: string, report: Report) {
  const key = newKey(place, 'operator', { use: 'identity', operator }, report);
  report.ok(`generated and stored operator key ${quote(key)}`);
  return resolveKey(key, place.keys);
}

/** The signing key and the system account that were asked for with the operator. */
function completeOperator(context: StoreContext, options: AddOperatorOptions, report: Report): void {
  const { store, keys } = context;
  const operator = store.name;
  const key = options.privateKey;
  let { claims } = store.operator();
  let signer = key;
  if (options.generateSigningKey) {
    signer = newKey(context, 'operator', { use: 'signing-key', operator }, report);
    claims = { ...claims, nats: { ...claims.nats, signing_keys: [signer] } };
    saveOperator(context, claims, { key });
    report.ok(`created operator signing key: ${signer}`);
  }
  if (!options.sys) return;
  const account = 'SYS';
  const made = newKey(context, 'account', { use: 'identity', operator, account }, report);
  const signing = newKey(context, 'account', { use: 'signing-key', operator, account }, report);
  const sys = newAccount(made, account);
  saveAccount(
    context,
    account,
    { ...sys, nats: { ...sys.nats, exports: SYSTEM_EXPORTS, signing_keys: [signing] } },
    { key: signer },
  );
  report.ok(`created system_account: name:${account} id:${made}`);
  saveOperator(context, { ...claims, nats: { ...claims.nats, system_account: made } }, { key });
  const user = newKey(context, 'user', { use: 'identity', operator, account, user: 'sys' }, report);
  const { token } = saveUser(context, account, 'sys', newUser(user, 'sys'), { key: signing });
  report.ok(`created system account user: name:sys id:${user}`);
  report.onFailure(() => keys.removeCreds(operator, account, 'sys'));
  const creds = keys.writeCreds(operator, account, 'sys', token);
  report.ok(`system account user creds file stored in ${shownPath(creds ?? '')}`);
}

/** What nats-server's system account offers to others. Source: nats-io/nsc. */
const SYSTEM_EXPORTS: Export[] = [
  {
    name: 'account-monitoring-streams',
    subject: '$SYS.ACCOUNT.*.>',
    type: 'stream',
    account_token_position: 3,
    description: 'Account specific monitoring stream',
    info_url: 'https://docs.nats.io/nats-server/configuration/sys_accounts',
  },
  {
    name: 'account-monitoring-services',
    subject: '$SYS.REQ.ACCOUNT.*.*',
    type: 'service',
    response_type: 'Stream',
    account_token_position: 4,
    description: 'Request account specific monitoring services for: SUBSZ, CONNZ, LEAFZ, JSZ and INFO',
    info_url: 'https://docs.nats.io/nats-server/configuration/sys_accounts',
  },
];

/** Takes the token of an operator whose key is elsewhere. */
async function importOperator(operand: string | undefined, options: AddOperatorOptions): Promise<void> {
  const file = options.url ?? '';
  if (/^https?:/.test(file)) {
    throw new Failure('--url takes a file: fetch the token first, such as with curl, and look at it');
  }
  const token = tokenIn(await readInput(file));
  const { claims } = decodeOperator(token);
  const name = checkNewName(maybeName(operand, options.name, 'operator') ?? claims.name ?? '', 'an operator');
  await changePlace(options, (place, report) => {
    if (OperatorStore.list(place.locations.stores).includes(name) && options.force) {
      const { store } = openContext({ ...options, operator: name });
      if (store.operator().claims.sub !== claims.sub) {
        throw new Failure(`the operator ${quote(name)} that is here is another one: it has another key`);
      }
      store.writeOperator(token);
    } else {
      requireNew(place, name);
      OperatorStore.create(place.locations.stores, token, { name, managed: true });
    }
    report.ok(`imported operator ${quote(name)}`);
    report.settle();
    remember(place, { operator: name });
  });
}

export async function addAccount(
  operand: string | undefined,
  options: AddOptions & PermissionOptions,
): Promise<void> {
  const name = checkNewName(oneName(operand, options.name, 'account'), 'an account');
  await changeStore(options, (context, report) => {
    const { store, keys } = context;
    const there = store.accountNames().find((each) => each.toLowerCase() === name.toLowerCase());
    if (there !== undefined) throw new Failure(`the account ${quote(there)} already exists`);
    const key = options.privateKey;
    // Before anything is made: whether anybody here may sign it.
    if (!store.managed) accountSigner(store.operator().claims, keys, { key }).pair.wipe();
    const note = { use: 'identity', operator: store.name, account: name } as const;
    const references = [options.publicKey ?? 'generate'];
    const [made = ''] = keysNamed(context, 'account', { flag: '-k', references }, note, report);
    if (options.publicKey === undefined) report.ok(`generated and stored account key ${quote(made)}`);
    const claims = { ...newAccount(made, name), ...times(options, new Date()) };
    const permissions = changePermissions(claims.nats.default_permissions ?? {}, options, report);
    saveAccount(
      context,
      name,
      { ...claims, nats: { ...claims.nats, default_permissions: permissions } },
      { key },
    );
    report.ok(`added account ${quote(name)}`);
    report.settle();
    remember(context, { operator: store.name, account: name });
  });
}

export async function addUser(
  operand: string | undefined,
  options: AddOptions & CommonOptions & UserLimitOptions & { readonly account?: string },
): Promise<void> {
  const name = checkNewName(oneName(operand, options.name, 'user'), 'a user');
  await changeStore(options, (context, report) => {
    const { store, keys } = context;
    const account = accountMeant(context, options.account);
    if (store.hasUser(account, name)) throw new Failure(`the user ${quote(name)} already exists`);
    const key = options.privateKey;
    using signer = userSigner(store.operator().claims, store.account(account).claims, keys, { key });
    if (signer.scope !== undefined) requireNoLimits(options, signer.scope.role);
    requireBearerAllowed(context, account, options);
    const role = signer.scope?.role;
    const note = { use: 'identity', operator: store.name, account, user: name, role } as const;
    const references = [options.publicKey ?? 'generate'];
    const [made = ''] = keysNamed(context, 'user', { flag: '-k', references }, note, report);
    const claims = { ...newUser(made, name, { scoped: role !== undefined }), ...times(options, new Date()) };
    const tags = [...new Set((options.tag ?? []).map(normalTag))].sort();
    const nats = { ...claims.nats, tags };
    const limits = role === undefined ? changeUserLimits(nats, options, report) : nats;
    const { token } = saveUser(context, account, name, { ...claims, nats: limits }, { key });
    if (options.publicKey === undefined) report.ok(`generated and stored user key ${quote(made)}`);
    report.settle();
    try {
      reportCreds(context, account, name, token, report);
    } finally {
      report.ok(`added user ${quote(name)} to account ${quote(account)}`);
      report.settle();
    }
  });
}

/** Writes the creds of a user whose token is new, if its seed is here. */
export function reportCreds(
  { store, keys }: StoreContext,
  account: string,
  user: string,
  token: string,
  report: Report,
): void {
  const path = keys.writeCreds(store.name, account, user, token);
  report.ok(
    path === undefined
      ? 'skipped generating creds file - user private key is not available'
      : `generated user creds file ${shownPath(path)}`,
  );
}

export function requireNoLimits(options: object, role: string): void {
  if (!anyGiven(options, USER_LIMIT_FLAGS)) return;
  throw new Failure(
    `the key that signs this user has the role ${quote(role)}, which alone says what the user may do: leave permissions ` +
      'and limits away, or sign with another key',
  );
}

export function requireBearerAllowed(
  { store }: StoreContext,
  account: string,
  options: UserLimitOptions,
): void {
  if (options.bearer && store.account(account).claims.nats.limits?.disallow_bearer) {
    throw new Failure(`the account ${quote(account)} allows no bearer tokens`);
  }
}
