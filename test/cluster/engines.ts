import { join } from 'node:path';
import { onTestFinished } from 'vitest';

import {
  type CofferError,
  Engine,
  type EngineOptions,
  type JetStreamOptions,
  parseRootKey,
  type RootKeySpec,
} from '../../packages/engine/src/index.js';
import { engineOptions } from '../../packages/engine/test/support.js';
import type { NatsCluster } from '../support/cluster.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { connectTo } from './jetstream-support.js';

/** An engine whose store is in JetStream. */
export interface ClusterEngine {
  readonly engine: Engine;
  readonly notices: string[];
  readonly fatal: CofferError[];
}

/** Engines on one bucket of a cluster, with one root key; all end with the test. */
export class Engines {
  readonly bucket: string;
  readonly #cluster: NatsCluster;
  readonly #folder = new TemporaryFolder();

  constructor(cluster: NatsCluster, bucket: string) {
    this.#cluster = cluster;
    this.bucket = bucket;
    onTestFinished(() => this.#folder[Symbol.dispose]?.());
  }

  /** In the folder of all. */
  path(name: string): string {
    return join(this.#folder.path, name);
  }

  /** In a file of its own. */
  rootKey(name: string): RootKeySpec {
    return parseRootKey(`file:${this.path(name)}`);
  }

  /** Opens the instance of this name, new or again. */
  async open(
    name: string,
    jetstream: Partial<JetStreamOptions> = {},
    overrides: Partial<EngineOptions> = {},
  ): Promise<ClusterEngine> {
    const notices: string[] = [];
    const fatal: CofferError[] = [];
    const engine = await Engine.open(
      engineOptions(this.#folder.path, {
        stateDir: this.#folder.join(name),
        rootKey: this.rootKey('root.key'),
        onNotice: (sentence) => notices.push(sentence),
        onFatal: (error) => fatal.push(error),
        storage: {
          minFreeBytes: 0,
          jetstream: {
            connect: () => connectTo(this.#cluster.urls),
            bucket: this.bucket,
            replicas: this.#cluster.servers.length === 1 ? 1 : 3,
            maxBytes: 256 * 1024 * 1024,
            syncAlways: true,
            consistency: { bounded: 1_000 },
            instanceName: name,
            ...jetstream,
          },
        },
        ...overrides,
      }),
    );
    onTestFinished(() => engine.close());
    return { engine, notices, fatal };
  }
}
