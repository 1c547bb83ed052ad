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

/** Whose room is used up: the bucket's own, by its limit; what the NATS account may have; the servers' disks. */
export type FullOf = 'bucket' | 'account' | 'servers';

/** What is known of the room where a change does not fit. */
export interface Filled {
  readonly bytes: number;
  /** -1 for no limit. */
  readonly maxBytes: number;
  /** Of a change that is refused. */
  readonly needed?: number | undefined;
}

/** @param filled how much of it is used, as far as that is known */
export function bucketFull(bucket: string, of: FullOf, filled: Filled | undefined): CofferError {
  const limit = filled && filled.maxBytes > 0 ? ` of ${mebibytes(filled.maxBytes)}` : '';
  const more = filled?.needed === undefined ? '' : `, and this needs ${mebibytes(filled.needed)}`;
  const used = filled ? ` (${mebibytes(filled.bytes)}${limit} are used${more}` : '';
  const operator = {
    bucket:
      `the bucket ${bucket} in NATS JetStream has no room${used && `${used}; some are kept for what makes room)`}: delete what is not ` +
      `needed, remove what heals have set aside (“coffer storage set-aside”), or give it more (“nats stream edit KV_${bucket} --max-bytes …”)`,
    account: `the NATS account of the bucket ${bucket}${used && `${used})`} has reached its limit of storage in JetStream: raise that, or remove other streams of this account`,
    servers: `the NATS servers have no room for the bucket ${bucket}${used && `${used})`}: make room on their disks, or raise max_file_store in their configuration`,
  };
  const callers = {
    bucket: `the store has no room${used && `${used})`}: delete what is not needed, or have its operator give it more`,
    account: 'the store has no room, since its NATS account has reached its limit: tell its operator',
    servers: 'the store has no room, since its NATS servers have none: tell its operator',
  };
  return new CofferError('storage_full', `${operator[of]}; nothing was changed`, {
    forCaller: `${callers[of]}; nothing was changed`,
  });
}

/** Rounded up: what is nearly full reads as full before it is. */
const mebibytes = (bytes: number): string => `${(Math.ceil((bytes / 1024 / 1024) * 10) / 10).toFixed(1)} MiB`;

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
