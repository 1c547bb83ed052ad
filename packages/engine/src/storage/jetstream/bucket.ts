import { randomBytes } from 'node:crypto';
import { setTimeout as wait } from 'node:timers/promises';
import {
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  jetstream,
  type StreamInfo,
} from '@nats-io/jetstream';
import { errors, type NatsConnection } from '@nats-io/nats-core';
import { CofferError } from '../../errors.js';
import { DESCRIPTION, REQUIRED, refuseRollups, requireConfig } from './bucket-config.js';
import { requireFirstStore } from './first-store.js';
import { requireSync, requireVersion, type Sync } from './fitness.js';
import type { Layout } from './layout.js';
import { managerOf } from './manager.js';
import { noAnswer, noAnswerOf } from './no-answer.js';
import { BUCKET_FORMAT, encodeMeta, type Meta, parseMeta } from './notes.js';
import type { JetStreamOptions } from './options.js';
import type { ReplicaOrigin } from './replica-contract.js';
import { requireRights } from './rights.js';

const ANSWER_MS = 2_000;
/** A stream that is being made does not answer at once. */
const ATTEMPTS = 5;
const STATUS_MS = 2_000;
/** Between two looks at what another instance is writing. */
const BORN_LOOK_MS = 50;

/** What is known of a bucket that was found fit. */
export interface BucketFacts {
  readonly origin: ReplicaOrigin;
  readonly replicas: number;
  /** -1: no limit. */
  readonly maxBytes: number;
  readonly sync: Sync;
}

/**
 * Looks whether the bucket and its servers are what a store needs, and makes the bucket if there is none yet.
 *
 * @param known where the replica comes from, if it has come from somewhere: then nothing is made, and what is missing is left to
 *   the look at the stream's continuity
 * @param incarnation of a store that moves in, or is brought back; left out, one that is made is the first in the bucket
 * @throws CofferError `unfit_store` for a bucket that is somebody else's or differs in what matters, for one that is lost and had a
 *   store, for servers that are too old or do not sync; `unavailable`; nothing was written then
 */
export async function openBucket(
  connection: NatsConnection,
  options: JetStreamOptions,
  layout: Layout,
  known: ReplicaOrigin | undefined,
  incarnation?: Uint8Array,
): Promise<BucketFacts> {
  requireVersion(connection.info?.version ?? '', connection.getServer());
  const sync = await requireSync(options);
  const attempts = known ? 1 : ATTEMPTS;
  for (let attempt = 1; ; attempt++) {
    try {
      const facts = await lookAt(connection, options, layout, known, incarnation);
      return { ...facts, sync };
    } catch (error) {
      if (attempt < attempts && error instanceof errors.TimeoutError) continue;
      throw noAnswerOf(options.bucket, error);
    }
  }
}

async function lookAt(
  connection: NatsConnection,
  options: JetStreamOptions,
  layout: Layout,
  known: ReplicaOrigin | undefined,
  incarnation: Uint8Array | undefined,
): Promise<Omit<BucketFacts, 'sync'>> {
  const manager = await managerOf(connection, ANSWER_MS);
  const found = await findStream(manager, layout.stream);
  if (!found && known) return { origin: known, replicas: options.replicas, maxBytes: -1 };
  if (found) requireConfig(found, options.bucket, layout);
  // Before anything is made: a stream is made with another right than the first message.
  if (!known) await requireRights(connection, layout, ANSWER_MS);
  if (!known && !incarnation && !found?.state.messages) {
    const find = (name: string) => findStream(manager, name);
    await requireFirstStore({ bucket: options.bucket, stream: layout.stream, find });
  }
  const info = found ?? (await createStream(manager, options, layout));
  if (!found) requireConfig(info, options.bucket, layout);
  const origin = known ?? {
    ...(await bornAs(connection, manager, info, layout, incarnation ?? randomBytes(16))),
    created: info.created,
  };
  if (info.config.allow_rollup_hdrs) await refuseRollups(manager, info, options.bucket);
  return {
    origin,
    replicas: info.config.num_replicas,
    maxBytes: info.config.max_bytes,
  };
}

/** What the stream's leader says of it; without one, what any of its servers does. */
export interface BucketStatus {
  readonly replicas: number;
  readonly sequence: number;
  readonly bytes: number;
  /** -1: no limit. */
  readonly maxBytes: number;
  /** Empty where none is known. */
  readonly servers: readonly BucketServer[];
}

/** One of the servers of a bucket. */
export interface BucketServer {
  readonly name: string;
  readonly leader: boolean;
  /** It has all that the leader has. Where none leads, only of the server that we are connected to anything is known: it is there. */
  readonly current: boolean;
}

/** @throws what nats.js does */
export async function bucketStatus(connection: NatsConnection, layout: Layout): Promise<BucketStatus> {
  const manager = await managerOf(connection, STATUS_MS);
  const { config, state, cluster } = await manager.streams.info(layout.stream);
  const leader = cluster?.leader;
  const here = connection.info?.server_name;
  return {
    replicas: config.num_replicas,
    sequence: state.last_seq,
    bytes: state.bytes,
    maxBytes: config.max_bytes,
    servers: [
      ...(leader ? [{ name: leader, leader: true, current: true }] : []),
      ...(cluster?.replicas ?? []).map(({ name, current, offline = false }) => ({
        name,
        leader: false,
        // One that has no leader says of itself, too, that it is not current.
        current: leader ? current && !offline : name === here,
      })),
    ],
  };
}

