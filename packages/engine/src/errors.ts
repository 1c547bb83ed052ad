/**
 * The one family of errors. Each has a stable `code` that programs match on, a sentence for a person that says
 * what to do, and never a secret value, a key or a token.
 */
export class CofferError extends Error {
  readonly code: ErrorCode;
  /** What a caller may be told in place of a message that is for who runs the server. */
  readonly forCaller: string | undefined;

  constructor(
    code: ErrorCode,
    message: string,
    { forCaller, ...options }: ErrorOptions & { readonly forCaller?: string } = {},
  ) {
    super(message, options);
    this.name = 'CofferError';
    this.code = code;
    this.forCaller = forCaller;
  }
}

/** An error of the operating system's as an `io` of ours; any other one as it is. */
export function systemError(error: unknown, sentence: string): unknown {
  const { syscall, message, code = '', path } = error as NodeJS.ErrnoException;
  if (error instanceof CofferError || syscall === undefined) return error;
  const reason = SYSTEM_REASONS[code];
  // Which file it is, unless the sentence says so.
  const where = path === undefined || sentence.includes(path) ? '' : ` (${path})`;
  return new CofferError('io', `${sentence}: ${reason === undefined ? message : reason + where}`, {
    cause: error,
  });
}

const SYSTEM_REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'it is not there',
  EACCES: 'permission denied',
  EISDIR: 'it is a folder',
  ENOTDIR: 'a part of its path is no folder',
  ENOSPC: 'no space left on the device',
};

/**
 * What went wrong, and whose concern it is:
 *
 * - the caller's input: `invalid_name`, `name_too_long`, `reserved_name`, `value_too_large`, `invalid_version`,
 *   `versions_exhausted`, `active_version` (it cannot be deleted), `operation_reused`, `invalid_policy`,
 *   `invalid_token_request`, `invalid_argument`;
 * - the caller's rights: `access_denied`;
 * - the state of things: `not_found`, `version_taken`, `policy_changed`, `conflict`;
 * - the machine: `busy` (too many at once), `storage_full` (goes on when there is room), `stopped` (the process is ending), `tampered`
 *   (a record fails authentication), `wrong_root_key`, `insecure_root_key`, `no_root_key`, `store_locked`,
 *   `newer_format`, `development_store`, `audit_broken`, `audit_rolled_back` and `store_rolled_back` (put back to an
 *   earlier state), `backup_broken`, `abandoned` (who asked went away), `io`;
 * - a store shared with other instances: `unavailable` (it cannot be reached: nothing was changed), `in_doubt` (it could not be
 *   told whether the change came true), `stale` (what is here is older than may be answered), `store_alarm` (nobody writes until a
 *   person has looked), `unfit_store` (the bucket or its servers are not what a store needs).
 */
export type ErrorCode =
  | 'invalid_name'
  | 'name_too_long'
  | 'reserved_name'
  | 'value_too_large'
  | 'invalid_version'
  | 'versions_exhausted'
  | 'active_version'
  | 'operation_reused'
  | 'invalid_policy'
  | 'invalid_token_request'
  | 'invalid_argument'
  | 'access_denied'
  | 'not_found'
  | 'version_taken'
  | 'policy_changed'
  | 'conflict'
  | 'busy'
  | 'storage_full'
  | 'stopped'
  | 'tampered'
  | 'wrong_root_key'
  | 'insecure_root_key'
  | 'no_root_key'
  | 'store_locked'
  | 'newer_format'
  | 'development_store'
  | 'audit_broken'
  | 'audit_rolled_back'
  | 'store_rolled_back'
  | 'backup_broken'
  | 'abandoned'
  | 'unavailable'
  | 'in_doubt'
  | 'stale'
  | 'store_alarm'
  | 'unfit_store'
  | 'io';
