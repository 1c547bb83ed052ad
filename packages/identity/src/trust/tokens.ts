import { hash } from 'node:crypto';
import { IdentityError } from '../errors.js';
import { parsePublicKey } from '../keys/nkey.js';
import { signingKeysOf, type UserClaims, type UserScope } from '../tokens/claims.js';
import { decodeAccount, decodeJwt, decodeOperator } from '../tokens/jwt.js';
import { decodeWascap, looksLikeWascap, type WascapToken } from '../tokens/wascap.js';
import type { ChainKind } from './chain.js';
import { ChainError, linkName } from './chain-error.js';

/** What the links of a chain need of tokens, in one form for NATS and wasmCloud. Each is signed by its `issuer`. */
export interface LinkToken {
  readonly what: 'operator' | 'account' | ChainKind;
  readonly key: string;
  readonly name: string;
  readonly issuer: string;
  readonly jti: string;
  /** Seconds since 1970, as are `exp` and `nbf`. */
  readonly iat: number;
  readonly exp?: number | undefined;
  readonly nbf?: number | undefined;
  /** Of operators and accounts: tells texts apart that were issued within one second. */
  readonly digest?: string | undefined;
}

export interface OperatorToken extends LinkToken {
  readonly what: 'operator';
  readonly signers: ReadonlySet<string>;
  /** Only signing keys sign accounts, and only signing keys of theirs sign for accounts. */
  readonly strict: boolean;
}

export interface AccountToken extends LinkToken {
  readonly what: 'account';
  /** A token of wasmCloud's kind says nothing of users. */
  readonly wascap: boolean;
  readonly signers: ReadonlyMap<string, UserScope | undefined>;
  /** Times by key; `*` is every key. */
  readonly revocations: ReadonlyMap<string, number>;
  readonly disallowBearer: boolean;
  /** If there are some, an outside service says who the other users are. */
  readonly authUsers: ReadonlySet<string>;
  readonly text: string;
}

/** An operator that somebody decided to trust. */
export interface TrustedOperator {
  readonly key: string;
  readonly name: string;
  readonly signers: ReadonlySet<string>;
  readonly strict: boolean;
  /** Absent where it is known by its key alone: then nothing is known of its signing keys, and only its own key signs. */
  readonly token?: OperatorToken | undefined;
}

/** The token of a caller. */
export interface CallerToken extends LinkToken {
  readonly what: ChainKind;
  readonly tags: readonly string[];
  /** Of users. */
  readonly user?: UserClaims['nats'] | undefined;
}

/** @throws IdentityError as `decodeOperator` and `decodeWascap` */
export function readOperator(text: string): OperatorToken {
  if (looksLikeWascap(text)) {
    const token = decodeKind('operator', text);
    return {
      ...linkOf('operator', token.claims, token.claims.wascap?.name),
      digest: digestOf(text),
      signers: new Set(signersOf(token)),
      strict: false,
    };
  }
  const { claims } = decodeOperator(text);
  return {
    ...linkOf('operator', claims, claims.name),
    digest: digestOf(text),
    signers: new Set(claims.nats.signing_keys ?? []),
    strict: claims.nats.strict_signing_key_usage === true,
  };
}

/** @param text a token, or a public key @throws IdentityError as `readOperator` */
export function readTrustedOperator(text: string): TrustedOperator {
  if (isKeyOf('operator', text)) return { key: text, name: '', signers: new Set(), strict: false };
  const token = readOperator(text);
  const { key, name, signers, strict } = token;
  return { key, name, signers, strict, token };
}

/** @throws IdentityError as `decodeAccount` and `decodeWascap` */
export function readAccount(text: string): AccountToken {
  if (looksLikeWascap(text)) {
    const token = decodeKind('account', text);
    return {
      ...linkOf('account', token.claims, token.claims.wascap?.name),
      digest: digestOf(text),
      wascap: true,
      signers: new Map(signersOf(token).map((key) => [key, undefined])),
      revocations: new Map(),
      disallowBearer: false,
      authUsers: new Set(),
      text,
    };
  }
  const { claims } = decodeAccount(text);
  return {
    ...linkOf('account', claims, claims.name),
    digest: digestOf(text),
    wascap: false,
    signers: signingKeysOf(claims),
    revocations: new Map(Object.entries(claims.nats.revocations ?? {})),
    disallowBearer: claims.nats.limits?.disallow_bearer === true,
    authUsers: new Set(claims.nats.authorization?.auth_users ?? []),
    text,
  };
}

