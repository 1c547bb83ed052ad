import { join } from 'node:path';
import { jetstreamManager, type StoredMsg } from '@nats-io/jetstream';
import { expect, onTestFinished } from 'vitest';

import {
  type CofferError,
  Engine,
  type EngineOptions,
  type JetStreamOptions,
  parseRootKey,
  type RootKeySpec,
} from '../../packages/engine/src/index.js';
import { HEADER, Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { printOf } from '../../packages/engine/src/storage/jetstream/message-seal.js';
import { fingerprintSaid } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { admin, engineOptions, text } from '../../packages/engine/test/support.js';
import { NatsCluster } from '../support/cluster.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { connectTo } from './jetstream-support.js';

/** An engine whose store is in JetStream. */
export interface ClusterEngine {
  readonly engine: Engine;
  readonly notices: string[];
  readonly fatal: CofferError[];
}

/** What a secret is at an engine: its value, or why there is none. */
export const valueAt = ({ engine }: ClusterEngine, name: string, version = 0): Promise<string> =>
  engine.get(admin, name, version).then(
    ({ value }) => text(value),
    (error: CofferError) => error.code,
  );

/** Until nothing is wrong with the store any more, at all of these. */
export async function healthy(...all: readonly ClusterEngine[]): Promise<void> {
  for (const { engine } of all) {
    await expect.poll(() => engine.sharedHealth?.problem, { timeout: 60_000 }).toBeUndefined();
  }
}

/** Engines on one bucket of a cluster, with one root key; all end with the test. */
export class Engines {
  readonly cluster: NatsCluster;
  readonly bucket: string;
  readonly #folder = new TemporaryFolder();

  constructor(cluster: NatsCluster, bucket: string) {
    this.cluster = cluster;
    this.bucket = bucket;
    onTestFinished(() => this.#folder[Symbol.dispose]?.());
  }

  /** On servers of their own, which end with the test too. */
  static async start(bucket: string, size = 1): Promise<Engines> {
    const cluster = await NatsCluster.start({ size });
    onTestFinished(() => cluster.stop());
    return new Engines(cluster, bucket);
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
            connect: () => connectTo(this.cluster.urls),
            bucket: this.bucket,
            replicas: this.cluster.servers.length === 1 ? 1 : 3,
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

  /** Somebody who may write to the bucket, and is none of them. */
  async stranger(): Promise<Stranger> {
    const connection = await connectTo(this.cluster.urls);
    onTestFinished(() => connection.close());
    const layout = new Layout(this.bucket);
    const { streams } = await jetstreamManager(connection);
    const last = (subject: string) =>
      streams.getMessage(layout.stream, { last_by_subj: subject }).then((found) => found ?? undefined);
    const follow = async (key: Uint8Array, data: Uint8Array, headers: readonly Header[] = []) => {
      const subject = layout.record(key);
      const before = await last(subject);
      const said = [
        [HEADER.lineage, `${before?.seq}:${fingerprintSaid(before?.header)}`],
        [HEADER.kind, 'head'],
        [HEADER.print, printOf(data)],
      ] as const;
      const others = said.filter(([name]) => !headers.some(([other]) => other === name));
      await publishMessage(connection, { subject, headers: [...others, ...headers], data });
    };
    return { layout, last, follow };
  }
}

type Header = readonly [name: string, value: string];

export interface Stranger {
  readonly layout: Layout;
  /** What is under a subject. */
  last(subject: string): Promise<StoredMsg | undefined>;
  /** Writes what says to come after the record under a key, of a head if the headers say nothing else; unsealed. */
  follow(key: Uint8Array, data: Uint8Array, headers?: readonly Header[]): Promise<void>;
}
