import { homedir } from 'node:os';
import { type KeyPair, keyPairFromSeed } from '../keys/key-pair.js';
import { type KeyKind, parsePublicKey, SEED_LENGTH } from '../keys/nkey.js';
import { type AccountClaims, type OperatorClaims, signingKeysOf, type UserScope } from '../tokens/claims.js';
import { StoreError } from './errors.js';
import { type KeyFolder, keyPairFromFile } from './key-folder.js';

/**
 * Whose key signs. The one that `-K` names, if it may; else, of those that may and whose seed is in the key folder, the one
 * that signed the token before, else the entity's own key, else the first of its signing keys.
 *
 * Source of the order: nats-io/nsc (`cmd/signerparams.go`).
 */
export interface SignerWanted {
  /** `-K`: a seed, a file with one, a public key whose seed is in the key folder, or the role of a scoped signing key. */
  readonly key?: string | undefined;
  /** Who signed the token that is edited. */
  readonly before?: string | undefined;
}

/** A key that may sign, for the receiver to wipe. */
export interface Signer extends Disposable {
  readonly pair: KeyPair;
  /** What bounds the users that it signs. */
  readonly scope: UserScope | undefined;
}

/** Who signs the operator's own token. */
export function operatorSigner(operator: OperatorClaims, keys: KeyFolder, wanted: SignerWanted = {}): Signer {
  const may = [operator.sub, ...(operator.nats.signing_keys ?? [])];
  return choose(may, keys, wanted, `the operator ${JSON.stringify(operator.name ?? '')}`);
}

/** Who signs an account's token. @param own of a managed store: the account's key, which signs it meanwhile */
export function accountSigner(
  operator: OperatorClaims,
  keys: KeyFolder,
  wanted: SignerWanted & { readonly own?: string | undefined } = {},
): Signer {
  const signingKeys = operator.nats.signing_keys ?? [];
  const strict = operator.nats.strict_signing_key_usage === true;
  const may = [...(strict ? [] : [operator.sub]), ...signingKeys, ...(wanted.own ? [wanted.own] : [])];
  return choose(may, keys, wanted, `an account of the operator ${JSON.stringify(operator.name ?? '')}`);
}

/**
 * Who signs a user's token, or an activation.
 *
 * A signing key with a scope is taken without being named only if it signed before, or if no other key is there and it is
 * the only one: what a user may do hangs on it. So a token that such a key signed, or one that is no key of the account any
 * more, goes to another key only by name.
 */
export function userSigner(
  operator: OperatorClaims,
  account: AccountClaims,
  keys: KeyFolder,
  wanted: SignerWanted = {},
): Signer {
  const scopes = signingKeysOf(account);
  const strict = operator.nats.strict_signing_key_usage === true;
  const own = strict ? [] : [account.sub];
  const free = [...scopes].filter(([, scope]) => scope === undefined).map(([key]) => key);
  const scoped = [...scopes].filter(([, scope]) => scope !== undefined).map(([key]) => key);
  const what = `a user of the account ${JSON.stringify(account.name ?? '')}`;
  const may = [...own, ...free, ...scoped];
  if (wanted.key === undefined && wanted.before !== undefined) {
    requireSameBounds(account, scopes, keys, wanted.before);
  }
  if (wanted.key === undefined && !may.some((key) => key === wanted.before && keys.has(key))) {
    const here = scoped.filter((key) => keys.has(key));
    if (here.length > 1 && ![...own, ...free].some((key) => keys.has(key))) {
      throw new StoreError(
        'no_signer',
        `only keys with a role are here to sign ${what}: say which with -K ROLE`,
      );
    }
  }
  return choose(may, keys, wanted, what, scopes);
}

