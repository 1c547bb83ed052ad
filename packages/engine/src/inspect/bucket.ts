import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/nats-core';

import { CopiesLayout } from '../audit/copies/format.js';
import { CofferError } from '../errors.js';
import { type BucketStatus, bucketStatus } from '../storage/jetstream/bucket.js';
import { requireSync, requireVersion, type Sync } from '../storage/jetstream/fitness.js';
import { Layout } from '../storage/jetstream/layout.js';
import type { JetStreamOptions } from '../storage/jetstream/options.js';
import { mayPublish } from '../storage/jetstream/rights.js';

const ANSWER_MS = 2_000;

/** What the servers of a store in JetStream say to who only looks. */
export interface BucketState {
  /** Of the server that answered. */
  readonly server: string;
  readonly version: string;
  /** It is in no cluster, and keeps no more than one replica. */
  readonly alone: boolean;
  readonly sync: Sync;
  /** Undefined: the first start makes it. */
  readonly bucket: BucketStatus | undefined;
  /** To what the NATS user must be allowed to publish, and is not; subjects with wildcards. */
  readonly denied: readonly string[];
}

/**
 * Looks at the bucket of a store and at its servers. Changes nothing.
 *
 * @throws CofferError `unavailable`, and `unfit_store` for servers in which no store may be
 */
export async function inspectBucket(options: JetStreamOptions): Promise<BucketState> {
  const connection = await options.connect();
  try {
    const { version = '' } = connection.info ?? {};
    const server = connection.getServer();
    requireVersion(version, server);
    const sync = await requireSync(options);
    const bucket = await bucketStatus(connection, new Layout(options.bucket)).catch(noneIfNotFound);
    const denied = await deniedTo(connection, options.bucket);
    return { server, version, alone: connection.info?.cluster === undefined, sync, bucket, denied };
  } finally {
    await connection.close();
  }
}

async function deniedTo(connection: NatsConnection, bucket: string): Promise<string[]> {
  const store = new Layout(bucket);
  const copies = new CopiesLayout(bucket);
  const denied: string[] = [];
  for (const { subject, all } of [
    { subject: store.meta, all: store.all },
    { subject: copies.keys, all: copies.all },
  ]) {
    if (!(await mayPublish(connection, subject, ANSWER_MS))) denied.push(all);
  }
  return denied;
}

function noneIfNotFound(error: unknown): undefined {
  if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound) return undefined;
  if (error instanceof CofferError) throw error;
  const { message } = error as Error;
  throw new CofferError('unavailable', `JetStream does not answer: ${message}`, { cause: error });
}
