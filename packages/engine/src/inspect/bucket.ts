import { JetStreamApiCodes, JetStreamApiError } from '@nats-io/jetstream';
import { CofferError } from '../errors.js';
import { type BucketStatus, bucketStatus } from '../storage/jetstream/bucket.js';
import { requireSync, requireVersion, type Sync } from '../storage/jetstream/fitness.js';
import { Layout } from '../storage/jetstream/layout.js';
import type { JetStreamOptions } from '../storage/jetstream/options.js';

/** What the servers of a store in JetStream say to who only looks. */
export interface BucketState {
  /** Of the server that answered. */
  readonly server: string;
  readonly version: string;
  readonly sync: Sync;
  /** Undefined: the first start makes it. */
  readonly bucket: BucketStatus | undefined;
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
    return { server, version, sync, bucket };
  } finally {
    await connection.close();
  }
}

function noneIfNotFound(error: unknown): undefined {
  if (error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound) return undefined;
  if (error instanceof CofferError) throw error;
  const { message } = error as Error;
  throw new CofferError('unavailable', `JetStream does not answer: ${message}`, { cause: error });
}
