import type { IncomingHttpHeaders } from 'node:http';
import { CofferClientError } from '../errors.js';
import { clean } from './clean.js';
import type { Answer } from './open-answer.js';
import type { Transport } from './transport.js';

/** What a call was about, for the sentence that a person reads when it is refused. */
export interface Subject {
  readonly action: string;
  readonly name?: string;
  readonly version?: number | undefined;
}

const BY_STATUS: Record<number, string> = {
  400: 'bad_request',
  403: 'access_denied',
  404: 'not_found',
  412: 'version_taken',
  413: 'too_large',
  429: 'rate_limited',
  503: 'busy',
};
const CODE = /^[a-z][a-z0-9_]{0,63}$/;
const UNKNOWN = 'the server does not know you: ';
const GIVE_ANY =
  'no credential was given: give the option token or creds, or set COFFER_TOKEN, COFFER_TOKEN_FILE or COFFER_CREDS for Client.fromEnv';
const GIVE_A_TOKEN = 'give a token that is valid, not expired and not revoked';

/** Reads an answer that is no success: coffer's, setec's, or that of something else that listens there. */
export function refusal(
  { status, headers, body }: Answer,
  subject: Subject,
  { address, identified }: Pick<Transport, 'address' | 'identified'>,
): CofferClientError {
  const declared = CODE.exec(String(headers['coffer-error'] ?? ''))?.[0];
  const type = headers['content-type'] ?? '';
  const json = type.startsWith('application/json');
  const said = json ? messageOf(body) : clean(body);
  // Caches forget what is refused: a page of something in between is no refusal. setec knows but one.
  const refuses = status === 401 || (status === 403 && said !== 'access denied');
  if (!declared && (refuses || !type.startsWith('text/plain'))) {
    const hint = status === 401 || status === 403 ? 'does something in between refuse you, or ' : '';
    return new CofferClientError(
      'unexpected_status',
      `${address.display} answered with status ${status}, not as a coffer server would; ${hint}is the address right?`,
      { status },
    );
  }
  const code = declared ?? BY_STATUS[status] ?? (status >= 500 ? 'internal' : 'unexpected_status');
  // Of creds coffer says what is wrong with them; of nothing and of tokens, for people with curl, what to send.
  const general = /^$|^unable to identify/.test(said);
  const why = identified ? (general ? GIVE_A_TOKEN : said) : GIVE_ANY;
  const message =
    code === 'unauthenticated' ? UNKNOWN + why : (json && said) || sentence(code, subject, said, status);
  const requestId = requestIdOf(headers);
  const hint =
    status === 500 && requestId
      ? ` (the server's log has the reason, with request ${requestId})`
      : code === 'invalid_method' && address.basePath
        ? `; is the path in ${address.display} right?`
        : '';
  return new CofferClientError(code, message + hint, { status, requestId });
}

function requestIdOf(headers: IncomingHttpHeaders): string | undefined {
  const id = headers['coffer-request-id'];
  return typeof id === 'string' && /^[0-9a-z-]{1,64}$/.test(id) ? id : undefined;
}

/** What a person reads of a refusal. `text` is for what has no sentence of its own. */
export function sentence(code: string, subject: Subject, text: string, status = 0): string {
  const secret = subject.name === undefined ? 'that' : JSON.stringify(subject.name);
  switch (code) {
    case 'access_denied':
      return `access denied: no grant allows you to ${subject.action} ${secret}; ask an administrator for one`;
    case 'not_found':
      return subject.version === undefined
        ? `not found: there is no secret ${secret}`
        : `not found: there is no version ${subject.version} of a secret ${secret}`;
    case 'version_taken':
      return `version already set: number ${subject.version} of ${secret} is or was in use, choose a higher one`;
    default:
      return text || `the server answered with status ${status}`;
  }
}

function messageOf(body: Uint8Array): string {
  try {
    const { message } = JSON.parse(Buffer.from(body).toString('utf8')) as { message?: unknown };
    return typeof message === 'string' ? clean(Buffer.from(message)) : '';
  } catch {
    return '';
  }
}
