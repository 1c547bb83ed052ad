import { randomBytes } from 'node:crypto';

import { CofferError } from './errors.js';
import type { IssuedRecord, Revocation } from './policy-record.js';

/** What is to be believed no more: one token by its `jti`, or a key, with all tokens that are to it or were signed by it. */
export interface RevocationRequest {
  readonly jti?: string | undefined;
  /** A public nkey of any kind. */
  readonly key?: string | undefined;
  /** For people, up to 512 characters. */
  readonly reason?: string | undefined;
}

/** What of a revocation its caller decides. */
export type Revoked = Pick<Revocation, 'kind' | 'value' | 'reason'>;

/** nats-io/jwt makes 52 characters of base32, others may make anything printable; but a seed is none. */
const JTI = /^(?!S[A-Z2-7]{57}$)[\x21-\x7e]{1,128}$/;
/** A public nkey: a letter for its kind (`S` and `P` are for what is secret), and 55 more of base32. */
const PUBLIC_KEY = /^(?![SP])[A-Z2-7]{56}$/;
const REASON_LENGTH = 512;
const ID = /^[0-9a-f]{16}$/;

export const newRevocationId = (): string => randomBytes(8).toString('hex');

/**
 * What is given by mistake, such as a seed, is not answered, nor logged.
 *
 * @throws CofferError `invalid_argument`
 */
export function parseRevocation({ jti, key, reason = '' }: RevocationRequest): Revoked {
  if ((jti === undefined) === (key === undefined)) {
    throw new CofferError('invalid_argument', 'revoke either a token, by its jti, or a key');
  }
  if (jti !== undefined && !JTI.test(jti)) {
    throw new CofferError(
      'invalid_argument',
      "a token's jti is 1 to 128 printable ASCII characters without spaces: give that field of the token, not the token",
    );
  }
  if (key !== undefined && !isPublicKey(key)) {
    throw new CofferError(
      'invalid_argument',
      'a public key (nkey) has 56 characters, A to Z and 2 to 7, and begins with the letter of its kind, which is never S',
    );
  }
  if ([...reason].length > REASON_LENGTH || !reason.isWellFormed()) {
    throw new CofferError('invalid_argument', `a reason has up to ${REASON_LENGTH} characters of Unicode`);
  }
  return key === undefined
    ? { kind: 'token', value: jti as string, reason }
    : { kind: 'key', value: key, reason };
}

/** @throws CofferError `invalid_argument` */
export function checkRevocationId(id: string): void {
  if (ID.test(id)) return;
  throw new CofferError(
    'invalid_argument',
    "a revocation's id has 16 hexadecimal digits: see the list of revocations",
  );
}

export const isPublicKey = (text: string): boolean => PUBLIC_KEY.test(text);

/** How the audit log names it: its kind, its value, and the reason if there is one. */
export const revokedTarget = ({ kind, value, reason }: Revoked): string =>
  reason === '' ? `${kind} ${value}` : `${kind} ${value} ${reason}`;

/** Reads what {@link revokedTarget} wrote; undefined for anything else. */
export function revokedIn(target: string): Revoked | undefined {
  const [, kind, value = '', reason = ''] = /^(token|key) (\S+)(?: (.*))?$/su.exec(target) ?? [];
  try {
    if (kind === undefined) return undefined;
    return parseRevocation(kind === 'key' ? { key: value, reason } : { jti: value, reason });
  } catch {
    return undefined;
  }
}

export const issuedTarget = ({ key, iat }: IssuedRecord): string => `${key} ${iat}`;

/** Reads what {@link issuedTarget} wrote; undefined for anything else. */
export function issuedIn(target: string): IssuedRecord | undefined {
  const [, key = '', iat] = /^([A-Z2-7]{56}) (\d{1,12})$/.exec(target) ?? [];
  return isPublicKey(key) ? { key, iat: Number(iat) } : undefined;
}
