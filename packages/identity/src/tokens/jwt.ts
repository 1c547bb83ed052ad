import { createHash } from 'node:crypto';
import type { z } from 'zod';
import { IdentityError } from '../errors.js';
import { encodeBase32Text } from '../keys/base32.js';
import { type KeyPair, verify } from '../keys/key-pair.js';
import * as schemas from './claims.js';
import { goJson, type Json } from './json.js';
import { malformed, type TokenParts, takeApart } from './parts.js';

/**
 * NATS tokens, JWT version 2: header `{"typ":"JWT","alg":"ed25519-nkey"}`, signed with Ed25519 by the nkey `iss` over the
 * first two parts. Version 1 is refused.
 *
 * Source of the format: nats-io/jwt v2 (`claims.go`, `decoder.go`, `header.go`).
 */
const HEADER = { typ: 'JWT', alg: 'ed25519-nkey' };

const SCHEMAS = {
  operator: schemas.operatorClaims,
  account: schemas.accountClaims,
  user: schemas.userClaims,
  activation: schemas.activationClaims,
  generic: schemas.genericClaims,
} as const;

/** What a token is about. `generic` is every other type. */
export type JwtKind = keyof typeof SCHEMAS;
export type ClaimsOf<K extends JwtKind> = z.output<(typeof SCHEMAS)[K]>;

/** A token that its issuer has signed, whoever that is. */
export interface Jwt<K extends JwtKind = JwtKind> {
  readonly kind: K;
  readonly claims: ClaimsOf<K>;
  readonly text: string;
}
/** Told apart by `kind`. */
export type AnyJwt = { [K in JwtKind]: Jwt<K> }[JwtKind];

/**
 * Reads a token, and checks its form and its signature by `iss`, a key of a kind that may sign such tokens. Whether the issuer
 * is to be trusted, and the time right, is for a `Verifier` to say.
 *
 * @throws IdentityError `malformed_token`, `token_too_large`, `unsupported_token`, `wrong_issuer_kind`, `bad_signature`
 */
export function decodeJwt(text: string): AnyJwt {
  const parts = takeApart(text);
  requireHeader(parts.header);
  const kind = kindOf(parts.claims);
  const read = SCHEMAS[kind].safeParse(parts.claims);
  if (!read.success) throw misread(kind, read.error);
  verifySignature(parts, read.data.iss);
  return { kind, claims: read.data, text } as AnyJwt;
}

/** @throws IdentityError as {@link decodeJwt}; `wrong_token_kind` for a token about something else */
function decodeKind<K extends JwtKind>(kind: K, text: string): Jwt<K> {
  const jwt = decodeJwt(text);
  if (jwt.kind === kind) return jwt as unknown as Jwt<K>;
  throw new IdentityError(
    'wrong_token_kind',
    `this is the token of ${an(jwt.kind)}, and that of ${an(kind)} is wanted`,
  );
}

export const decodeOperator = (text: string): Jwt<'operator'> => decodeKind('operator', text);
export const decodeAccount = (text: string): Jwt<'account'> => decodeKind('account', text);
export const decodeUser = (text: string): Jwt<'user'> => decodeKind('user', text);
export const decodeActivation = (text: string): Jwt<'activation'> => decodeKind('activation', text);

/** What a token is made of; its issuer, time and id come with the signature, whatever stands here. */
export interface Unsigned<Nats extends object | undefined = object | undefined> {
  readonly sub: string;
  readonly name?: string | undefined;
  readonly exp?: number | undefined;
  readonly nbf?: number | undefined;
  readonly aud?: string | undefined;
  readonly nats?: Nats;
  readonly [unknown: string]: unknown;
}

/**
 * Signs claims: sets `iss`, `iat` (now) and `jti`, lower-cases tags, and writes the fields in the order in which nats-io/jwt
 * does, unknown ones behind them.
 *
 * @throws IdentityError `invalid_claims` for what {@link decodeJwt} would refuse, such as a signer of the wrong kind
 */
