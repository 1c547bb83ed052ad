import { CofferError } from '../../errors.js';
import { denialOf, GIVE_RIGHTS } from './rights.js';

/**
 * What nats.js says, as ours: the NATS user may not, or nobody answers.
 *
 * @param what was asked, for a person
 * @param end what follows from it, or is to be done
 * @returns an `unavailable`; what is ours already stays as it is
 */
export function noAnswer(cause: unknown, what = 'JetStream', end = ''): CofferError {
  if (cause instanceof CofferError) return cause;
  const denied = denialOf(cause);
  const why = denied
    ? `cannot be used (${denied}): ${GIVE_RIGHTS}`
    : `does not answer: ${(cause as Error).message}`;
  return new CofferError('unavailable', `${what} ${why}${end && `; ${end}`}`, { cause });
}

/** The same of a bucket that was to be looked at, or changed. */
export const noAnswerOf = (bucket: string, cause: unknown): CofferError =>
  noAnswer(cause, `the bucket ${bucket} in NATS JetStream`, 'nothing was changed');
