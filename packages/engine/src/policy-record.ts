import { type Grant, grantId } from './grant.js';

/** A bearer token as the store knows it: its hash, not the token. */
export interface StoredToken {
  readonly id: string;
  readonly name: string;
  /** SHA-256 of the whole token, hex. */
  readonly hash: string;
  readonly createdAt: Date;
  /** Principal id. */
  readonly createdBy: string;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
}

/** A signed token, or a key, that is believed no more, whoever signed for it. */
export interface Revocation {
  /** 16 hexadecimal digits. */
  readonly id: string;
  readonly kind: 'token' | 'key';
  /** The token's `jti`, or the public key (nkey). */
  readonly value: string;
  /** For people; empty if none was given. */
  readonly reason: string;
  readonly revokedAt: Date;
  /** Principal id. */
  readonly revokedBy: string;
}

/** The newest token of an operator's or an account's that was ever seen. */
export interface IssuedRecord {
  /** The operator's or account's public key. */
  readonly key: string;
  /** When the token was issued, in seconds since 1970. */
  readonly iat: number;
}

/** What the manifest is over: each is a record of its own. */
export type PolicyRecord =
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'token'; readonly token: StoredToken }
  | { readonly kind: 'revocation'; readonly revocation: Revocation }
  | { readonly kind: 'issued'; readonly issued: IssuedRecord };

/** What of a kind there is but one of each. */
export function recordName(record: PolicyRecord): string {
  switch (record.kind) {
    case 'grant':
      return grantId(record.grant);
    case 'token':
      return record.token.id;
    case 'revocation':
      return revokedName(record.revocation);
    case 'issued':
      return record.issued.key;
  }
}

/** Equal for two revocations of the same. */
export const revokedName = ({ kind, value }: Pick<Revocation, 'kind' | 'value'>): string =>
  `${kind} ${value}`;

export const idOf = (record: PolicyRecord): string => `${record.kind} ${recordName(record)}`;

export const encodePolicyRecord = (record: PolicyRecord): Buffer => Buffer.from(JSON.stringify(record));

export function decodePolicyRecord(plaintext: Buffer): PolicyRecord {
  const record = JSON.parse(plaintext.toString()) as PolicyRecord;
  if (record.kind === 'token') return { kind: 'token', token: withDates(record.token) };
  if (record.kind !== 'revocation') return record;
  const { revocation } = record;
  return {
    kind: 'revocation',
    revocation: { ...revocation, revokedAt: new Date(revocation.revokedAt) },
  };
}

function withDates({ createdAt, expiresAt, revokedAt, ...rest }: StoredToken): StoredToken {
  return {
    ...rest,
    createdAt: new Date(createdAt),
    ...(expiresAt && { expiresAt: new Date(expiresAt) }),
    ...(revokedAt && { revokedAt: new Date(revokedAt) }),
  };
}
