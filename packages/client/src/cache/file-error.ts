import { CofferClientError } from '../errors.js';

/** What is told of a file: `bad_key`, `bad_cache` where that is what it is, else `bad_file`. */
export function fileError(what: string, cause: unknown): CofferClientError {
  const { code, message } = cause as NodeJS.ErrnoException;
  const ours = cause instanceof CofferClientError;
  return new CofferClientError(ours ? cause.code : 'bad_file', `${what}: ${ours ? message : code}`, {
    cause,
  });
}
