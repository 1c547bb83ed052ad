import {
  type AccountClaims,
  generateKey,
  newAccount,
  newUser,
  type StoreContext,
  saveAccount,
  saveUser,
  signingKeysOf,
  type UserScope,
} from '@coffer/identity';
import type { BackendAddress } from '@coffer/wasmcloud';
import { Failure } from '../failure.js';
import { inKeyOrder, keyOf } from '../identity/signing-keys.js';
import { changePlace, openStore, type Report, shownPath } from '../identity/workplace.js';
import { print, printJson } from '../output.js';
import { displayName, quote } from '../quote.js';
import { openToLattice } from './lattice.js';
import type { PermissionsOptions } from './permissions.js';
import { adviceOnIdentities } from './permissions-advice.js';
import { type Role, templateOf } from './roles.js';

/** An account and its users, as they are now. */
export interface MadeIdentities {
  /** The operator's folder. */
  readonly store: string;
  readonly account: { readonly name: string; readonly key: string };
  /** By role. */
  readonly users: Readonly<Record<string, { readonly key: string; readonly creds: string | undefined }>>;
}

/**
 * In an operator's store: an account in which a user without a role may nothing, a scoped signing key for each role, and a user
 * with each. What is there stays, and what is missing comes, so that it can be run again.
 */
export async function makeIdentities(
  options: PermissionsOptions & {
    readonly roles: readonly Role[];
    readonly addresses: readonly Required<BackendAddress>[];
  },
): Promise<void> {
  const { roles, addresses, operator, account: name = 'WASMCLOUD-SECRETS', lattice, json } = options;
  // Where there is none, nothing is made on the way to saying so.
  openStore(options, operator);
  let made: MadeIdentities | undefined;
  const make = (_place: unknown, report: Report) => {
    const context = openStore(options, operator);
    const keys = makeAccount(context, name, roles, { key: options.privateKey, report });
    const users = roles.map((role) => [
      role.name,
      makeUser(context, name, role, keys.get(role.name) ?? '', report),
    ]);
    warnOfOthers(context, name, report);
    const key = context.store.account(name).claims.sub;
    made = { store: context.store.folder, account: { name, key }, users: Object.fromEntries(users) };
    report.settle();
    if (lattice !== undefined)
      openToLattice(context, { from: name, to: lattice, addresses, key: options.privateKey, report });
  };
  await changePlace(options, make, { quiet: json === true });
  if (made === undefined) return;
  if (json) return printJson(made);
  await print(adviceOnIdentities(made, { ...options, addresses }));
}

/** Answers with the signing key of each role. */
function makeAccount(
  context: StoreContext,
  name: string,
  roles: readonly Role[],
  { key, report }: { readonly key: string | undefined; readonly report: Report },
): ReadonlyMap<string, string> {
  const { store } = context;
  const isNew = !store.hasAccount(name);
  const claims = isNew ? freshAccount(context, name, report) : store.account(name).claims;
  const scopes = new Map(roles.map((role) => [role.name, scopeOf(context, name, claims, role, report)]));
  const changed = [...scopes.values()].filter(({ isChanged }) => isChanged);
  if (changed.length > 0 || isNew) {
    const own = new Set([...scopes.values()].map(({ scope }) => scope.key));
    const others = (claims.nats.signing_keys ?? []).filter((entry) => !own.has(keyOf(entry)));
    const signing_keys = inKeyOrder([...others, ...[...scopes.values()].map(({ scope }) => scope)]);
    const before = isNew ? undefined : claims.iss;
    saveAccount(context, name, { ...claims, nats: { ...claims.nats, signing_keys } }, { key, before });
  }
  report.settle();
  return new Map([...scopes].map(([role, { scope }]) => [role, scope.key]));
}

const NOTHING = { pub: { deny: ['>'] }, sub: { deny: ['>'] } };

function freshAccount(context: StoreContext, account: string, report: Report): AccountClaims {
  const { key } = generateKey(context, 'account', { use: 'identity', operator: context.store.name, account });
  report.onFailure(() => context.keys.remove(key));
  report.ok(`added account ${quote(account)}, in which a user without a role may nothing`);
  const claims = newAccount(key, account);
  return { ...claims, nats: { ...claims.nats, default_permissions: NOTHING } } as unknown as AccountClaims;
}

