import { CofferClientError } from '../errors.js';
import type { Address } from './address.js';

/** The connection failed. `reached`: the server may have got the request, and done what it says. */
export class ConnectionFailure extends Error {
  readonly reached: boolean;

  constructor(cause: Error, reached: boolean) {
    super(cause.message, { cause });
    this.reached = reached;
  }
}

const WHY: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  ENOENT: 'no such socket',
  EACCES: 'permission denied',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'the connection timed out',
};

/** What an error of node's means: that the connection failed, or what no repetition helps against. */
export function classify(
  error: NodeJS.ErrnoException,
  { display }: Address,
  reached: boolean,
): CofferClientError | ConnectionFailure {
  if (error instanceof CofferClientError) return error;
  const { code = '' } = error;
  if (code.startsWith('HPE_')) {
    return new CofferClientError(
      'bad_answer',
      `${display} does not answer in HTTP; is the address right, and does it need https://?`,
    );
  }
  // An alert is the server's, who wants a certificate of ours.
  if (!code.includes('ALERT') && /CERT|UNABLE_TO_|ISSUER|CRL|HOSTNAME_MISMATCH/.test(code)) {
    return new CofferClientError(
      'untrusted_server',
      `the certificate of ${display} is not to be trusted (${code}): trust the authority that ` +
        'signed it with the option ca, or write the address by a name that the certificate holds',
    );
  }
  return new ConnectionFailure(error, reached);
}

export function unreachable(failure: ConnectionFailure, { display, secure }: Address): CofferClientError {
  const { code = '', message } = failure.cause as NodeJS.ErrnoException;
  const what = code.includes('ALERT')
    ? 'it refuses how this program speaks TLS; does it want a certificate, which the options cert and key give?'
    : secure && /^(EPROTO$|ERR_SSL)/.test(code)
      ? 'it does not speak TLS; is it http:// rather than https://?'
      : 'check that the server runs and that the address is right';
  const why = WHY[code] ?? (code || message);
  return new CofferClientError('unreachable', `cannot reach ${display} (${why}): ${what}`, {
    cause: failure.cause,
  });
}

export function clientClosed(): CofferClientError {
  return new CofferClientError('closed', 'the client is closed');
}
