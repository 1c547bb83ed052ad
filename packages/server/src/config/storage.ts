import { resolve } from 'node:path';
import { CofferError, DEFAULT_AUDIT_MAX_BYTES, DEFAULT_BOUND_MS, DEFAULT_MAX_BYTES } from '@coffer/engine';
import { CONSISTENCY, parseConsistency } from './consistency.js';
import type { FileConfig } from './file.js';
import { checkReach, type NatsReach, reachOf } from './nats.js';

export interface StorageLimits {
  /** The store may take this much of the disk. */
  readonly quotaBytes?: number | undefined;
  /** The disk keeps this much free. */
  readonly minFreeBytes?: number;
}

/** The store is in the state folder, and this process is the only one that writes it. */
export interface EmbeddedConfig extends StorageLimits {
  readonly kind?: 'embedded' | undefined;
}

/** The store is in NATS JetStream, shared with other instances; the state folder has a replica of it. */
export interface JetStreamConfig extends StorageLimits, NatsReach {
  readonly kind: 'jetstream';
  readonly bucket: string;
  /** Of a bucket that is made. */
  readonly replicas: 1 | 3 | 5;
  /** Of a bucket that is made. */
  readonly maxBytes: number;
  /** Of the stream of the audit logs' copies, when it is made. */
  readonly auditMaxBytes: number;
  /** Of a bucket that is made: tags that its servers must have. */
  readonly placement?: readonly string[] | undefined;
  /** The operator's word that every server syncs before it acknowledges. */
  readonly syncAlways: boolean;
  readonly allowLazySync: boolean;
  /** A file with the creds of a user of the system account, by which is seen how the servers sync. */
  readonly systemCreds?: string | undefined;
  /** `latest`, or `bounded(TIME)` with a time such as `1s` or `500ms`; {@link boundOf} reads it. */
  readonly consistency: string;
  /** What becomes of reads beyond the bound. */
  readonly stale: 'refuse' | 'allow';
  /** For people; by default the machine's name. */
  readonly instanceName?: string | undefined;
}

export type StorageConfig = EmbeddedConfig | JetStreamConfig;

export const DEFAULT_BUCKET = 'coffer';

/**
 * All settings of the store, the stated ones and the defaults of the others. Paths are made absolute.
 *
 * @throws CofferError `invalid_argument`
 */
export function storageConfig(stated: FileConfig['storage'] = {}): StorageConfig {
  const { kind, quotaBytes, minFreeBytes, ...shared } = stated;
  const limits = {
    ...(quotaBytes !== undefined && { quotaBytes }),
    ...(minFreeBytes !== undefined && { minFreeBytes }),
  };
  if (kind !== 'jetstream') {
    const [first] = Object.keys(shared);
    if (first === undefined) return { ...(kind && { kind }), ...limits };
    throw refuse(`storage.${first} is for a store in NATS JetStream: write storage.kind: jetstream, too`);
  }
  const { servers, creds, nkey, tls, placement, systemCreds, instanceName } = shared;
  if (servers === undefined) {
    throw refuse(
      'storage.servers is missing: say where NATS is, such as servers: ["tls://nats.example.com"]',
    );
  }
  const config: JetStreamConfig = {
    kind,
    ...limits,
    ...reachOf({ servers, creds, nkey, tls }),
    bucket: shared.bucket ?? DEFAULT_BUCKET,
    replicas: shared.replicas ?? 3,
    maxBytes: shared.maxBytes ?? DEFAULT_MAX_BYTES,
    auditMaxBytes: shared.auditMaxBytes ?? DEFAULT_AUDIT_MAX_BYTES,
    ...(placement && { placement }),
    syncAlways: shared.syncAlways ?? false,
    allowLazySync: shared.allowLazySync ?? false,
    ...(systemCreds && { systemCreds: resolve(systemCreds) }),
    consistency: shared.consistency ?? `bounded(${DEFAULT_BOUND_MS / 1000}s)`,
    stale: shared.stale ?? 'refuse',
    ...(instanceName && { instanceName }),
  };
  checkReach(config, 'storage');
  if (config.syncAlways && config.allowLazySync) {
    throw refuse(
      'storage.syncAlways says that the servers sync always, and storage.allowLazySync that they need not: keep one of them',
    );
  }
  boundOf(config);
  return config;
}

/**
 * How old what is read may be, in milliseconds, or that each read waits for proof that it is the latest.
 *
 * @throws CofferError `invalid_argument`
 */
export function boundOf({ consistency }: Pick<JetStreamConfig, 'consistency'>): number | 'latest' {
  const bound = parseConsistency(consistency);
  if (bound === undefined) throw refuse(`storage.consistency must be ${CONSISTENCY}`);
  return bound;
}

/**
 * Refuses a development server with a store that others share.
 *
 * @throws CofferError `invalid_argument`
 */
export function checkStorage({
  storage,
  dev,
}: {
  readonly storage: StorageConfig;
  readonly dev: boolean;
}): void {
  if (storage.kind !== 'jetstream' || !dev) return;
  throw refuse(
    'a development server lets everybody in, and its store is for this machine alone: leave out --dev, or storage.kind: jetstream',
  );
}

function refuse(message: string): CofferError {
  return new CofferError('invalid_argument', message);
}
