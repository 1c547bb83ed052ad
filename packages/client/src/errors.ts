/**
 * What every call of this package fails with. `code` is stable, so that programs can match on it; the message is
 * a sentence for a person that says what to do. Neither ever holds a secret's value or a token.
 */
export class CofferClientError extends Error {
  readonly code: ClientErrorCode;
  /** The HTTP status, when the server answered at all. */
  declare readonly status?: number;
  /** How the server's log names the request, when a coffer server refused it. */
  declare readonly requestId?: string;
  readonly #thrown: unknown;

  constructor(
    code: ClientErrorCode,
    message: string,
    options: ErrorOptions & { status?: number; requestId?: string | undefined; thrown?: unknown } = {},
  ) {
    super(message, options);
    this.name = 'CofferClientError';
    this.code = code;
    this.#thrown = options.thrown;
    const { status, requestId } = options;
    // What there is not is not printed either.
    Object.assign(this, status !== undefined && { status }, requestId !== undefined && { requestId });
  }

  /**
   * What the program's own code threw: a function that builds, parses, listens or gives a token. It may quote a secret, as the errors of
   * `new URL` do. So it is no `cause`, which `console.log`, loggers and the end of a process print.
   */
  get thrown(): unknown {
    return this.#thrown;
  }
}

/** For what a caller gave that cannot be. */
export const invalid = (message: string): CofferClientError =>
  new CofferClientError('invalid_argument', message);

/**
 * What went wrong:
 *
 * - before anything was sent: `invalid_argument`, `invalid_version`, `undeclared` (a name that a store was not told of), `closed`;
 * - of a store whose signal ended its opening: `not_opened`;
 * - no credential: `no_token` (the function that gives it failed);
 * - no answer: `unreachable`, `untrusted_server` (its certificate), `timeout`;
 * - an answer that cannot be one of coffer's: `bad_answer`, `answer_too_large`, `unexpected_status`, or `unsupported`: the
 *   server is setec's or too old for what was asked;
 * - of values that are there: `not_text`, `bad_fields`, `bad_cache`, `bad_file`, `bad_key` (of an encrypted cache);
 * - of a program's own callbacks: `update_failed`, `listener_failed`, with what they threw as {@link CofferClientError.thrown};
 * - a refusal: the server's own code from its `Coffer-Error` header (`access_denied`, `not_found`,
 *   `version_taken`, `unauthenticated`, `value_too_large`, `storage_full`, …; of a store that several instances share also `stale`
 *   (it is too long ago that the instance heard of the store), `unavailable` (the store cannot be reached; nothing was changed), `in_doubt`
 *   (it is not known whether the change came true: repeat it with the same `operation`) and `store_alarm`). A server that sends none, as setec
 *   does, is read by status: 400 `bad_request`, 403 with its text `access denied` `access_denied`, 404 `not_found`,
 *   412 `version_taken`, 413 `too_large`, 429 `rate_limited`, 503 `busy`, other 5xx `internal`. Another 401 or 403 is that of something
 *   between you and the server: `unexpected_status`.
 */
export type ClientErrorCode =
  | 'invalid_argument'
  | 'invalid_version'
  | 'undeclared'
  | 'not_opened'
  | 'closed'
  | 'no_token'
  | 'unreachable'
  | 'untrusted_server'
  | 'timeout'
  | 'bad_answer'
  | 'answer_too_large'
  | 'unexpected_status'
  | 'unsupported'
  | 'not_text'
  | 'bad_fields'
  | 'bad_cache'
  | 'bad_file'
  | 'bad_key'
  | 'update_failed'
  | 'listener_failed'
  | 'bad_request'
  | 'unauthenticated'
  | 'access_denied'
  | 'not_found'
  | 'version_taken'
  | 'too_large'
  | 'rate_limited'
  | 'busy'
  | 'stopped'
  | 'stale'
  | 'unavailable'
  | 'in_doubt'
  | 'store_alarm'
  | 'internal'
  | (string & {});
