import {
  accountMeant,
  type DamagedToken,
  kindOfPublicKey,
  type StoreContext,
  signingKeysOf,
  takeSnapshot,
} from '@coffer/identity';

/** Which keys there are, what they are for, and whether their seeds are here. */
export interface ListedKey {
  readonly kind: string;
  /** Whose it is; `?` of a key that no token of this operator names. */
  readonly entity: string;
  readonly account?: string;
  readonly key: string;
  readonly signing: boolean;
  readonly role?: string;
  readonly stored: boolean;
  /** Its token, if it is the key of an operator, account or user itself. */
  readonly token?: string;
}

export interface KeyChoice {
  readonly all?: boolean;
  readonly operator?: boolean;
  readonly accounts?: boolean;
  readonly users?: boolean;
  readonly account?: string;
  readonly user?: string;
  readonly filter?: string;
  readonly notReferenced?: boolean;
}

export function chosenKeys(context: StoreContext, choice: KeyChoice): ListedKey[] {
  const { operator, accounts, users } = choice;
  const everyKind = choice.all || !(operator || accounts || users);
  const wanted = (kind: string) =>
    everyKind ||
    (kind === 'operator' && operator) ||
    (kind === 'account' && accounts) ||
    (kind === 'user' && users);
  const list = choice.notReferenced ? strangers(context) : ours(context, choice);
  return list.filter(
    ({ kind, key }) => wanted(kind) && (choice.filter === undefined || key.includes(choice.filter)),
  );
}

function ours(context: StoreContext, choice: KeyChoice): ListedKey[] {
  const { store } = context;
  const one = choice.account ?? (choice.all ? undefined : context.defaultAccount);
  const accounts = one === undefined ? store.accountNames() : [accountMeant(context, one)];
  return [
    ...operatorKeys(context),
    ...accounts.flatMap((account) => accountKeys(context, account, choice.user)),
  ];
}

function operatorKeys({ store, keys }: StoreContext): ListedKey[] {
  const { claims, text } = store.operator();
  const common = { kind: 'operator', entity: store.name };
  return [
    { ...common, key: claims.sub, signing: false, stored: keys.has(claims.sub), token: text },
    ...(claims.nats.signing_keys ?? []).map((key) => ({
      ...common,
      key,
      signing: true,
      stored: keys.has(key),
    })),
  ];
}

/** Files of which it is not known what keys they name. */
export function damagedAmong(context: StoreContext, choice: KeyChoice): readonly DamagedToken[] {
  const { damaged } = takeSnapshot(context);
  const one = choice.account ?? context.defaultAccount;
  if (choice.all || choice.notReferenced || one === undefined) return damaged;
  return damaged.filter(({ kind, name, account }) => (kind === 'account' ? name : account) === one);
}

function accountKeys({ store, keys }: StoreContext, account: string, user: string | undefined): ListedKey[] {
  const jwt = store.scanAccounts().tokens.find(({ name }) => name === account)?.jwt;
  if (jwt === undefined) return [];
  const { claims, text } = jwt;
  const common = { kind: 'account', entity: account, account };
  return [
    { ...common, key: claims.sub, signing: false, stored: keys.has(claims.sub), token: text },
    ...[...signingKeysOf(claims)].map(([key, scope]) => ({
      ...common,
      key,
      signing: true,
      stored: keys.has(key),
      ...(scope === undefined ? {} : { role: scope.role }),
    })),
    ...store
      .scanUsers(account)
      .tokens.filter(({ name }) => user === undefined || name === user)
      .map(({ name, jwt }) => ({
        kind: 'user',
        entity: name,
        account,
        key: jwt.claims.sub,
        signing: false,
        stored: keys.has(jwt.claims.sub),
        token: jwt.text,
      })),
  ];
}

/** Keys in the folder that no token of this operator names; another operator's may. */
function strangers(context: StoreContext): ListedKey[] {
  const known = new Set(ours(context, { all: true }).map(({ key }) => key));
  return context.keys
    .list()
    .filter((key) => !known.has(key))
    .map((key) => ({ kind: kindOfPublicKey(key) ?? '?', entity: '?', key, signing: false, stored: true }));
}
