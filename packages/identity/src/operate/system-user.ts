import { createKeyPair, type KeyPair, keyPairFromSeed } from '../keys/key-pair.js';
import type { StoreContext } from '../store/context.js';
import { StoreError } from '../store/errors.js';
import { readBytes } from '../store/files.js';
import { parseCreds } from '../tokens/creds.js';
import { encodeJwt } from '../tokens/jwt.js';
import { newUser } from '../tokens/new-claims.js';
import { CLAIMS_PERMISSIONS } from './claims-client.js';
import type { AccountSnapshot } from './issued.js';
import { stateOf } from './issued.js';
import { isRevokedUser } from './revocations.js';
import { RotationJournal } from './rotation-journal.js';

/** Who talks to nats-servers about accounts: a user of the system account. */
export interface SystemUser extends Disposable {
  readonly account: string;
  readonly user: { readonly jwt: string; readonly keyPair: KeyPair };
}

export interface SystemUserWanted {
  /** The system account by its name, where the operator names none. */
  readonly account?: string | undefined;
  /** One of its users; else one is made for the purpose or, where that cannot be, one that is here is taken. */
  readonly user?: string | undefined;
}

const MINUTES = 10;

/**
 * Finds a user of the system account, or makes one for ten minutes that may do nothing else.
 *
 * @throws StoreError `not_found`, `no_signer`
 */
export function systemUser(
  context: StoreContext,
  wanted: SystemUserWanted = {},
  now = new Date(),
): SystemUser {
  const account = systemAccount(context, wanted.account);
  const found =
    wanted.user === undefined
      ? (madeBy(context, account, [account.jwt.claims.sub], now) ??
        userHere(context, account, now) ??
        madeBy(context, account, freeKeys(context, account), now))
      : storedUser(context, account, wanted.user);
  if (found === undefined) {
    throw new StoreError(
      'no_signer',
      `neither a key nor a user of the system account ${account.name} is here to talk to nats-servers with: add a user to it`,
    );
  }
  return { account: account.name, user: found, [Symbol.dispose]: () => found.keyPair.wipe() };
}

function systemAccount({ store }: StoreContext, named: string | undefined): AccountSnapshot {
  const key = store.operator().claims.nats.system_account;
  const account =
    named === undefined ? key && store.accountOf(key) : { name: named, jwt: store.account(named) };
  if (account) return { ...account, users: store.scanUsers(account.name).tokens };
  throw new StoreError(
    'not_found',
    'nats-servers are spoken to as a user of the system account, and there is none here: name it with ' +
      '--system-account, or for good with "edit operator --system-account"',
  );
}

/** Signing keys without a scope; last those that a rotation has just made, which no server need know of yet. */
function freeKeys({ keys }: StoreContext, { jwt }: AccountSnapshot): string[] {
  const free = (jwt.claims.nats.signing_keys ?? []).filter((key) => typeof key === 'string');
  const joining = new RotationJournal(keys.folder).of(jwt.claims.sub).map((rotation) => rotation.new);
  return [...free.filter((key) => !joining.includes(key)), ...free.filter((key) => joining.includes(key))];
}

function madeBy(
  { keys, store }: StoreContext,
  { jwt }: AccountSnapshot,
  issuers: readonly string[],
  now: Date,
): SystemUser['user'] | undefined {
  const { sub } = jwt.claims;
  const strict = store.operator().claims.nats.strict_signing_key_usage === true;
  const issuer = issuers.find((key) => keys.has(key) && !(strict && key === sub));
  if (issuer === undefined) return undefined;
  using signer = keys.read(issuer) as KeyPair;
  const keyPair = createKeyPair('user');
  const claims = newUser(keyPair.publicKey, 'coffer, to push and pull');
  const nats = {
    ...claims.nats,
    pub: { allow: [...CLAIMS_PERMISSIONS.pub.allow] },
    sub: { allow: [...CLAIMS_PERMISSIONS.sub.allow] },
    ...(issuer === sub ? {} : { issuer_account: sub }),
  };
  const exp = Math.floor(now.getTime() / 1000) + MINUTES * 60;
  return { jwt: encodeJwt({ ...claims, nats, exp }, signer, { now }), keyPair };
}

function userHere(
  context: StoreContext,
  account: AccountSnapshot,
  now: Date,
): SystemUser['user'] | undefined {
  for (const { name, jwt } of account.users) {
    if (stateOf(jwt.claims, now) !== 'valid' || isRevokedUser(account.jwt.claims, jwt.claims)) continue;
    const keyPair = seedOf(context, account.name, name, jwt.claims.sub);
    if (keyPair) return { jwt: jwt.text, keyPair };
  }
  return undefined;
}

function storedUser(context: StoreContext, account: AccountSnapshot, name: string): SystemUser['user'] {
  const jwt = context.store.user(account.name, name);
  const keyPair = seedOf(context, account.name, name, jwt.claims.sub);
  if (keyPair) return { jwt: jwt.text, keyPair };
  throw new StoreError(
    'no_key',
    `the seed of the user ${name} of ${account.name} is not here: name another user`,
  );
}

/** From the key folder or, where only that is left, the creds file. */
function seedOf(
  { keys, store }: StoreContext,
  account: string,
  user: string,
  key: string,
): KeyPair | undefined {
  const pair = keys.read(key);
  if (pair) return pair;
  const bytes = readBytes(keys.credsPath(store.name, account, user));
  if (!bytes) return undefined;
  const { seed } = parseCreds(bytes);
  try {
    const inCreds = keyPairFromSeed(seed);
    if (inCreds.publicKey === key) return inCreds;
    inCreds.wipe();
    return undefined;
  } finally {
    seed.fill(0);
    bytes.fill(0);
  }
}
