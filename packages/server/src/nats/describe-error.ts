import { errors } from '@nats-io/transport-node';
import { credsSetting, type NatsUser } from '../config/nats.js';

/** Why NATS is not to be had, in words that say what to look at. Never a credential. */
export function describeNatsError(error: unknown, as: NatsUser = 'nats'): string {
  if (error instanceof errors.UserAuthenticationExpiredError) {
    return 'the NATS server says that our credentials have expired: make new ones, and put them into the same file';
  }
  if (isRefusal(error)) {
    const settings = as === 'system' ? '' : `, ${as}.nkey or the user in ${as}.servers`;
    return `the NATS server does not let us in (Authorization Violation): look at ${credsSetting(as)}${settings}`;
  }
  const { code, message } = (error ?? {}) as NodeJS.ErrnoException;
  if (message === undefined || message === '') return 'the connection ended before it was made';
  return code === undefined || message.includes(code) ? message : `${message} (${code})`;
}

/** The NATS server has looked at who comes, and does not let it in. */
export const isRefusal = (error: unknown): boolean => error instanceof errors.AuthorizationError;
