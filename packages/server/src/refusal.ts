import { CofferError, type ErrorCode } from '@coffer/engine';

/** Why the door itself refuses, before the engine is asked. */
export type DoorCode =
  | 'unauthenticated'
  | 'proof_request'
  | 'bad_request'
  | 'invalid_method'
  | 'access_denied'
  | 'not_found'
  | 'too_large'
  | 'busy'
  | 'rate_limited';

/** A request that the door turns away. The message goes to the caller. */
export class Refusal extends Error {
  readonly code: DoorCode;
  /** Whole seconds, after which the same request may be let in. */
  readonly retryAfter: number | undefined;
  /** Nothing valid proved who asked. */
  readonly unknownCaller: boolean;

  constructor(
    code: DoorCode,
    message: string,
    {
      retryAfter,
      unknownCaller = code === 'unauthenticated' || code === 'proof_request',
    }: { retryAfter?: number; unknownCaller?: boolean } = {},
  ) {
    super(message);
    this.name = 'Refusal';
    this.code = code;
    this.retryAfter = retryAfter;
    this.unknownCaller = unknownCaller;
  }
}

/** What a refused caller gets to know. */
export interface Problem {
  readonly status: number;
  /** For programs: the header `Coffer-Error`. */
  readonly code: ErrorCode | DoorCode | 'internal';
  /** For people. */
  readonly message: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** The one place where errors become statuses. What is not listed is ours to answer for: 500. */
const STATUS: Partial<Record<ErrorCode | DoorCode, number>> = {
  bad_request: 400,
  invalid_method: 400,
  invalid_name: 400,
  name_too_long: 400,
  reserved_name: 400,
  invalid_version: 400,
  versions_exhausted: 400,
  active_version: 400,
  invalid_policy: 400,
  invalid_token_request: 400,
  invalid_argument: 400,
  unauthenticated: 401,
  proof_request: 401,
  access_denied: 403,
  not_found: 404,
  operation_reused: 409,
  policy_changed: 409,
  unfit_store: 409,
  conflict: 409,
  version_taken: 412,
  too_large: 413,
  value_too_large: 413,
  rate_limited: 429,
  busy: 503,
  storage_full: 503,
  stopped: 503,
  unavailable: 503,
  in_doubt: 503,
  stale: 503,
  store_alarm: 503,
};

/** The HTTP status that tells an error of this code. */
export const statusOf = (code: Problem['code']): number =>
  code === 'internal' ? 500 : (STATUS[code] ?? 500);

/** What a caller is told in place of sentences that name our disk and its folders, or our servers; the log has those. */
export const OUR_OWN: Partial<Record<ErrorCode | DoorCode, string>> = {
  storage_full: 'the server has no room to write; it goes on as soon as there is',
  stopped: 'the server is stopping',
  unavailable: 'the server cannot reach its store in NATS now, and nothing was changed: try again',
  in_doubt:
    'it could not be told whether the change came true: look, or send it again with the same operation id',
  stale:
    'the server has not heard from its store in NATS in time, and what it has is older than it may answer: try again, or ask ' +
    'another instance',
  store_alarm: 'the store has raised an alarm, and takes no change until an administrator has looked at it',
};

const CHALLENGE = { 'WWW-Authenticate': 'Bearer, Basic realm="coffer"' };
const RETRY_SOON = { 'Retry-After': '1' };

export function problemOf(error: unknown): Problem {
  if (!(error instanceof Refusal) && !(error instanceof CofferError)) return internalError('internal');
  const status = STATUS[error.code];
  if (status === undefined) return internalError(error.code);
  const headers = headersFor(status, error instanceof Refusal ? error.retryAfter : undefined);
  return { status, code: error.code, message: toldOf(error), headers };
}

/** Some sentences have one for callers beside them. */
function toldOf(error: Refusal | CofferError): string {
  const forCaller = error instanceof CofferError ? error.forCaller : undefined;
  return forCaller ?? OUR_OWN[error.code] ?? error.message;
}

function headersFor(status: number, retryAfter: number | undefined): Problem['headers'] {
  if (retryAfter !== undefined) return { 'Retry-After': String(retryAfter) };
  return status === 401 ? CHALLENGE : status === 503 ? RETRY_SOON : {};
}

/** Nothing about our own failures is for a caller to read; the log has them. */
function internalError(code: Problem['code']): Problem {
  return { status: 500, code, message: 'internal error', headers: {} };
}

/** The sentences that setec's clients know, byte for byte; other errors are told in our own words. */
const SETEC_TEXT: Partial<Record<Problem['code'], string>> = {
  access_denied: 'access denied',
  not_found: 'not found',
  version_taken: 'version already set',
  invalid_version: 'invalid version, please specify a version > 0',
};

export function setecText({ code, message }: Problem): string {
  return `${SETEC_TEXT[code] ?? message}\n`;
}
