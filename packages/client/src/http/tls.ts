import type { SecureContext } from 'node:tls';
import type { Address } from '../address.js';
import { invalid } from '../errors.js';

/** As the options of a client have it. */
export interface TlsOptions {
  readonly ca?: string | Uint8Array | undefined;
  readonly cert?: string | Uint8Array | undefined;
  readonly key?: string | Uint8Array | undefined;
  readonly serverName?: string | undefined;
}

/**
 * What an agent takes, for all of its connections. The key is in OpenSSL's memory then: of one that it is given in PEM an agent would make
 * a part of the names of its connections.
 *
 * @throws CofferClientError `invalid_argument`
 */
export function tlsOptions({ ca, cert, key, serverName }: TlsOptions, { secure }: Address): object {
  if (!secure && (cert ?? key ?? serverName) !== undefined) {
    throw invalid('cert, key and serverName are for a server that is reached by https://');
  }
  if ((cert === undefined) !== (key === undefined)) throw invalid('cert and key go together');
  return {
    ...(serverName !== undefined && { servername: serverName }),
    ...(secure && (ca ?? cert) !== undefined && { secureContext: contextOf({ ca, cert, key }) }),
  };
}

function contextOf(options: TlsOptions): SecureContext {
  try {
    const given = Object.entries(options).map(([name, text]) => [name, pem(text)]);
    // Loaded here, since TLS costs some milliseconds that a program on the Unix socket need not pay.
    return process.getBuiltinModule('node:tls').createSecureContext(Object.fromEntries(given));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw invalid(`ca, cert and key take PEM, and the key must be that of the certificate (${code})`);
  }
}

/** OpenSSL takes buffers; this one shares its bytes with what was given. */
const pem = (text: string | Uint8Array | undefined) =>
  text instanceof Uint8Array ? Buffer.from(text.buffer, text.byteOffset, text.byteLength) : text;
