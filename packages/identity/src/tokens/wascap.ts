import { randomInt } from 'node:crypto';
import { z } from 'zod';
import { IdentityError } from '../errors.js';
import { type KeyPair, verify } from '../keys/key-pair.js';
import { type KeyKind, parsePublicKey } from '../keys/nkey.js';
import { goJson, type Json } from './json.js';
import { malformed, takeApart } from './parts.js';

/**
 * wasmCloud's tokens: header `{"typ":"jwt","alg":"Ed25519"}`, what it is about told by the kind of the key `sub`, signed with
 * Ed25519 by the nkey `iss` over the first two parts.
 *
 * Source of the format: wasmCloud's crate wascap (`jwt.rs`).
 */
const HEADER = { typ: 'jwt', alg: 'Ed25519' };

const seconds = z.int().min(0);

const schema = z.looseObject({
  exp: seconds.nullish(),
  jti: z.string(),
  iat: seconds,
  iss: z.string(),
  sub: z.string(),
  nbf: seconds.nullish(),
  wascap: z
    .looseObject({
      name: z.string().nullish(),
      /** Of accounts, operators and clusters: further keys that may sign for them. */
      valid_signers: z.array(z.string()).nullish(),
      tags: z.array(z.string()).nullish(),
      labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  wascap_revision: z.int().nullish(),
});

export type WascapClaims = z.output<typeof schema>;

const KINDS = {
  component: 'component',
  provider: 'provider',
  server: 'host',
  account: 'account',
  operator: 'operator',
  cluster: 'cluster',
} as const satisfies Partial<Record<KeyKind, string>>;

/** What a wasmCloud token is about. */
export type WascapKind = (typeof KINDS)[keyof typeof KINDS];

/** A wasmCloud token that its issuer has signed, whoever that is. */
export interface WascapToken {
  readonly kind: WascapKind;
  readonly claims: WascapClaims;
  readonly text: string;
}

/** Whether a text is a wasmCloud token rather than one of NATS; false for what is no token at all. */
export function looksLikeWascap(text: string): boolean {
  const header = text.slice(0, text.indexOf('.'));
  if (header.length > 256) return false;
  try {
    return (
      (JSON.parse(Buffer.from(header, 'base64url').toString()) as { alg?: unknown } | null)?.alg ===
      HEADER.alg
    );
  } catch {
    return false;
  }
}

/**
 * Reads a wasmCloud token, and checks its form and its signature by `iss`. Which kinds of keys may sign it, whether its issuer
 * is to be trusted, and the time right, is for a `Verifier` to say.
 *
 * @throws IdentityError `malformed_token`, `token_too_large`, `unsupported_token`, `bad_signature`, and as `parsePublicKey`
 */
export function decodeWascap(text: string): WascapToken {
  const { header, claims, signed, signature } = takeApart(text);
  const { typ, alg } = (header ?? {}) as { typ?: Json; alg?: Json };
  if (typeof typ !== 'string' || typ.toLowerCase() !== HEADER.typ || alg !== HEADER.alg) {
    throw new IdentityError('unsupported_token', `only tokens of the algorithm ${HEADER.alg} are read`);
  }
  const read = schema.safeParse(claims);
  if (!read.success) {
    const place = read.error.issues[0]?.path.join('.') ?? '';
    throw malformed(place === '' ? 'its claims are no object' : `its field ${place} is wrong`);
  }
  const kind = wascapKindOf(read.data.sub);
  for (const signer of read.data.wascap?.valid_signers ?? []) parsePublicKey(signer);
  if (!verify(read.data.iss, signed, signature)) {
    throw new IdentityError(
      'bad_signature',
      'the signature of this token is not that of its issuer: it is forged or damaged',
    );
  }
  return { kind, claims: read.data, text };
}

/**
 * Signs claims: sets `iss`, `iat` (now), `jti` (random), and keeps all other fields.
 *
 * @throws IdentityError `invalid_claims` for what {@link decodeWascap} would refuse
 */
export function encodeWascap(
  claims: Omit<WascapClaims, 'iss' | 'iat' | 'jti'> & { readonly sub: string },
  signer: KeyPair,
  { now = new Date() }: { now?: Date } = {},
): string {
  const { exp, iat: _iat, iss: _iss, jti: _jti, sub, nbf, ...rest } = claims as WascapClaims;
  const iat = Math.floor(now.getTime() / 1000);
  const whole = {
    exp: exp ?? undefined,
    jti: tokenId(),
    iat,
    iss: signer.publicKey,
    sub,
    nbf: nbf ?? undefined,
    ...rest,
  };
  if (!schema.safeParse(whole).success || signer.kind === 'curve') {
    throw new IdentityError('invalid_claims', 'this token cannot be written: a field of it is wrong');
  }
  wascapKindOf(sub);
  const base64Url = (value: object) => Buffer.from(goJson(value as Json)).toString('base64url');
  const signed = `${base64Url(HEADER)}.${base64Url(whole)}`;
  return `${signed}.${Buffer.from(signer.sign(Buffer.from(signed, 'latin1'))).toString('base64url')}`;
}

/**
 * What a token is about, by the key that is its subject.
 *
 * @throws IdentityError `malformed_token` for a key that there are no tokens for; as `parsePublicKey`
 */
export function wascapKindOf(subject: string): WascapKind {
  const { kind } = parsePublicKey(subject);
  if (kind in KINDS) return KINDS[kind as keyof typeof KINDS];
  throw malformed(`there are no tokens for keys of kind ${kind}`);
}

const ID_ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** 22 digits of base 62, as wascap's nuids. */
const tokenId = (): string =>
  Array.from({ length: 22 }, () => ID_ALPHABET[randomInt(ID_ALPHABET.length)]).join('');
