import { createKeyPair } from '../keys/key-pair.js';
import type { KeyKind } from '../keys/nkey.js';
import {
  type AccountClaims,
  type OperatorClaims,
  signingKeysOf,
  type UserClaims,
  type UserScope,
} from '../tokens/claims.js';
import { encodeJwt, type Unsigned } from '../tokens/jwt.js';
import type { StoreContext, Workplace } from './context.js';
import { StoreError } from './errors.js';
import type { KeyNote } from './ledger.js';
import { inAccountOrder, inOperatorOrder, inUserOrder } from './order.js';
import { accountSigner, operatorSigner, type SignerWanted, userSigner } from './signer.js';

/** What signs a token and puts it in its place. Call within `changing`. */

export interface Saved {
  readonly token: string;
  /** The public key that signed it. */
  readonly signer: string;
  readonly scope?: UserScope | undefined;
}

export interface SaveOptions extends SignerWanted {
  /** When it is issued; else now and, of an operator or account, as `issueTime` has it. */
  readonly now?: Date | undefined;
}

/** How far ahead of the clock a token may be: servers whose clocks are five seconds behind take it all the same. */
const AHEAD_MILLISECONDS = 3_000;
/** Nobody waits longer for the clock: one of two clocks is wrong. */
const PATIENCE_MILLISECONDS = 60_000;

/**
 * When the token that follows another of the same operator or account is issued. The two are told apart by the second, and of
 * two of one second an attacker could bring back the first: so it is a later second, which is waited for if it is too far
 * ahead.
 *
 * @param before of the token that is there
 * @throws StoreError `clock_behind`
 */
export function issueTime(before: { readonly iat: number } | undefined, now: Date = new Date()): Date {
  if (before === undefined) return now;
  const next = (before.iat + 1) * 1000;
  const ahead = next - now.getTime();
  if (ahead > PATIENCE_MILLISECONDS) {
    throw new StoreError(
      'clock_behind',
      `the token that is to be replaced says that it was issued at ${new Date(before.iat * 1000).toISOString()}, which is ` +
        'still to come here: set the clock of this machine right, or put a token back whose time is right',
    );
  }
  if (ahead > AHEAD_MILLISECONDS) sleep(ahead - AHEAD_MILLISECONDS);
  return new Date(Math.max(now.getTime(), next));
}

/** All that is written here is written synchronously: what uses it is a command, not a server. */
function sleep(milliseconds: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds);
}

export function saveOperator(
  { store, keys }: StoreContext,
  claims: Unsigned<OperatorClaims['nats']>,
  options: SaveOptions = {},
): Saved {
  const { claims: before } = store.operator();
  // Who may sign is in the token that is there, so that a key cannot sign itself in, and in the new one, which proves it.
  const kept = (before.nats.signing_keys ?? []).filter((key) => claims.nats?.signing_keys?.includes(key));
  using signer = operatorSigner({ ...before, nats: { ...before.nats, signing_keys: kept } }, keys, options);
  const token = encodeJwt({ ...claims, nats: inOperatorOrder(claims.nats ?? {}) }, signer.pair, {
    now: options.now ?? issueTime(before),
  });
  store.writeOperator(token);
  return { token, signer: signer.pair.publicKey };
}

export function saveAccount(
  { store, keys }: StoreContext,
  name: string,
  claims: Unsigned<AccountClaims['nats']>,
  options: SaveOptions = {},
): Saved {
  const own = store.managed ? claims.sub : undefined;
  using signer = accountSigner(store.operator().claims, keys, { ...options, own });
  const before = store.hasAccount(name) ? store.account(name).claims : undefined;
  const token = encodeJwt({ ...claims, name, nats: inAccountOrder(claims.nats ?? {}) }, signer.pair, {
    now: options.now ?? issueTime(before),
  });
  store.writeAccount(name, token);
  return { token, signer: signer.pair.publicKey };
}

export function saveUser(
  { store, keys }: StoreContext,
  account: string,
  name: string,
  claims: Unsigned<UserClaims['nats']>,
  options: SaveOptions = {},
): Saved {
  const { claims: issuer } = store.account(account);
  using signer = userSigner(store.operator().claims, issuer, keys, options);
  const wasScoped = options.before !== undefined && signingKeysOf(issuer).get(options.before) !== undefined;
  const { issuer_account: _, ...nats } = boundBy(signer.scope, claims.nats as UserClaims['nats'], wasScoped);
  const issuerAccount = signer.pair.publicKey === issuer.sub ? {} : { issuer_account: issuer.sub };
  const token = encodeJwt(
    { ...claims, name, nats: inUserOrder({ ...nats, ...issuerAccount } as UserClaims['nats']) },
    signer.pair,
    at(options),
  );
  store.writeUser(account, name, token);
  return { token, signer: signer.pair.publicKey, scope: signer.scope };
}

/** Makes a key, keeps it, and writes into the ledger what it is for. */
export function generateKey(
  { keys, ledger }: Workplace,
  kind: KeyKind,
  note: Omit<KeyNote, 'key'> = {},
): { readonly key: string; readonly path: string } {
  using pair = createKeyPair(kind);
  // The ledger comes first: a key that is listed and not there is a trifle, one that is there and not listed is lost.
  ledger.note({ key: pair.publicKey, ...note });
  return { key: pair.publicKey, path: keys.store(pair) };
}

const UNLIMITED = { subs: -1, data: -1, payload: -1 };
const OWN = [
  'resp',
  'src',
  'times',
  'times_location',
  'subs',
  'data',
  'payload',
  'bearer_token',
  'proxy_required',
  'allowed_connection_types',
];

/** A user of a scoped key has no permissions and limits of its own; nats-server refuses it otherwise. */
function boundBy(
  scope: UserScope | undefined,
  nats: UserClaims['nats'],
  wasScoped: boolean,
): UserClaims['nats'] {
  if (scope === undefined) return wasScoped ? { ...UNLIMITED, ...nats } : nats;
  const rest = Object.fromEntries(Object.entries(nats).filter(([field]) => !OWN.includes(field)));
  return { ...rest, pub: {}, sub: {} } as UserClaims['nats'];
}

const at = ({ now }: SaveOptions) => (now === undefined ? {} : { now });