/** Signed by another key than before, a user that a role bounded would have the rights of the account. */
function requireSameBounds(
  account: AccountClaims,
  scopes: ReadonlyMap<string, UserScope | undefined>,
  keys: KeyFolder,
  before: string,
): void {
  if (before === account.sub || (scopes.has(before) && scopes.get(before) === undefined)) return;
  const scope = scopes.get(before);
  if (scope !== undefined && keys.has(before)) return;
  const name = JSON.stringify(account.name ?? '');
  throw new StoreError(
    'no_signer',
    scope === undefined
      ? `${before}, which signed this user, is no key of the account ${name} any more, so that it is not known what bounded ` +
          'the user: say with -K which key or role is to sign it'
      : `the seed of ${before}, which signed this user${scope.role ? ` with the role ${JSON.stringify(scope.role)}` : ''}, is not ` +
          `in ${keys.folder}, and under another key the user would have other rights: put the seed back, name a file with it ` +
          'with -K, or name the key or role that is to sign it from now on',
  );
}

function choose(
  may: readonly string[],
  keys: KeyFolder,
  { key, before }: SignerWanted,
  what: string,
  scopes: ReadonlyMap<string, UserScope | undefined> = new Map(),
): Signer {
  const pair = key === undefined ? firstHere(may, keys, before, what) : resolveKey(key, keys, { scopes });
  if (!may.includes(pair.publicKey)) {
    pair.wipe();
    throw new StoreError(
      'wrong_signer',
      `${pair.publicKey} may not sign ${what}: ${may.length === 0 ? 'only a signing key may, and there is none' : `it takes one of ${may.join(', ')}`}`,
    );
  }
  return { pair, scope: scopes.get(pair.publicKey), [Symbol.dispose]: () => pair.wipe() };
}

function firstHere(
  may: readonly string[],
  keys: KeyFolder,
  before: string | undefined,
  what: string,
): KeyPair {
  const order = before !== undefined && may.includes(before) ? [before, ...may] : may;
  for (const key of order) {
    const pair = keys.read(key);
    if (pair !== undefined) return pair;
  }
  throw new StoreError(
    'no_signer',
    may.length === 0
      ? `${what} must be signed with a signing key, and there is none: add one first`
      : `no key that may sign ${what} is in ${keys.folder}; name a file with its seed with -K: ${may.join(', ')}`,
  );
}

/**
 * Finds the pair of a key that a person named.
 *
 * @param reference a seed, a file with one, a public key whose seed is in the key folder, or a role of `scopes`
 * @param flag by which the person named it
 * @returns for the receiver to wipe
 * @throws StoreError `no_key`
 */
export function resolveKey(
  reference: string,
  keys: KeyFolder,
  {
    flag = '-K',
    scopes = new Map(),
  }: { readonly flag?: string; readonly scopes?: ReadonlyMap<string, UserScope | undefined> } = {},
): KeyPair {
  if (reference.length === SEED_LENGTH && reference.startsWith('S')) {
    const pair = pairOfSeed(reference);
    if (pair !== undefined) return pair;
  }
  const role = [...scopes].find(
    ([, scope]) => scope !== undefined && scope.role !== '' && scope.role === reference,
  );
  const publicKey = role?.[0] ?? (kindOfPublicKey(reference) === undefined ? undefined : reference);
  if (publicKey !== undefined) {
    const pair = keys.read(publicKey);
    if (pair !== undefined) return pair;
    throw new StoreError('no_key', `the seed of ${publicKey} is not in ${keys.folder}: name a file with it`);
  }
  const pair = keyPairFromFile(reference.replace(/^~(?=\/)/, homedir()));
  if (pair !== undefined) return pair;
  if (/[/.]/.test(reference)) {
    // A seed that is mistyped is not shown.
    const shown = /[A-Z2-7]{30}/.test(reference) ? '' : `: ${reference}`;
    throw new StoreError('no_key', `${flag} names a file with a seed, and there is no such file${shown}`);
  }
  const roles = scopes.size > 0 ? ', no role of the account' : '';
  throw new StoreError(
    'no_key',
    `what ${flag} names is no public key${roles}, no file and no seed: check how it is written`,
  );
}

function pairOfSeed(text: string): KeyPair | undefined {
  try {
    return keyPairFromSeed(text);
  } catch {
    return undefined;
  }
}

/** The kind of a public key; nothing if the text is none. */
export function kindOfPublicKey(text: string): KeyKind | undefined {
  try {
    return parsePublicKey(text).kind;
  } catch {
    return undefined;
  }
}
