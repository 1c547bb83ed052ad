import sodium from 'sodium-native';
import { IdentityError } from '../errors.js';
import { base32Length, decodeBase32, encodeBase32 } from './base32.js';
import { crc16 } from './crc16.js';
import { wipeable } from './wipeable.js';

/**
 * The text form of NATS keys: base32 of the prefix, 32 bytes of key and a CRC-16/XMODEM, little-endian. A public
 * key has one prefix byte and shows its kind as its first letter; a seed has two, the first five bits being `S`,
 * and shows its kind as its second letter.
 *
 * Source of the format: nats-io/nkeys.
 */

/** The five-bit values of the letters A, C, M, N, O, U, V and X that public keys start with. */
const PREFIX = {
  account: 0,
  cluster: 2,
  component: 12,
  server: 13,
  operator: 14,
  user: 20,
  provider: 21,
  curve: 23,
} as const;
const SEED_PREFIX = 18;

/** What a key stands for. All but `curve` (X25519) are Ed25519 keys. */
export type KeyKind = keyof typeof PREFIX;

/** A public key as `parsePublicKey` found it. */
export interface PublicKey {
  readonly kind: KeyKind;
  /** The 32 bytes of the key itself. */
  readonly bytes: Uint8Array;
}

/** A seed as `decodeSeed` found it. */
export interface Seed {
  readonly kind: KeyKind;
  /** The 32 secret bytes; the receiver wipes them. */
  readonly bytes: Buffer;
}

export const KEY_BYTES = 32;
/** Characters of every public key. */
export const PUBLIC_KEY_LENGTH = 56;
/** Characters of every seed. */
export const SEED_LENGTH = 58;

const KIND_OF_PREFIX: ReadonlyMap<number, KeyKind> = new Map(
  Object.entries(PREFIX).map(([kind, n]) => [n, kind as KeyKind]),
);
const CHECKSUM_BYTES = 2;

/** Writes 32 key bytes as a public key of `kind`, such as `N…` for a server. */
export function encodePublicKey(kind: KeyKind, bytes: Uint8Array): string {
  const out = new Uint8Array(PUBLIC_KEY_LENGTH);
  encode([PREFIX[kind] << 3], bytes, out);
  return new TextDecoder().decode(out);
}

/**
 * Reads a public key. It must be the one canonical text of its bytes: exactly 56 upper-case base32 characters
 * with a matching checksum.
 *
 * @throws IdentityError `malformed_key`, `key_checksum`; `wrong_key_kind` for a seed or a private key.
 */
export function parsePublicKey(text: string): PublicKey {
  refuseSecretText(text);
  const raw = Buffer.alloc(1 + KEY_BYTES + CHECKSUM_BYTES);
  decode(
    new TextEncoder().encode(text),
    raw,
    `a public key has exactly ${PUBLIC_KEY_LENGTH} base32 characters`,
  );
  return { kind: kindOfPrefix(raw[0] as number), bytes: new Uint8Array(raw.subarray(1, 1 + KEY_BYTES)) };
}

/** Writes 32 secret bytes as a seed of `kind`: 58 ASCII characters, for the caller to wipe. */
export function encodeSeed(kind: KeyKind, bytes: Uint8Array): Buffer {
  const prefix = PREFIX[kind] << 3;
  const out = wipeable(SEED_LENGTH);
  encode([(SEED_PREFIX << 3) | (prefix >> 5), (prefix & 31) << 3], bytes, out);
  return out;
}

/**
 * Reads a seed from its ASCII characters.
 *
 * @throws IdentityError `malformed_key`, `key_checksum`; `wrong_key_kind` for anything but a seed.
 */
export function decodeSeed(characters: Uint8Array): Seed {
  const raw = wipeable(2 + KEY_BYTES + CHECKSUM_BYTES);
  try {
    decode(characters, raw, `a seed has exactly ${SEED_LENGTH} base32 characters and starts with S`);
    const [first, second] = raw as unknown as [number, number];
    if (first >> 3 !== SEED_PREFIX)
      throw new IdentityError('wrong_key_kind', 'this key is no seed; a seed starts with S');
    if ((second & 7) !== 0)
      throw new IdentityError('malformed_key', 'this seed has stray bits in its prefix');
    const kind = kindOfPrefix(((first & 7) << 5) | (second >> 3));
    const bytes = wipeable(KEY_BYTES);
    raw.copy(bytes, 0, 2, 2 + KEY_BYTES);
    return { kind, bytes };
  } finally {
    sodium.sodium_memzero(raw);
  }
}

function encode(prefix: readonly number[], bytes: Uint8Array, out: Uint8Array): void {
  if (bytes.length !== KEY_BYTES)
    throw new IdentityError('malformed_key', `a key has exactly ${KEY_BYTES} bytes`);
  const checked = prefix.length + KEY_BYTES;
  const raw = wipeable(checked + CHECKSUM_BYTES);
  try {
    raw.set(prefix);
    raw.set(bytes, prefix.length);
    raw.writeUInt16LE(crc16(raw.subarray(0, checked)), checked);
    encodeBase32(raw, out);
  } finally {
    sodium.sodium_memzero(raw);
  }
}

/** Decodes `characters` into all of `raw` and checks the checksum at its end. */
function decode(characters: Uint8Array, raw: Buffer, form: string): void {
  if (characters.length !== base32Length(raw.length)) throw new IdentityError('malformed_key', form);
  if (!decodeBase32(characters, raw)) {
    throw new IdentityError('malformed_key', `${form}: A to Z in upper case and 2 to 7, no bits left over`);
  }
  const checked = raw.length - CHECKSUM_BYTES;
  if (raw.readUInt16LE(checked) !== crc16(raw.subarray(0, checked))) {
    throw new IdentityError(
      'key_checksum',
      'the checksum of this key does not match: it is mistyped or damaged',
    );
  }
}

function kindOfPrefix(prefix: number): KeyKind {
  const kind = (prefix & 7) === 0 ? KIND_OF_PREFIX.get(prefix >> 3) : undefined;
  if (kind === undefined) throw new IdentityError('malformed_key', 'this key is of no known kind');
  return kind;
}

/** Both are longer than a public key, so that only the sentence differs: it should warn rather than count. */
function refuseSecretText(text: string): void {
  if (text.startsWith('S') && text.length === SEED_LENGTH) {
    throw new IdentityError('wrong_key_kind', 'this is a seed, which is secret; give the public key instead');
  }
  if (text.startsWith('P') && text.length > PUBLIC_KEY_LENGTH) {
    throw new IdentityError(
      'wrong_key_kind',
      'this is a private key, which is secret; give the public key instead',
    );
  }
}