/** The signing key of a role: the one that is there, with what was missing, or a new one. */
function scopeOf(
  context: StoreContext,
  account: string,
  claims: AccountClaims,
  role: Role,
  report: Report,
): { readonly scope: UserScope; readonly isChanged: boolean } {
  const wanted = templateOf(role);
  const there = [...signingKeysOf(claims).values()].find((scope) => scope?.role === role.name);
  if (there === undefined) {
    const note = { use: 'signing-key', operator: context.store.name, account, role: role.name } as const;
    const { key } = generateKey(context, 'account', note);
    report.onFailure(() => context.keys.remove(key));
    report.ok(`added role ${quote(role.name)}, with the signing key ${quote(key)}`);
    return {
      scope: { kind: 'user_scope', key, role: role.name, template: wanted, description: '' },
      isChanged: true,
    };
  }
  const { template } = there;
  const [pub, sub] = [merged(template.pub, wanted.pub), merged(template.sub, wanted.sub)];
  const isOurs = template.sub?.allow?.some(
    (subject) => wanted.sub?.allow?.includes(subject) || /\.v1alpha1\./.test(subject),
  );
  if (!isOurs) {
    throw new Failure(
      `the account ${quote(account)} has a role ${quote(role.name)} already, for something else: name another account, or take ` +
        'the lists of "coffer wasmcloud permissions --show" to "coffer identity edit signing-key"',
    );
  }
  const lacking = lackingIn(template, wanted);
  const isChanged = pub.isChanged || sub.isChanged || Object.keys(lacking).length > 0;
  if (isChanged) report.ok(`added what was missing to the role ${quote(role.name)}`);
  return {
    scope: { ...there, template: { ...template, pub: pub.now, sub: sub.now, ...lacking } },
    isChanged,
  };
}

type Bounds = Pick<UserScope['template'], 'resp' | 'allowed_connection_types'>;

/** What a role that is there does not say, and one that was made now would. No list of connection types lets any count. */
function lackingIn(before: Bounds, { resp, allowed_connection_types }: Bounds): Bounds {
  const types = before.allowed_connection_types ?? [];
  const all = [...new Set([...types, ...(allowed_connection_types ?? [])])].sort();
  return {
    ...(resp != null && before.resp == null && { resp }),
    ...(all.length > types.length && { allowed_connection_types: all }),
  };
}

type Lists = UserScope['template']['pub'];

function merged(before: Lists, wanted: Lists): { readonly now: Lists; readonly isChanged: boolean } {
  const [old, more] = [before?.allow ?? [], wanted?.allow ?? []];
  const allow = [...new Set([...old, ...more])].sort();
  if (allow.length === old.length) return { now: before, isChanged: false };
  return { now: { ...before, allow }, isChanged: true };
}

function makeUser(context: StoreContext, account: string, { name }: Role, signer: string, report: Report) {
  const { store, keys } = context;
  const path = keys.credsPath(store.name, account, name);
  if (store.hasUser(account, name)) {
    const { sub: key, iss } = store.user(account, name).claims;
    if (iss !== signer) {
      throw new Failure(
        `the account ${quote(account)} has a user ${quote(name)} already, without the role of that name: name another account`,
      );
    }
    return {
      key,
      creds: keys.has(key)
        ? keys.writeCreds(store.name, account, name, store.user(account, name).text)
        : undefined,
    };
  }
  const note = { use: 'identity', operator: store.name, account, user: name, role: name } as const;
  const { key } = generateKey(context, 'user', note);
  report.onFailure(() => keys.remove(key));
  const { token } = saveUser(context, account, name, newUser(key, name, { scoped: true }), { key: signer });
  report.ok(`added user ${quote(name)} to account ${quote(account)}`);
  report.settle();
  const creds = keys.writeCreds(store.name, account, name, token);
  report.ok(`generated user creds file ${shownPath(path)}`);
  return { key, creds };
}

/** In an account that serves other ends, too, others may be in no list, and so do everything. */
function warnOfOthers({ store }: StoreContext, account: string, report: Report): void {
  const { claims } = store.account(account);
  const isBound = (permissions: Pick<UserScope['template'], 'pub' | 'sub' | 'resp'> | undefined) => {
    // Who may answer, and has no list, may publish nothing else.
    const { pub, sub, resp } = permissions ?? {};
    return [pub, sub].every(
      (one) => one?.allow?.length || one?.deny?.includes('>') || (one === pub && resp != null),
    );
  };
  if (isBound(claims.nats.default_permissions)) return;
  const scopes = signingKeysOf(claims);
  const free = store
    .scanUsers(account)
    .tokens.filter(({ jwt }) => !isBound(scopes.get(jwt.claims.iss)?.template ?? jwt.claims.nats))
    .map(({ name }) => displayName(name));
  if (free.length === 0) return;
  report.warn(
    `in this account ${free.join(', ')} may publish or subscribe without bounds, to these subjects, too: give them lists, or the ` +
      'secrets an account of their own',
  );
}
