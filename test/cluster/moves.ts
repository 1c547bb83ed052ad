import { join } from 'node:path';
import { afterAll, beforeAll } from 'vitest';
import { parseRootKey } from '../../packages/engine/src/index.js';
import type { MigrateOptions } from '../../packages/engine/src/migrate/options.js';
import { createSigner } from '../../packages/engine/test/support.js';
import { NatsCluster } from '../support/cluster.mjs';
import { connectTo, removeFolders } from './jetstream-support.js';
import { moveOptions } from './move-options.mjs';

/** Of an embedded store that is opened to look into it. */
export const LOCAL = { minFreeBytes: 0, onFatal: () => undefined };

/** What a move is asked for, but for what {@link Moves.options} knows. */
export type Asked = Partial<MigrateOptions> & { readonly urls?: readonly string[] };

export interface Moves {
  readonly cluster: NatsCluster;
  newBucket(): string;
  /** Of a move of the store in `state` of a folder, whose root key lies beside it. */
  options(folder: string, bucket: string, asked?: Asked): MigrateOptions;
}

/** One server for all tests of a file, and moves into it. */
export function movesHere(): Moves {
  let cluster: NatsCluster;
  let buckets = 0;
  beforeAll(async () => {
    cluster = await NatsCluster.start({ size: 1, auth: 'open', direct: true });
  });
  afterAll(async () => {
    await cluster?.stop();
    removeFolders();
  });
  return {
    get cluster() {
      return cluster;
    },
    newBucket: () => `move-${++buckets}`,
    options: (folder, bucket, { urls = cluster.urls, ...more } = {}) =>
      moveOptions({
        stateDir: join(folder, 'state'),
        rootKey: parseRootKey(`file:${join(folder, 'root.key')}`),
        createSigner,
        connect: () => connectTo(urls),
        bucket,
        ...more,
      }),
  };
}
