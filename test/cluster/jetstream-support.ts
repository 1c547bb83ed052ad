import { connect, type NatsConnection } from '@nats-io/transport-node';

import type { CofferError } from '../../packages/engine/src/errors.js';
import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import type { JetStreamOptions } from '../../packages/engine/src/storage/jetstream/options.js';
import {
  type JetStreamDriverOptions,
  JetStreamStorage,
} from '../../packages/engine/src/storage/jetstream/storage.js';
import type { Admission } from '../../packages/engine/src/storage/shared.js';
import { keyed } from '../../packages/engine/test/sealing.js';
import type { NatsCluster } from '../support/cluster.mjs';
import { TemporaryFolder } from '../support/processes.mjs';

export interface OpenOptions extends Partial<JetStreamOptions> {
  readonly folder?: string;
  /** Ways to the servers, if not past all links. */
  readonly urls?: readonly string[];
  readonly incarnation?: Uint8Array;
  readonly follow?: boolean;
}

/** A store of one instance on a cluster, with the driver's own test settings: nothing is admitted, nothing is fatal. */
export async function openStorage(
  cluster: Pick<NatsCluster, 'urls'>,
  options: OpenOptions = {},
): Promise<JetStreamStorage> {
  const { folder = newFolder(), urls = cluster.urls, incarnation, follow = true, ...jetstream } = options;
  const settings: JetStreamDriverOptions = {
    jetstream: {
      connect: () => connectTo(urls),
      bucket: 'test',
      replicas: cluster.urls.length === 1 ? 1 : 3,
      maxBytes: 256 * 1024 * 1024,
      syncAlways: true,
      consistency: { bounded: 1_000 },
      ...jetstream,
    },
    fence: HEADER_KEY,
    version: '0.0.0-test',
    minFreeBytes: 0,
    incarnation,
    onFatal: (error: CofferError) => {
      throw error;
    },
  };
  const storage = await JetStreamStorage.open(folder, settings);
  if (follow) storage.shared.follow(ADMITTING);
  return storage;
}

/** Takes all that instances of one store write. */
export const ADMITTING: Admission = { admit: () => {}, authenticate: keyed('a') };

/** Without one a replica is filled anew at each opening. */
export const summariser = {
  initial: Buffer.from('-'),
  fold: (digest: Uint8Array) => digest,
  seal: (digest: Uint8Array) => digest,
};

export const connectTo = (urls: readonly string[]): Promise<NatsConnection> =>
  connect({ servers: [...urls], maxReconnectAttempts: -1, reconnectTimeWait: 100, timeout: 2_000 });

const folders: TemporaryFolder[] = [];

/** Gone with {@link removeFolders}. */
export function newFolder(): string {
  const folder = new TemporaryFolder();
  folders.push(folder);
  return folder.join('store');
}

export function removeFolders(): void {
  for (const folder of folders.splice(0)) folder[Symbol.dispose]();
}
