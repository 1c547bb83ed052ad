import {
  accountMeant,
  type ImportRequest,
  importOf,
  kindOfPublicKey,
  type StoreContext,
  saveAccount,
  tokenIn,
  withImport,
  withoutImport,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { quote } from '../quote.js';
import { readInput } from './files.js';
import { changeStore, type StoreOptions } from './workplace.js';

/** `add import` and `delete import`. */

interface AccountOptions extends StoreOptions {
  readonly account?: string;
  readonly srcAccount?: string;
}

export interface AddImportOptions extends AccountOptions {
  readonly name?: string;
  readonly token?: string;
  readonly remoteSubject?: string;
  readonly service?: boolean;
  readonly localSubject?: string;
  readonly share?: boolean;
  readonly allowTrace?: boolean;
}

export async function addImport(name: string | undefined, options: object): Promise<void> {
  const given = options as AddImportOptions;
  const { account, privateKey: key, token, srcAccount, remoteSubject } = given;
  if (token === undefined && (srcAccount === undefined || remoteSubject === undefined)) {
    throw new Failure(
      'say what is imported: --token FILE, or of a public export --src-account and --remote-subject',
    );
  }
  if (token !== undefined && (srcAccount ?? remoteSubject ?? given.service) !== undefined) {
    throw new Failure(
      'an activation token says whose and what it is: leave --src-account, --remote-subject and --service out',
    );
  }
  const activation = token === undefined ? undefined : tokenIn(await readInput(token));
  await changeStore(given, (context, report) => {
    const at = accountMeant(context, account);
    const { claims } = context.store.account(at);
    const from: ImportRequest['from'] =
      activation === undefined
        ? {
            account: keyOf(context, srcAccount ?? ''),
            subject: remoteSubject ?? '',
            service: given.service ?? false,
          }
        : { token: activation };
    const { localSubject, share, allowTrace } = given;
    const made = importOf({ name: name ?? given.name, localSubject, share, allowTrace, from }, claims.sub);
    saveAccount(context, at, withImport(claims, made), { key, before: claims.iss });
    report.ok(`added ${made.type} import ${quote(made.subject ?? '')}`);
  });
}

export async function deleteImport(options: object): Promise<void> {
  const {
    account,
    privateKey: key,
    subject,
    srcAccount,
    ...folders
  } = options as AccountOptions & {
    readonly subject?: string;
  };
  await changeStore(folders, (context, report) => {
    const at = accountMeant(context, account);
    const { claims } = context.store.account(at);
    const from = srcAccount === undefined ? undefined : keyOf(context, srcAccount);
    const { claims: edited, removed } = withoutImport(claims, subject, from);
    saveAccount(context, at, edited, { key, before: claims.iss });
    report.ok(`deleted ${removed.type} import ${quote(removed.subject ?? '')}`);
  });
}

/** The key of an account that is named by its key, or by its name here. */
export function keyOf({ store }: StoreContext, account: string): string {
  const kind = kindOfPublicKey(account);
  if (kind === 'account') return account;
  if (kind !== undefined) throw new Failure(`${account} is no account's key (A…)`);
  return store.account(account).claims.sub;
}
