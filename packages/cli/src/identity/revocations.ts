import {
  accountMeant,
  EVERYBODY,
  kindOfPublicKey,
  type StoreContext,
  saveAccount,
  userMeant,
  withoutRevocation,
  withRevocation,
} from '@coffer/identity';
import { Failure } from '../failure.js';
import { print, printJson } from '../output.js';
import { displayName, quote } from '../quote.js';
import { Table } from './table.js';
import { changeStore, openStore, type StoreOptions } from './workplace.js';

/** `revocations add-user`, `delete-user` and `list`: those in an account's token, which nats-servers see. */

interface UserOptions extends StoreOptions {
  readonly account?: string;
  readonly name?: string;
  readonly userPublicKey?: string;
}

export async function addUser(name: string | undefined, options: object): Promise<void> {
  const { at: time, privateKey: key, account, ...given } = options as UserOptions & { readonly at: string };
  const at = seconds(time);
  await changeStore(given, (context, report) => {
    const named = accountMeant(context, account);
    const user = userKey(context, named, name ?? given.name, given.userPublicKey);
    const { claims } = context.store.account(named);
    saveAccount(context, named, withRevocation(claims, user, at), { key, before: claims.iss });
    report.ok(
      user === EVERYBODY ? `revoked all users issued before ${instant(at)}` : `revoked user ${quote(user)}`,
    );
  });
}

export async function deleteUser(name: string | undefined, options: object): Promise<void> {
  const { privateKey: key, account, ...given } = options as UserOptions;
  await changeStore(given, (context, report) => {
    const named = accountMeant(context, account);
    const user = userKey(context, named, name ?? given.name, given.userPublicKey);
    const { claims } = context.store.account(named);
    saveAccount(context, named, withoutRevocation(claims, user), { key, before: claims.iss });
    report.ok(`deleted user revocation for ${user === EVERYBODY ? 'all users' : quote(user)}`);
  });
}

export async function list(options: object): Promise<void> {
  const { account, json, ...folders } = options as UserOptions & { readonly json?: boolean };
  const context = openStore(folders);
  const named = accountMeant(context, account);
  const revocations = Object.entries(context.store.account(named).claims.nats.revocations ?? {});
  const names = new Map(context.store.scanUsers(named).tokens.map(({ name, jwt }) => [jwt.claims.sub, name]));
  if (json) {
    await printJson({
      account: named,
      revocations: revocations.map(([user, at]) => ({ user, name: names.get(user), at })),
    });
    return;
  }
  if (revocations.length === 0) {
    await print(`The account ${displayName(named)} revokes no users.`);
    return;
  }
  const table = new Table(`Revoked Users for ${named}`, 'Public Key', 'Name', 'Revoke Credentials Before');
  for (const [user, at] of revocations) {
    table.row(user === EVERYBODY ? '* [All Users]' : user, names.get(user) ?? '', instant(at));
  }
  await print(table.toString());
}

/** A user by its name in the account, by its key, or all of them. */
function userKey(
  context: StoreContext,
  account: string,
  name: string | undefined,
  key: string | undefined,
): string {
  if (name !== undefined && key !== undefined) {
    throw new Failure('name the user by its name or by --user-public-key, not by both');
  }
  const given = key ?? name;
  if (given === EVERYBODY || (given !== undefined && kindOfPublicKey(given) === 'user')) return given;
  if (key !== undefined) throw new Failure(`${quote(key)} is no user’s key (U…), nor *`);
  return context.store.user(account, userMeant(context, account, name)).claims.sub;
}

function seconds(text: string): number {
  const now = Math.floor(Date.now() / 1000);
  if (/^\d{1,12}$/.test(text)) return Number(text) || now;
  const parsed = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(parsed)) return Math.floor(parsed / 1000);
  throw new Failure(
    `invalid --at ${quote(text)}: write a time such as 2026-11-22T12:00:00Z, or seconds since 1970`,
  );
}

/** RFC 1123, as nsc shows it, in UTC. */
const instant = (at: number): string => new Date(at * 1000).toUTCString().replace('GMT', 'UTC');
