import {
  accountMeant,
  changing,
  type StoreContext,
  saveAccount,
  signingKeysOf,
  withRevocation,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { counted } from '../numbers.js';
import { askToGoOn } from '../question.js';
import { quote } from '../quote.js';
import { retire } from './signing-keys.js';
import { changeStore, maybeName, oneName, openStore, Report, type StoreOptions } from './workplace.js';

/** `coffer identity delete`. */

interface DeleteOptions extends StoreOptions {
  readonly name?: string;
  readonly force?: boolean;
  readonly rmNkey?: boolean;
  readonly rmCreds?: boolean;
}

export async function deleteOperator(operand: string | undefined, options: DeleteOptions): Promise<void> {
  const name = oneName(operand, options.name, 'operator');
  const context = openStore(options, name);
  const { store, keys } = context;
  const accounts = store.accountNames();
  if (!options.force) {
    const all = `the operator ${quote(name)} with ${counted(accounts.length, 'account')}`;
    await askToGoOn(`This deletes ${all}, for good`, { flag: '--force', refused: 'nothing was deleted' });
  }
  const report = new Report();
  try {
    await changing(context, () => {
      const { claims } = store.operator();
      for (const account of accounts) removeAccount(context, account, options, report);
      store.remove();
      report.ok(`deleted operator ${quote(name)}`);
      report.settle();
      removeKeys(context, [claims.sub, ...(claims.nats.signing_keys ?? [])], options, report);
      if (options.rmCreds) keys.removeCredsOf(name);
    });
    report.settle();
  } finally {
    await report.print();
  }
}

export async function deleteAccount(operand: string | undefined, options: DeleteOptions): Promise<void> {
  const name = oneName(operand, options.name, 'account');
  await changeStore(options, (context, report) => {
    if (!context.store.hasAccount(name)) context.store.account(name);
    if (context.store.managed && !options.force) {
      throw new Failure(
        'whoever signs this account may want it to end a service; --force deletes it all the same',
      );
    }
    removeAccount(context, name, options, report);
    const left = context.store.accountNames();
    if (context.defaultAccount === name && left.length > 1) {
      report.warn(`no account is the current one now: "coffer identity env --account NAME" chooses one`);
    }
  });
}

function removeAccount(context: StoreContext, name: string, options: DeleteOptions, report: Report): void {
  const { store, keys } = context;
  const claims = store.scanAccounts().tokens.find((one) => one.name === name)?.jwt.claims;
  for (const user of store.userNames(name)) removeUser(context, name, user, options, report);
  store.removeAccount(name);
  report.ok(`deleted account ${quote(name)}`);
  report.settle();
  if (claims) removeKeys(context, [claims.sub, ...signingKeysOf(claims).keys()], options, report);
  else report.warn(`the token of ${quote(name)} could not be read, so that its keys are not known, and stay`);
  if (options.rmCreds) keys.removeCredsOf(store.name, name);
}

const stillLetIn = (account: string, user: string, key: string): string =>
  `creds of ${quote(user)} go on working until they expire: "coffer identity revocations add-user --account ${account} ${key}" ` +
  'revokes them, as --revoke would have';

interface DeleteUsersOptions extends Omit<DeleteOptions, 'name'> {
  readonly name?: readonly string[];
  readonly account?: string;
  readonly revoke?: boolean;
}

export async function deleteUsers(operands: readonly string[], options: DeleteUsersOptions): Promise<void> {
  const names = [...new Set([...operands, ...(options.name ?? [])])];
  if (names.length === 0) throw new Failure('say which users to delete');
  await changeStore(options, (context, report) => {
    const { store } = context;
    const account = accountMeant(context, maybeName(undefined, options.account, 'account'));
    for (const name of names) if (!store.hasUser(account, name)) store.user(account, name);
    const gone = store.scanUsers(account).tokens.filter(({ name }) => names.includes(name));
    if (options.revoke) {
      const users = names.map((name) => store.user(account, name).claims.sub);
      // First: a user that is deleted and not revoked would be left with creds that work.
      const { claims } = store.account(account);
      const now = Math.floor(Date.now() / 1000);
      const revoked = users.reduce((so, key) => withRevocation(so, key, now), claims);
      saveAccount(context, account, revoked, { key: options.privateKey, before: claims.iss });
      for (const name of names) report.ok(`revoked user ${quote(name)}`);
      report.settle();
    }
    for (const name of names) removeUser(context, account, name, options, report);
    if (options.revoke) report.ok(`edited account ${quote(account)}`);
    else for (const { name, jwt } of gone) report.warn(stillLetIn(account, name, jwt.claims.sub));
  });
}

function removeUser(
  context: StoreContext,
  account: string,
  name: string,
  options: Pick<DeleteOptions, 'rmNkey' | 'rmCreds'>,
  report: Report,
): void {
  const { store, keys } = context;
  const key = store.scanUsers(account).tokens.find((one) => one.name === name)?.jwt.claims.sub;
  store.removeUser(account, name);
  report.ok(`deleted user ${quote(name)}`);
  report.settle();
  if (key !== undefined) removeKeys(context, [key], options, report);
  else report.warn(`the token of ${quote(name)} could not be read, so that its key is not known, and stays`);
  if (!options.rmCreds) return;
  const was = keys.removeCreds(store.name, account, name);
  report.ok(was ? 'removed creds file' : 'creds file is not stored');
}

function removeKeys(
  context: StoreContext,
  gone: readonly string[],
  options: Pick<DeleteOptions, 'rmNkey'>,
  report: Report,
): void {
  retire(context, gone);
  if (!options.rmNkey) return;
  for (const key of gone) {
    const was = context.keys.remove(key);
    report.ok(was ? `deleted private key ${quote(key)}` : `private key ${quote(key)} is not stored`);
  }
}
