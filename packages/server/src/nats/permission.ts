import { errors } from '@nats-io/transport-node';

/** In a sentence, that NATS does not let us subscribe, where this is what an error says. */
export function whyNotSubscribed(error: unknown): string | undefined {
  const cause =
    error instanceof errors.PermissionViolationError ? error : (error as Error | undefined)?.cause;
  if (!(cause instanceof errors.PermissionViolationError) || cause.operation !== 'subscription')
    return undefined;
  const { subject, queue } = cause;
  const group = queue === undefined ? '' : ` in the queue group ${queue}`;
  return `these creds may not subscribe to ${subject}${group}: use those of the role backend, which "coffer wasmcloud permissions" makes`;
}
