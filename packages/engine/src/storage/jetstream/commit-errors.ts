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
  /** Of {@link maxBytes}, kept for what makes room, and for what the instances tell each other. */
  readonly kept: number;
}

/**
 * @param bucket where it is known
 * @param filled how much of it is used, as far as that is known
 * @param needed by the change that is refused, as far as that is known
 */
export function bucketFull(
  bucket: string | undefined,
  of: FullOf,
  filled?: Filled,
  needed?: number,
): CofferError {
  const isLimited = filled !== undefined && filled.maxBytes > 0;
  const used =
    filled && `${amount(filled.bytes)}${isLimited ? ` of ${amount(filled.maxBytes)}` : ''} are used`;
  const kept = isLimited && of === 'bucket' && `the last ${amount(filled.kept)} are kept for what makes room`;
  const needs = needed !== undefined && `this needs ${amount(needed)}`;
  const said = [used, kept, needs].filter(Boolean).join(', ');
  const how = said && ` (${said})`;
  const the = `the bucket${bucket === undefined ? '' : ` ${bucket}`}`;
  const operator = {
    bucket:
      `${the} in NATS JetStream has no room${how}: delete what is not needed, remove what heals have set aside (“coffer ` +
      `storage set-aside”), or give it more (“nats stream edit KV_${bucket ?? '<bucket>'} --max-bytes …”)`,
    account: `the NATS account of ${the} has reached its limit of storage in JetStream${how}: raise that, or remove other streams of this account`,
    servers: `the NATS servers have no room for ${the}${how}: make room on their disks, or raise max_file_store in their configuration`,
  };
  const callers = {
    bucket: `the store has no room${how}: delete what is not needed, or have its operator give it more`,
    account: 'the store has no room, since its NATS account has reached its limit: tell its operator',
    servers: 'the store has no room, since its NATS servers have none: tell its operator',
  };
  return new CofferError('storage_full', operator[of], { forCaller: `${callers[of]}; nothing was changed` });
}

/** Rounded up: what is nearly full reads as full before it is. */
const amount = (bytes: number): string =>
  bytes < MIB ? `${Math.ceil(bytes / 1024)} KiB` : `${(Math.ceil((bytes / MIB) * 10) / 10).toFixed(1)} MiB`;

const MIB = 1024 * 1024;

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