/** @throws IdentityError as `decodeJwt` and `decodeWascap`; ChainError `wrong_token_kind` */
export function readCaller(text: string): CallerToken {
  return looksLikeWascap(text) ? readWascapCaller(decodeWascap(text)) : readUser(text);
}

function readUser(text: string): CallerToken {
  const { kind, claims } = decodeJwt(text);
  if (kind !== 'user') throw wrongKind(linkName(`${kind} token of`, claims.sub));
  return {
    ...linkOf('user', claims, claims.name),
    tags: [...new Set(claims.nats.tags?.map((tag) => tag.toLowerCase()))],
    user: claims.nats,
  };
}

function readWascapCaller(token: WascapToken): CallerToken {
  const { kind, claims } = token;
  if (kind === 'account' || kind === 'operator' || kind === 'cluster') {
    throw wrongKind(linkName(kind, claims.sub));
  }
  const signers = kind === 'host' ? ['account', 'cluster', 'server'] : ['account'];
  requireIssuer(claims.iss, signers);
  return { ...linkOf(kind, token.claims, token.claims.wascap?.name), tags: claims.wascap?.tags ?? [] };
}

/** Undefined for what is no account's token. */
export function accountIn(text: string): AccountToken | undefined {
  try {
    return readAccount(text);
  } catch (error) {
    if (error instanceof IdentityError) return undefined;
    throw error;
  }
}

export const isAccountKey = (text: unknown): text is string => isKeyOf('account', text);

export function isKeyOf(kind: 'operator' | 'account', text: unknown): text is string {
  try {
    return typeof text === 'string' && parsePublicKey(text).kind === kind;
  } catch (error) {
    if (error instanceof IdentityError) return false;
    throw error;
  }
}

const wrongKind = (link: string): ChainError =>
  new ChainError('wrong_token_kind', link, 'this token is not that of a caller');

function decodeKind(kind: 'operator' | 'account', text: string): WascapToken {
  const token = decodeWascap(text);
  if (token.kind !== kind) {
    throw new IdentityError('wrong_token_kind', `this token is not that of an ${kind}`);
  }
  // As in tokens of NATS, whose form says so.
  requireIssuer(token.claims.iss, kind === 'operator' ? ['operator'] : ['operator', 'account']);
  return token;
}

function requireIssuer(issuer: string, kinds: readonly string[]): void {
  if (kinds.includes(parsePublicKey(issuer).kind)) return;
  throw new IdentityError(
    'wrong_issuer_kind',
    'the issuer of this token has no key that may sign a token of its kind',
  );
}

/** Further keys that may sign for a wasmCloud operator or account: those of its own kind. */
function signersOf({ kind, claims }: WascapToken): string[] {
  return (claims.wascap?.valid_signers ?? []).filter((key) => parsePublicKey(key).kind === kind);
}

interface Claims {
  readonly sub: string;
  readonly iss: string;
  readonly iat: number;
  readonly jti?: string | undefined;
  readonly exp?: number | null | undefined;
  readonly nbf?: number | null | undefined;
}

/** The id that nats-io/jwt makes is of the standard claims alone: tokens of one second share it. */
const digestOf = (text: string): string => hash('sha256', text, 'base64');

/**
 * What a token can be revoked by: printable, without spaces, and no seed that somebody might show around. nats-io/jwt makes 52
 * characters of base32, wascap 22 letters and digits.
 */
const REVOCABLE = /^(?!S[A-Z2-7]{57}$)[\x21-\x7e]{1,128}$/;

function linkOf<W extends LinkToken['what']>(what: W, claims: Claims, name: string | null | undefined) {
  const { sub, iss, iat, jti, exp, nbf } = claims;
  if (!jti || !REVOCABLE.test(jti)) {
    throw new IdentityError(
      'malformed_token',
      'this token has no id (jti) of 1 to 128 printable ASCII characters without spaces, by which it could be revoked',
    );
  }
  return {
    what,
    key: sub,
    issuer: iss,
    jti,
    name: name ?? '',
    iat,
    exp: exp || undefined,
    nbf: nbf || undefined,
  };
}