export function encodeJwt(
  claims: Unsigned,
  signer: KeyPair,
  { now = new Date() }: { now?: Date } = {},
): string {
  const { aud, exp, name, nbf, sub, nats, iat: _iat, iss: _iss, jti: _jti, ...unknown } = claims;
  if (name !== undefined && !name.isWellFormed()) throw unwritable('its name is no well-formed text');
  const iat = Math.floor(now.getTime() / 1000);
  const iss = signer.publicKey;
  const given = { aud: aud || undefined, exp: exp || undefined };
  const rest = { iat, iss, name: name || undefined, nbf: nbf || undefined, sub };
  const jti = idOf({ ...given, ...rest });
  const whole = { ...given, jti, ...rest, nats: nats && orderedNats(nats), ...unknown } as unknown as Json;
  const kind = kindOf(whole);
  const read = SCHEMAS[kind].safeParse(whole);
  if (!read.success) throw unwritable(describe(read.error));
  const signed = `${base64Url(goJson(HEADER))}.${base64Url(goJson(whole))}`;
  return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed, 'latin1'))).toString('base64url')}`;
}

/** base32 of SHA-512/256 of the JSON of the standard claims, without `jti` itself. */
function idOf(standard: Readonly<Record<string, string | number | undefined>>): string {
  return encodeBase32Text(
    createHash('sha512-256')
      .update(goJson(standard as Json))
      .digest(),
  );
}

/** What all types share stands behind what each has of its own. */
function orderedNats(nats: object): object {
  const { tags, type, version: _, ...own } = nats as Readonly<Record<string, unknown>>;
  const lowerCase =
    Array.isArray(tags) && tags.length > 0 ? tags.map((tag) => String(tag).toLowerCase()) : undefined;
  return { ...own, tags: lowerCase, type, version: 2 };
}

function kindOf(claims: Json): JwtKind {
  const { nats, type: oldType } = (claims ?? {}) as { nats?: { type?: Json; version?: Json }; type?: Json };
  const type = nats?.type;
  const isKind = typeof type === 'string' && type !== 'generic' && Object.hasOwn(SCHEMAS, type);
  if (oldType !== undefined || (isKind && nats?.version !== 2)) {
    throw new IdentityError(
      'unsupported_token',
      'only tokens of version 2 are read: issue it anew with tools of today',
    );
  }
  return isKind ? (type as JwtKind) : 'generic';
}

function requireHeader(header: Json): void {
  const { typ, alg } = (header ?? {}) as { typ?: Json; alg?: Json };
  if (typeof typ !== 'string' || typ.toUpperCase() !== HEADER.typ || alg !== HEADER.alg) {
    throw new IdentityError('unsupported_token', `only tokens of the algorithm ${HEADER.alg} are read`);
  }
}

function verifySignature({ signed, signature }: TokenParts, issuer: string): void {
  if (!verify(issuer, signed, signature)) {
    throw new IdentityError(
      'bad_signature',
      'the signature of this token is not that of its issuer: it is forged or damaged',
    );
  }
}

function misread(kind: JwtKind, error: z.ZodError): IdentityError {
  const issuer = error.issues.some(({ path }) => path[0] === 'iss');
  if (!issuer) return malformed(`as that of ${an(kind)}, ${describe(error)}`);
  return new IdentityError(
    'wrong_issuer_kind',
    `the issuer of ${an(kind)}’s token has no key that may sign it`,
  );
}

const unwritable = (why: string): IdentityError =>
  new IdentityError('invalid_claims', `this token cannot be written: ${why}`);

/** Where it is wrong, without what stands there. */
function describe({ issues: [issue] }: z.ZodError): string {
  const place = issue?.path.map(String).join('.') ?? '';
  return place === '' ? 'it is no object' : `its field ${place} is wrong`;
}

const an = (kind: JwtKind): string => (/^[aeo]/.test(kind) ? `an ${kind}` : `a ${kind}`);
const base64Url = (text: string): string => Buffer.from(text).toString('base64url');
