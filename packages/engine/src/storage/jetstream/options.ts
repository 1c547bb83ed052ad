import type { NatsConnection } from '@nats-io/nats-core';

/** How a store in NATS JetStream is reached and kept. */
export interface JetStreamOptions {
  /**
   * Makes the connection, which looks for its servers for ever once it stood. Rejects if it cannot be made now; it is called
   * again then, and when it ended for good.
   *
   * @param use what it is for, for people
   */
  connect(use?: 'store' | 'audit'): Promise<NatsConnection>;
  /** A connection to the system account, by which is seen whether the servers sync always; may be absent. */
  readonly connectSystem?: (() => Promise<NatsConnection>) | undefined;
  /** Of the JetStream KV bucket: letters, digits, `-` and `_`. */
  readonly bucket: string;
  /** Of a bucket that is made: 1, 3 or 5. One that is there keeps what it has. */
  readonly replicas: 1 | 3 | 5;
  /** Of a bucket that is made: how many bytes it may hold. */
  readonly maxBytes: number;
  /** Of the stream of the audit logs' copies, when it is made: how many bytes it may hold; 1 GiB if not given. */
  readonly auditMaxBytes?: number | undefined;
  /** Of a bucket that is made: tags that its servers must have. */
  readonly placementTags?: readonly string[] | undefined;
  /** The operator says that every server has `sync_interval: always`. */
  readonly syncAlways?: boolean | undefined;
  /** Goes on with servers that sync now and then: what was acknowledged may be lost with a power cut. */
  readonly allowLazySync?: boolean | undefined;
  /** In milliseconds, or each read waits for a beat of its own. */
  readonly consistency: { readonly bounded: number } | 'latest';
  /** Answers from the replica however old it is. */
  readonly allowStale?: boolean | undefined;
  /** For people, in lists of members; the host's name if not given. */
  readonly instanceName?: string | undefined;
  /** Told of what the bucket has otherwise than these options say. */
  readonly onDifference?: ((sentence: string) => void) | undefined;
  /** Between two beats of an only instance, in milliseconds. */
  readonly beatMs?: number | undefined;
}

export const DEFAULT_BEAT_MS = 200;
export const DEFAULT_BOUND_MS = 1_000;
export const DEFAULT_MAX_BYTES = 1024 ** 3;
export const DEFAULT_AUDIT_MAX_BYTES = 1024 ** 3;
