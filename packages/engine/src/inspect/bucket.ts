import type { NatsConnection } from '@nats-io/nats-core';
import { CopiesLayout } from '../audit/copies/format.js';
import { CofferError } from '../errors.js';
import { type BucketStatus, bucketStatus, findStream, isNoStream } from '../storage/jetstream/bucket.js';
import { requireFirstStore } from '../storage/jetstream/first-store.js';
import { requireSync, requireVersion, type Sync } from '../storage/jetstream/fitness.js';
import { Layout } from '../storage/jetstream/layout.js';
import { managerOf } from '../storage/jetstream/manager.js';
import { noAnswer } from '../storage/jetstream/no-answer.js';
import type { JetStreamOptions } from '../storage/jetstream/options.js';
import { mayPublish, maySubscribe } from '../storage/jetstream/rights.js';

const ANSWER_MS = 2_000;

/** What the servers of a store in JetStream say to who only looks. */
export interface BucketState {
  /** Of the server that answered. */
  readonly server: string;
  readonly version: string;
  /** It is in no cluster, and keeps no more than one replica. */
  readonly alone: boolean;
  readonly sync: Sync;
  /** Undefined: the first start makes it, if nothing is {@link lost}. */
  readonly bucket: BucketStatus | undefined;
  /** Why no start makes a bucket that is not there: it held a store. */
  readonly lost: string | undefined;
  /** What the NATS user must be allowed, and is not: `publish to SUBJECTS`, `subscribe to SUBJECTS`. */
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
    const layout = new Layout(options.bucket);
    const bucket = await bucketStatus(connection, layout).catch(noneWithoutStream);
    const lost = bucket ? undefined : await lostStore(connection, options.bucket);
    const denied = await deniedTo(connection, options.bucket);
    return { server, version, alone: connection.info?.cluster === undefined, sync, bucket, lost, denied };
  } catch (error) {
    throw noAnswer(error);
  } finally {
    await connection.close();
  }
}

async function lostStore(connection: NatsConnection, bucket: string): Promise<string | undefined> {
  const manager = await managerOf(connection, ANSWER_MS);
  const find = (name: string) => findStream(manager, name);
  const { stream } = new Layout(bucket);
  return requireFirstStore({ bucket, stream, find }).then(
    () => undefined,
    (error: unknown) => {
      if (error instanceof CofferError) return error.message;
      throw error;
    },
  );
}

async function deniedTo(connection: NatsConnection, bucket: string): Promise<string[]> {
  const { meta, all, peers, peer } = namesOf(bucket);
  const copies = new CopiesLayout(bucket);
  const rights = [
    { right: `publish to ${all}`, has: () => mayPublish(connection, meta, ANSWER_MS) },
    { right: `publish to ${copies.all}`, has: () => mayPublish(connection, copies.keys, ANSWER_MS) },
    // Of no instance, so that nobody is asked.
    { right: `publish to ${peers}.>`, has: () => mayPublish(connection, peer, ANSWER_MS) },
    { right: `subscribe to ${peers}`, has: () => maySubscribe(connection, peers) },
    { right: `subscribe to ${peers}.>`, has: () => maySubscribe(connection, peer) },
  ];
  const denied: string[] = [];
  for (const { right, has } of rights) if (!(await has())) denied.push(right);
  return denied;
}

function namesOf(bucket: string) {
  const layout = new Layout(bucket);
  const { meta, all, peers } = layout;
  return { meta, all, peers, peer: layout.peer('none') };
}

function noneWithoutStream(error: unknown): undefined {
  if (!isNoStream(error)) throw error;
}
