import { jetstream } from '@nats-io/jetstream';
import { errors, type NatsConnection } from '@nats-io/nats-core';

import { CofferError } from '../../errors.js';
import type { Layout } from './layout.js';

/** No stream has this name, which ends with what none may: whatever takes the subject refuses the message. */
const NOBODY = 'none of them.';

/**
 * Whether the NATS user may publish to a subject. What is sent to see it says for which stream it is, and there is none of that name:
 * so nothing is stored, whether a stream takes the subject or not.
 *
 * @returns false if the server says so; true also where nobody answers
 */
export async function mayPublish(
  connection: NatsConnection,
  subject: string,
  timeoutMs: number,
): Promise<boolean> {
  try {
    await jetstream(connection, { timeout: timeoutMs }).publish(subject, '', {
      expect: { streamName: NOBODY },
    });
  } catch (error) {
    return denialOf(error) === undefined;
  }
  return true;
}

/**
 * The same of a subscription, which is ended at once. @throws Error where nobody answers
 */
export async function maySubscribe(connection: NatsConnection, subject: string): Promise<boolean> {
  let isDenied = false;
  const callback = (error: Error | null) => {
    isDenied ||= denialOf(error) !== undefined;
  };
  const subscription = connection.subscribe(subject, { callback });
  // The server answers in the order in which it is asked.
  await connection.flush();
  subscription.unsubscribe();
  return !isDenied;
}

/** What the server says of a subject that the NATS user may not use, if this is what an error says; requests have it as a cause. */
export function denialOf(error: unknown): string | undefined {
  const denied = [error, (error as Error | undefined)?.cause];
  return denied.find((one) => one instanceof errors.PermissionViolationError)?.message;
}

export const GIVE_RIGHTS = 'give the user the permissions that docs/scale.md has for it';

/** @throws CofferError `unfit_store` if the NATS user may not write into the bucket */
export async function requireRights(
  connection: NatsConnection,
  layout: Layout,
  timeoutMs: number,
): Promise<void> {
  if (await mayPublish(connection, layout.meta, timeoutMs)) return;
  throw new CofferError(
    'unfit_store',
    `the NATS user may not publish to ${layout.all}: look at storage.bucket, or ${GIVE_RIGHTS}; nothing was changed`,
  );
}
