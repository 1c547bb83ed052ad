import { setTimeout as wait } from 'node:timers/promises';

import { CofferError } from '../../errors.js';

/** What a commit is refused with. Nothing of it was, or will be, stored. */
export const overtaken = (): CofferError =>
  new CofferError('conflict', 'the record was changed by somebody else in the meantime');

export const unavailable = (reason: string): CofferError =>
  new CofferError(
    'unavailable',
    `the store in NATS JetStream cannot be changed now (${reason}): nothing was changed; ask again`,
  );

export const bucketFull = (): CofferError =>
  new CofferError(
    'storage_full',
    'the bucket in NATS JetStream is full: delete what is not needed, or give it more bytes (“nats stream edit KV_<bucket> --max-bytes …”)',
  );

/** It may be stored. */
export const doubtful = (reason: string): CofferError =>
  new CofferError(
    'in_doubt',
    `it is not known whether the change came true (${reason}): look at what is there, then repeat it if needed`,
  );

/** @throws what `promise` does; Error if it takes longer */
export async function timed(promise: Promise<void>, milliseconds: number): Promise<void> {
  const ending = new AbortController();
  const late = wait(milliseconds, undefined, { signal: ending.signal }).then(() => {
    throw new Error('the feed is too slow');
  });
  late.catch(() => {});
  promise.catch(() => {});
  try {
    await Promise.race([promise, late]);
  } finally {
    ending.abort();
  }
}
