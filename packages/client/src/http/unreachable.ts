import type { Address } from '../address.js';
import { CofferClientError } from '../errors.js';
import type { ConnectionFailure } from './failures.js';

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

/** A failed connection in words for a person. */
export function unreachable(
  { code, lasts, message, cause }: ConnectionFailure,
  { display, secure }: Address,
): CofferClientError {
  if (code.startsWith('HPE_')) {
    return new CofferClientError(
      'bad_answer',
      `${display} does not answer in HTTP; is the address right, and does it need https://?`,
    );
  }
  if (lasts) {
    return new CofferClientError(
      'untrusted_server',
      `the certificate of ${display} is not to be trusted (${code}): trust the authority that ` +
        'signed it with the option ca, or write the address by a name that the certificate holds',
    );
  }
  const what = code.includes('ALERT')
    ? 'it refuses how this program speaks TLS; does it want a certificate, which the options cert and key give?'
    : secure && /^(EPROTO$|ERR_SSL)/.test(code)
      ? 'it does not speak TLS; is it http:// rather than https://?'
      : 'check that the server runs and that the address is right';
  const why = WHY[code] ?? (code || message);
  return new CofferClientError('unreachable', `cannot reach ${display} (${why}): ${what}`, { cause });
}
