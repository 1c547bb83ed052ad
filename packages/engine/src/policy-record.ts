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

/** A key that requests over NATS are sealed to, or by which a backend signs; its seed is beside it. */
export interface TransitKey {
  /** Whose requests, or who signs. */
  readonly backend: string;
  /** `X…`; of one that signs `N…` */
  readonly publicKey: string;
  readonly createdAt: Date;
  /** Principal id. */
  readonly createdBy: string;
  /** Then no seed is kept. */
  readonly retiredAt?: Date;
}

/** What the manifest is over: each is a record of its own. */
export type PolicyRecord =
  | { readonly kind: 'grant'; readonly grant: Grant }
  | { readonly kind: 'token'; readonly token: StoredToken }
  | { readonly kind: 'revocation'; readonly revocation: Revocation }
  | { readonly kind: 'issued'; readonly issued: IssuedRecord }
  /** The seed's 32 bytes are in the record only on its way into the store or out of it. */
  | { readonly kind: 'transit-key'; readonly transitKey: TransitKey; readonly seed?: Uint8Array };

export const recordOf = (grant: Grant): PolicyRecord => ({ kind: 'grant', grant });

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
    case 'transit-key':
      return `${record.transitKey.backend} ${record.transitKey.publicKey}`;
  }
}

/** Equal for two revocations of the same. */
export const revokedName = ({ kind, value }: Pick<Revocation, 'kind' | 'value'>): string =>
  `${kind} ${value}`;

export const idOf = (record: PolicyRecord): string => `${record.kind} ${recordName(record)}`;

/** Between the JSON, which never has this byte, and what is no JSON: a seed, which is to be in no string. */
const END_OF_JSON = Buffer.of(0);

/** JSON, and of a transit key a zero byte and its seed behind it. The receiver wipes it. */
export function encodePolicyRecord(record: PolicyRecord): Buffer {
  if (record.kind !== 'transit-key') return Buffer.from(JSON.stringify(record));
  const { seed, ...rest } = record;
  const json = Buffer.from(JSON.stringify(rest));
  return seed ? Buffer.concat([json, END_OF_JSON, seed]) : json;
}

/** Reads what {@link encodePolicyRecord} wrote. A seed is a part of `plaintext` still, and is wiped with it. */
export function decodePolicyRecord(plaintext: Buffer): PolicyRecord {
  const end = plaintext.indexOf(END_OF_JSON);
  const json = end < 0 ? plaintext : plaintext.subarray(0, end);
  const record = JSON.parse(json.toString()) as PolicyRecord;
  switch (record.kind) {
    case 'token':
      return { kind: 'token', token: withDates(record.token) };
    case 'revocation': {
      const { revocation } = record;
      return { kind: 'revocation', revocation: { ...revocation, revokedAt: new Date(revocation.revokedAt) } };
    }
    case 'transit-key': {
      const transitKey = withTimes(record.transitKey);
      return { kind: 'transit-key', transitKey, ...(end >= 0 && { seed: plaintext.subarray(end + 1) }) };
    }
    default:
      return record;
  }
}

/** Without what is not to stay in memory. */
export const withoutSeed = (record: PolicyRecord): PolicyRecord =>
  record.kind === 'transit-key' ? { kind: 'transit-key', transitKey: record.transitKey } : record;

const withTimes = ({ createdAt, retiredAt, ...rest }: TransitKey): TransitKey => ({
  ...rest,
  createdAt: new Date(createdAt),
  ...(retiredAt && { retiredAt: new Date(retiredAt) }),
});

function withDates({ createdAt, expiresAt, revokedAt, ...rest }: StoredToken): StoredToken {
  return {
    ...rest,
    createdAt: new Date(createdAt),
    ...(expiresAt && { expiresAt: new Date(expiresAt) }),
    ...(revokedAt && { revokedAt: new Date(revokedAt) }),
  };
}