/** @throws CofferError `unfit_store`, `unavailable` */
export async function changeReplicas(
  connection: NatsConnection,
  layout: Layout,
  replicas: number,
): Promise<void> {
  try {
    const manager = await managerOf(connection, ANSWER_MS);
    await manager.streams.update(layout.stream, { num_replicas: replicas });
  } catch (error) {
    if (error instanceof JetStreamApiError) {
      const why = isAlone(error)
        ? 'the NATS server is alone, and in no cluster'
        : `NATS JetStream says ${error.message}`;
      throw new CofferError(
        'unfit_store',
        `the store cannot be kept on ${replicas} servers: ${why}; nothing was changed`,
      );
    }
    throw noAnswer(error, `the stream ${layout.stream}`, 'nothing was changed');
  }
}

/** @returns undefined where JetStream says that there is none. @throws what nats.js does */
export async function findStream(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (isNoStream(error)) return undefined;
    throw error;
  }
}

/** JetStream says that there is no stream of this name. */
export const isNoStream = (error: unknown): boolean =>
  error instanceof JetStreamApiError && error.code === JetStreamApiCodes.StreamNotFound;

/** In a cluster that has just been started not every server has a place for a stream yet. */
async function createStream(
  manager: JetStreamManager,
  options: JetStreamOptions,
  layout: Layout,
): Promise<StreamInfo> {
  const end = performance.now() + PLACE_MS;
  for (;;) {
    try {
      return await tryToCreate(manager, options, layout);
    } catch (error) {
      if (!(error instanceof JetStreamApiError)) throw error;
      const mayPass = isForNow(error);
      if (mayPass && performance.now() < end) {
        await wait(PLACE_PAUSE_MS);
        continue;
      }
      const why = isAlone(error)
        ? `the NATS server is alone, and in no cluster, so that it cannot keep ${options.replicas} replicas: write storage.replicas: 1, ` +
          'or name the servers of a cluster'
        : error.message;
      const refusal = `the bucket ${options.bucket} could not be made in NATS JetStream: ${why}`;
      throw new CofferError(mayPass ? 'unavailable' : 'unfit_store', refusal, { cause: error });
    }
  }
}

/** Servers that are away, or not current: others than those that will never do ("no suitable peers", tags that none has). */
const isForNow = ({ code, message }: JetStreamApiError): boolean =>
  code === NO_LEADER || message.includes('peer offline');

/** "JetStream system temporarily unavailable" */
const NO_LEADER = 10008;
const PLACE_MS = 10_000;
const PLACE_PAUSE_MS = 250;

/** Of two instances that make it at the same moment one may be told so, or nothing. */
async function tryToCreate(
  manager: JetStreamManager,
  { replicas, maxBytes, placementTags = [] }: JetStreamOptions,
  layout: Layout,
): Promise<StreamInfo> {
  try {
    return await manager.streams.add({
      name: layout.stream,
      description: DESCRIPTION,
      subjects: [layout.all],
      ...REQUIRED,
      allow_rollup_hdrs: false,
      num_replicas: replicas,
      max_bytes: maxBytes,
      ...(placementTags.length > 0 && { placement: { cluster: '', tags: [...placementTags] } }),
    });
  } catch (error) {
    const isOther = !(error instanceof JetStreamApiError) || error.code === NAME_IN_USE;
    const info = isOther ? await findStream(manager, layout.stream) : undefined;
    if (info) return info;
    throw error;
  }
}

const NAME_IN_USE = 10058;
const ALONE = 10074;

/** "replicas > 1 not supported in non-clustered mode". */
const isAlone = (error: JetStreamApiError): boolean => error.code === ALONE;

/** Its birth, which is written now if it is empty. Of two instances that find it empty one writes, and both read that. */
async function bornAs(
  connection: NatsConnection,
  manager: JetStreamManager,
  info: StreamInfo,
  layout: Layout,
  incarnation: Uint8Array,
): Promise<Meta> {
  const meta = await readMeta(manager, layout);
  if (meta) return meta;
  if (info.state.messages > 0) {
    throw new CofferError(
      'unfit_store',
      `the bucket behind ${layout.stream} holds what coffer has not written: name another one; nothing was written`,
    );
  }
  const written = { format: BUCKET_FORMAT, incarnation, epoch: 1 };
  const end = performance.now() + ANSWER_MS;
  for (;;) {
    try {
      await jetstream(connection, { timeout: ANSWER_MS }).publish(layout.meta, encodeMeta(written), {
        expect: { lastSubjectSequence: 0, streamName: layout.stream },
      });
      return written;
    } catch (error) {
      const other = await readMeta(manager, layout);
      if (other) return other;
      // Of another's that is under way the servers know before anybody can read it.
      if (performance.now() > end) throw error;
    }
    await wait(BORN_LOOK_MS);
  }
}

async function readMeta(manager: JetStreamManager, layout: Layout): Promise<Meta | undefined> {
  const message = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.meta });
  return message ? parseMeta(message.data) : undefined;
}
