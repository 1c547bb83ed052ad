import { CofferError } from '../../errors.js';
import { type BucketFacts, openBucket } from './bucket.js';
import type { Layout } from './layout.js';
import type { Link } from './link.js';
import type { JetStreamOptions } from './options.js';
import type { ReplicaOrigin } from './replica-contract.js';
import type { JetStreamDriverOptions } from './storage.js';

export interface BucketAtOpen {
  /** Undefined if the bucket cannot be looked at now, and a replica is there that can be read meanwhile. */
  readonly facts: BucketFacts | undefined;
  /** Why NATS could not be reached, if it could not. */
  readonly failure: unknown;
}

/**
 * Connects for the first time, and looks at the bucket, which is made if there is none; tells of settings in it that are others than
 * the configuration's.
 *
 * @param known where the replica comes from, if it has come from somewhere
 * @throws CofferError as {@link openBucket}
 */
export async function bucketAtOpen(
  link: Link,
  { jetstream, incarnation }: Pick<JetStreamDriverOptions, 'jetstream' | 'incarnation'>,
  layout: Layout,
  known: ReplicaOrigin | undefined,
): Promise<BucketAtOpen> {
  const failure = await link.open().then(
    () => undefined,
    (error: unknown) => error,
  );
  const { connection } = link;
  if (!connection) {
    if (known) return { facts: undefined, failure };
    throw noReplica(failure);
  }
  try {
    const facts = await openBucket(connection, jetstream, layout, known, incarnation);
    tellDifference(facts, jetstream);
    return { facts, failure };
  } catch (error) {
    if (known && error instanceof CofferError && error.code === 'unavailable') {
      return { facts: undefined, failure };
    }
    throw error;
  }
}

/** Of a bucket that somebody made, or changed, otherwise than the options say. */
function tellDifference(
  facts: BucketFacts,
  { bucket, replicas, maxBytes, onDifference }: JetStreamOptions,
): void {
  const wrong = [
    facts.replicas !== replicas && `replicas ${facts.replicas}, not ${replicas} (coffer storage replicas)`,
    facts.maxBytes > 0 &&
      facts.maxBytes !== maxBytes &&
      `maxBytes ${facts.maxBytes}, not ${maxBytes} (nats stream edit KV_${bucket} --max-bytes ${maxBytes})`,
  ].filter((one) => one !== false);
  if (wrong.length === 0) return;
  onDifference?.(
    `the bucket ${bucket} is there with other settings than the configuration's, and keeps them: ${wrong.join('; ')}`,
  );
}

/** @param cause why NATS cannot be reached */
export const noReplica = (cause: unknown): CofferError =>
  new CofferError(
    'unavailable',
    'this instance has no replica of the store yet, which it reads from NATS at its first start, and that cannot be reached' +
      `${cause instanceof Error ? `: ${cause.message}` : ''}; start it again when that is mended`,
    { cause },
  );
