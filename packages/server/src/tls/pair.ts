import { createPrivateKey, type KeyObject, constants as openssl, X509Certificate } from 'node:crypto';
import type { Stats } from 'node:fs';
import { constants, type FileHandle, open } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { CofferError } from '@coffer/engine';

/** Where the certificate and its key are: PEM files. */
export interface TlsFiles {
  /** The certificate, and behind it the authorities between it and one that clients trust. */
  readonly cert: string;
  readonly key: string;
}

/** A certificate and the key that belongs to it, both as they stand in their files. */
export interface TlsPair {
  readonly cert: Buffer;
  /** Whoever used it wipes it. */
  readonly key: Buffer;
  readonly validTo: Date;
  /** Of the certificate: SHA-256, as OpenSSL writes it. */
  readonly fingerprint: string;
  /** How long before its end a person should hear of it, in milliseconds. */
  readonly notice: number;
}

/**
 * TLS 1.3, and of TLS 1.2 what has forward secrecy and authenticated encryption: Mozilla's "intermediate" list (5.7)
 * without finite-field Diffie-Hellman, for which node would need parameters.
 */
const CIPHERS = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
].join(':');

/** How the pair is shown to clients. */
export function secureContext({ cert, key }: Pick<TlsPair, 'cert' | 'key'>): SecureContextOptions {
  return {
    cert,
    key,
    minVersion: 'TLSv1.2',
    ciphers: CIPHERS,
    // All of them are good, so that a client without AES in hardware may choose.
    honorCipherOrder: false,
    // A client could make the server do one key exchange after the other.
    secureOptions: openssl.SSL_OP_NO_RENEGOTIATION,
  };
}

/** No certificate chain and no key is nearly as large. */
const MAX_FILE_BYTES = 1024 * 1024;
const DAY = 24 * 60 * 60 * 1000;
const LONGEST_NOTICE = 14 * DAY;

/**
 * Reads both files, and checks that they belong together and are valid at `now`.
 *
 * @throws CofferError `invalid_argument`, one sentence that names the file and what to do.
 */
export async function readTlsPair({ cert, key }: TlsFiles, now: Date): Promise<TlsPair> {
  const certPem = await readPem('TLS certificate', cert);
  const keyPem = await readPem('TLS key', key, refuseReadableKey);
  try {
    const certificate = parseCertificate(cert, certPem);
    const privateKey = parseKey(key, keyPem);
    if (!certificate.checkPrivateKey(privateKey)) {
      throw refuse(`the TLS key ${key} does not belong to the certificate ${cert}`);
    }
    const pair = { cert: certPem, key: keyPem, ...validity(cert, certificate, now) };
    checkUsable(cert, pair);
    return pair;
  } catch (error) {
    keyPem.fill(0);
    throw error;
  }
}

async function readPem(
  what: string,
  path: string,
  check?: (path: string, stats: Stats) => void,
): Promise<Buffer> {
  let handle: FileHandle | undefined;
  try {
    // Without O_NONBLOCK a pipe that nobody writes to would hold up the start.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat();
    if (!stats.isFile()) throw refuse(`the ${what} ${path} is no file`);
    if (stats.size > MAX_FILE_BYTES) throw refuse(`the ${what} ${path} is too large to be one`);
    check?.(path, stats);
    return await handle.readFile();
  } catch (error) {
    if (error instanceof CofferError) throw error;
    const { code } = error as NodeJS.ErrnoException;
    throw refuse(
      `the ${what} ${path} ${code === 'ENOENT' ? 'is not there: name a PEM file' : `cannot be read (${code})`}`,
    );
  } finally {
    await handle?.close();
  }
}

/** A group may read it, since that is how certificates are shared with services; others may not, nor may a group write. */
function refuseReadableKey(path: string, { mode }: Stats): void {
  if ((mode & 0o027) === 0) return;
  throw refuse(
    `the TLS key ${path} can be read or changed by others (mode ${(mode & 0o777).toString(8)}): chmod 600 it`,
  );
}

function parseCertificate(path: string, pem: Buffer): X509Certificate {
  if (!pem.includes('-----BEGIN CERTIFICATE-----'))
    throw refuse(`the file ${path} holds no certificate in PEM`);
  try {
    return new X509Certificate(pem);
  } catch (cause) {
    throw refuse(`the TLS certificate ${path} is damaged, or is none`, cause);
  }
}

function parseKey(path: string, pem: Buffer): KeyObject {
  try {
    return createPrivateKey(pem);
  } catch (cause) {
    throw pem.includes('ENCRYPTED')
      ? refuse(`the TLS key ${path} is encrypted, which is not supported: decrypt it with "openssl pkey"`)
      : refuse(`the file ${path} holds no private key in PEM`, cause);
  }
}

function validity(
  path: string,
  certificate: X509Certificate,
  now: Date,
): Pick<TlsPair, 'validTo' | 'fingerprint' | 'notice'> {
  const validFrom = new Date(certificate.validFrom);
  const validTo = new Date(certificate.validTo);
  if (validTo <= now) {
    throw refuse(`the TLS certificate ${path} expired on ${day(validTo)}: get a new one`);
  }
  if (validFrom > now) {
    throw refuse(`the TLS certificate ${path} is not valid before ${validFrom.toISOString()}`);
  }
  // One of a few days is renewed in its last third or so.
  const notice = Math.min(LONGEST_NOTICE, (validTo.getTime() - validFrom.getTime()) / 4);
  return { validTo, fingerprint: certificate.fingerprint256, notice };
}

/** OpenSSL has the last word: on keys that are too weak for it, and on the rest of the chain. */
function checkUsable(path: string, pair: TlsPair): void {
  try {
    createSecureContext(secureContext(pair));
  } catch (cause) {
    const { message } = cause as Error;
    throw refuse(`the TLS certificate ${path} cannot be used: ${message}`, cause);
  }
}

/** The date alone, as people write it. */
export function day(date: Date): string {
  return date.toISOString().slice(0, 10);
}

function refuse(message: string, cause?: unknown): CofferError {
  return new CofferError('invalid_argument', message, { cause });
}
