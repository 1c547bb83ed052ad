import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  changing,
  encodeJwt,
  generateKey,
  newAccount,
  newOperator,
  newUser,
  OperatorStore,
  openWorkplace,
  remember,
  type StoreContext,
  saveAccount,
  saveUser,
  signingKeysOf,
  type Workplace,
} from '@coffer/identity';
import { Failure } from '../failure.js';

/** What the identities of an installation are called. */
export interface Names {
  readonly operator: string;
  readonly account: string;
  readonly user: string;
}

export interface Made {
  readonly name: string;
  readonly key: string;
  /** False: it was there already. */
  readonly isNew: boolean;
}

/** The identities of an installation, and where they are. */
export interface Identities {
  readonly operator: Made;
  readonly account: Made;
  readonly user: Made;
  /** Of the account, without a role and with its seed here: who signs further users. */
  readonly signingKey: string | undefined;
  /** The operator's folder in the store: all that a server needs. */
  readonly store: string;
  /** Where all seeds are. */
  readonly keys: string;
  /** The user's creds file. */
  readonly creds: string;
}

/**
 * Makes an operator, an account and a user, each signed by a signing key of the one above, so that the keys that everything
 * hangs on can be taken off the machine. What is there already stays as it is, so that it can be run again after it was cut
 * short.
 *
 * @param folder for the stores and the keys; without one they are where nsc and "coffer identity" have them
 */
export async function makeIdentities(names: Names, folder: string | undefined): Promise<Identities> {
  const place = openWorkplace({ allDirs: folder });
  return changing(place, () => {
    const { store, made: operator } = makeOperator(place, names);
    const context: StoreContext = { ...place, store, defaultAccount: undefined };
    const account = makeAccount(context, names);
    const user = makeUser(context, names);
    const creds = writeCreds(context, names);
    if (operator.isNew) remember(place, names);
    const signingKey = freeKeyHere(context, names.account).key;
    return { operator, account, user, signingKey, store: store.folder, keys: place.keys.folder, creds };
  });
}

/** Where the operator's folder is, or will be. */
export const storeOf = (operator: string, folder: string | undefined): string =>
  join(openWorkplace({ allDirs: folder }).locations.stores, operator);

/** Where the seeds are, or will be. */
export const keysOf = (folder: string | undefined): string =>
  openWorkplace({ allDirs: folder }).locations.keys;

/** The key of the operator, if it is there. */
export function operatorKeyIn(store: string): string | undefined {
  return existsSync(join(store, '.nsc')) ? OperatorStore.open(store).operator().claims.sub : undefined;
}

function makeOperator(place: Workplace, { operator: name }: Names): { store: OperatorStore; made: Made } {
  const { stores } = place.locations;
  if (existsSync(join(stores, name, '.nsc'))) {
    const store = OperatorStore.open(join(stores, name));
    return { store, made: { name, key: store.operator().claims.sub, isNew: false } };
  }
  const { key } = generateKey(place, 'operator', { use: 'identity', operator: name });
  const signingKey = generateKey(place, 'operator', { use: 'signing-key', operator: name }).key;
  const claims = newOperator(key, name);
  using pair = place.keys.read(key);
  if (pair === undefined) throw new Failure(`the key that was just made is gone from ${place.keys.folder}`);
  const token = encodeJwt({ ...claims, nats: { ...claims.nats, signing_keys: [signingKey] } }, pair);
  return { store: OperatorStore.create(stores, token, { name }), made: { name, key, isNew: true } };
}

function makeAccount(context: StoreContext, { operator, account: name }: Names): Made {
  const { store } = context;
  if (store.hasAccount(name)) return { name, key: store.account(name).claims.sub, isNew: false };
  const { key } = generateKey(context, 'account', { use: 'identity', operator, account: name });
  const note = { use: 'signing-key', operator, account: name } as const;
  const signingKey = generateKey(context, 'account', note).key;
  const { nats, ...claims } = newAccount(key, name);
  const signedBy = firstHere(context, store.operator().claims.nats.signing_keys ?? []);
  const withKey = { ...nats, signing_keys: [signingKey] };
  saveAccount(context, name, { ...claims, nats: withKey }, signedBy);
  return { name, key, isNew: true };
}

/**
 * A user that no nats-server lets in has no reason to sign a nonce for one, which in some clients a rogue server could choose
 * to be a proof.
 */
const HTTP_ONLY = { allowed_connection_types: ['HTTP'] };

function makeUser(context: StoreContext, { operator, account, user: name }: Names): Made {
  const { store } = context;
  if (store.hasUser(account, name)) return { name, key: store.user(account, name).claims.sub, isNew: false };
  const { key } = generateKey(context, 'user', { use: 'identity', operator, account, user: name });
  const signedBy = freeKeyHere(context, account);
  const { nats, ...claims } = newUser(key, name);
  saveUser(context, account, name, { ...claims, nats: { ...nats, ...HTTP_ONLY } }, signedBy);
  return { name, key, isNew: true };
}

/** A signing key with a role bounds its users, and is not for an administrator. */
function freeKeyHere(context: StoreContext, account: string): { key?: string } {
  const scopes = [...signingKeysOf(context.store.account(account).claims)];
  const free = scopes.filter(([, scope]) => scope === undefined);
  return firstHere(
    context,
    free.map(([key]) => key),
  );
}

/** Anew even if they are there: the user's token may be a later one. */
function writeCreds({ store, keys }: StoreContext, { operator, account, user }: Names): string {
  const path = keys.writeCreds(operator, account, user, store.user(account, user).text);
  if (path !== undefined) return path;
  throw new Failure(
    `the seed of the user ${user} is not in ${keys.folder}, so that no creds can be written: put it back, or name ` +
      'another user with --user',
  );
}

/** A signing key whose seed is here goes before the key of the identity itself. */
function firstHere({ keys }: Workplace, signingKeys: readonly string[]): { key?: string } {
  const key = signingKeys.find((one) => keys.has(one));
  return key === undefined ? {} : { key };
}
