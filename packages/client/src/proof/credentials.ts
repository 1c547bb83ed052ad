import { createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto';
import { CofferClientError } from '../errors.js';
import { decodeUserSeed, encodeUserKey, wipeable } from './nkey.js';
import { noCreds } from './no-creds.js';

/** What stands before an Ed25519 seed in PKCS #8, as node:crypto takes it (RFC 8410, section 7). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const PUBLIC_KEY_BYTES = 32;

const DASHES = /^-{3}.*-{3}$/;
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/;

/**
 * A NATS user: its token, and its key in memory that {@link wipe} overwrites. Of what node:crypto makes of the key for
 * each signature, OpenSSL overwrites its own when it is collected.
 */
export class Credentials {
  readonly jwt: string;
  readonly #pkcs8: Buffer;
  #wiped = false;

  /**
   * Reads the content of a creds file: two blocks between lines of dashes, a user's token and its seed. (Source: nats-io/jwt
   * v2, `creds_utils.go`.)
   *
   * @param creds bytes stay the caller's to wipe; a text cannot be wiped
   * @throws CofferClientError `invalid_argument`, with nothing of the content in it
   */
  constructor(creds: Uint8Array | string) {
    const file = Buffer.from(creds);
    try {
      const [jwt, seed, ...more] = blocksOf(file);
      if (jwt === undefined || seed === undefined || more.length > 0) throw noCreds();
      this.jwt = jwt.toString('latin1');
      if (!TOKEN.test(this.jwt)) throw noCreds();
      const bytes = decodeUserSeed(seed);
      this.#pkcs8 = wipeable(PKCS8.length + bytes.length);
      this.#pkcs8.set(PKCS8);
      this.#pkcs8.set(bytes, PKCS8.length);
      bytes.fill(0);
    } finally {
      file.fill(0);
    }
    const spki = createPublicKey(this.#key()).export({ format: 'der', type: 'spki' });
    if (subjectOf(this.jwt) !== encodeUserKey(spki.subarray(-PUBLIC_KEY_BYTES))) {
      this.wipe();
      throw noCreds('the seed in it is not that of the user whose token is in it; make it anew');
    }
  }

  /**
   * The 64 bytes of an Ed25519 signature.
   *
   * @throws CofferClientError `closed` when the key is wiped
   */
  sign(message: Uint8Array): Buffer {
    if (this.#wiped) throw new CofferClientError('closed', 'the client is closed');
    return sign(null, message, this.#key());
  }

  wipe(): void {
    this.#pkcs8.fill(0);
    this.#wiped = true;
  }

  #key(): KeyObject {
    return createPrivateKey({ key: this.#pkcs8, format: 'der', type: 'pkcs8' });
  }
}

/** Lines between two of dashes, as bytes, so that the seed does not become a string. */
function blocksOf(file: Buffer): Buffer[] {
  const lines: Buffer[] = [];
  for (let start = 0; start <= file.length; ) {
    const newline = file.indexOf('\n', start);
    const end = newline < 0 ? file.length : newline;
    lines.push(file.subarray(start, file[end - 1] === 0x0d && end > start ? end - 1 : end));
    start = end + 1;
  }
  const isDashes = (line: Buffer | undefined) => line?.[0] === 0x2d && DASHES.test(line.toString('latin1'));
  return lines.filter(
    (line, at) => line.length > 0 && !isDashes(line) && isDashes(lines[at - 1]) && isDashes(lines[at + 1]),
  );
}

function subjectOf(jwt: string): unknown {
  try {
    return JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString()).sub;
  } catch {
    return undefined;
  }
}
