import { IdentityError } from '../errors.js';
import { publicKeyOf } from '../keys/key-pair.js';
import { SEED_LENGTH } from '../keys/nkey.js';
import { wipeable } from '../keys/wipeable.js';
import { decodeJwt, decodeUser } from './jwt.js';

/**
 * Creds files: a user's token and the seed of its key, each between two lines of dashes.
 *
 * Source of the format: nats-io/jwt v2 (`creds_utils.go`); five dashes at BEGIN, six at END.
 */

/** The content of a creds file. */
export interface Creds {
  readonly jwt: string;
  /** The seed's 58 ASCII characters; the receiver wipes them. */
  readonly seed: Uint8Array;
}

/** No creds file is larger; a user's token has some hundred bytes. */
const CREDS_BYTES = 1024 * 1024;

/**
 * Reads a creds file. Its token and its seed are only told apart from other text here: `decodeUser` and `keyPairFromSeed` read
 * them.
 *
 * @param file its bytes, which stay the caller's to wipe
 * @throws IdentityError `malformed_creds`
 */
export function parseCreds(file: Uint8Array): Creds {
  if (file.length > CREDS_BYTES) throw malformedCreds();
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  const [jwt, seed, ...more] = blocksOf(bytes);
  if (jwt === undefined || seed === undefined || more.length > 0) throw malformedCreds();
  if (seed.length !== SEED_LENGTH || !bytes.subarray(seed.start).toString('latin1', 0, 2).startsWith('SU')) {
    throw malformedCreds();
  }
  const own = wipeable(SEED_LENGTH);
  bytes.copy(own, 0, seed.start, seed.start + seed.length);
  return { jwt: bytes.toString('latin1', jwt.start, jwt.start + jwt.length), seed: own };
}

/**
 * The token in a file that may hold it bare or, as nsc writes it for people to pass on, between lines of dashes; of a creds
 * file its token. What it is, `decodeJwt` says.
 */
export function tokenIn(file: Uint8Array): string {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.length);
  const [block] = blocksOf(bytes);
  const { start, length } = block ?? { start: 0, length: bytes.length };
  return bytes.toString('latin1', start, start + length).trim();
}

/** A token between lines of dashes, as nsc writes it for people to pass on. */
export function decorateToken(jwt: string): string {
  const kind = decodeJwt(jwt).kind.toUpperCase();
  return `-----BEGIN NATS ${kind} JWT-----\n${jwt}\n------END NATS ${kind} JWT------\n\n`;
}

/** Where the content of each block is: found by its lines, so that the seed need not become a string. */
function blocksOf(bytes: Buffer): { readonly start: number; readonly length: number }[] {
  const lines: { readonly start: number; readonly length: number; readonly dashes: boolean }[] = [];
  for (let start = 0; start < bytes.length; ) {
    const newline = bytes.indexOf(0x0a, start);
    const end = newline < 0 ? bytes.length : newline;
    const length = end - start - (end > start && bytes[end - 1] === 0x0d ? 1 : 0);
    lines.push({ start, length, dashes: isDashes(bytes.subarray(start, start + length)) });
    start = end + 1;
  }
  return lines.filter(
    ({ dashes, length }, at) => !dashes && length > 0 && lines[at - 1]?.dashes && lines[at + 1]?.dashes,
  );
}

/** Begins and ends with three dashes at least. */
function isDashes(line: Buffer): boolean {
  const dash = (at: number) => line.at(at) === 0x2d;
  return line.length >= 6 && [0, 1, 2, -1, -2, -3].every(dash);
}

/**
 * Writes a creds file, byte for byte as nsc does.
 *
 * @returns its bytes, which the receiver wipes when they are written
 * @throws IdentityError `malformed_creds` if the seed is not that of the token's user; as `decodeUser`
 */
export function formatCreds(jwt: string, seed: Uint8Array): Uint8Array {
  if (publicKeyOf(seed) !== decodeUser(jwt).claims.sub) {
    throw new IdentityError('malformed_creds', 'this seed is not that of the user whose token this is');
  }
  const before = Buffer.from(`${decorateToken(jwt)}${WARNING}-----BEGIN USER NKEY SEED-----\n`);
  const after = Buffer.from(`\n------END USER NKEY SEED------\n\n${STARS}\n`);
  const file = wipeable(before.length + seed.length + after.length);
  file.set(before);
  file.set(seed, before.length);
  file.set(after, before.length + seed.length);
  return file;
}

const STARS = '*'.repeat(61);
const WARNING =
  `${'*'.repeat(25)} IMPORTANT ${'*'.repeat(25)}\n` +
  'NKEY Seed printed below can be used to sign and prove identity.\n' +
  'NKEYs are sensitive and should be treated as secrets.\n\n';

const malformedCreds = (): IdentityError =>
  new IdentityError(
    'malformed_creds',
    'this is no creds file: it has a user’s token and a user’s seed, each between lines of dashes',
  );
