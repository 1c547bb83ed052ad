import { jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/nats-core';
import { connect } from '@nats-io/transport-node';
import { afterEach, describe, expect, test } from 'vitest';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { Link } from '../../packages/engine/src/storage/jetstream/link.js';
import { Members } from '../../packages/engine/src/storage/jetstream/members.js';
import { MessageSeal } from '../../packages/engine/src/storage/jetstream/message-seal.js';
import { Replica } from '../../packages/engine/src/storage/jetstream/replica.js';
import { NatsCluster } from '../support/cluster.mjs';
import { NatsServer } from '../support/nats.mjs';
import { newFolder, openStorage, removeFolders } from './jetstream-support.js';

let cluster: NatsCluster;
afterEach(async () => {
  await cluster?.stop();
  removeFolders();
});

describe('a bucket that is not as the configuration has it', () => {
  test('cannot be on more servers than there are, which says what to write', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    await expect(openStorage(cluster, { replicas: 3 })).rejects.toMatchObject({
      code: 'unfit_store',
      message: expect.stringMatching(/the NATS server is alone, .*: write storage\.replicas: 1, or/),
    });
    await during(await openStorage(cluster), async (storage) => {
      await expect(storage.shared.setReplicas(3)).rejects.toThrow(
        'the store cannot be kept on 3 servers: the NATS server is alone, and in no cluster; nothing was changed',
      );
    });
  });

  test('is named as somebody else’s first of all', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const manager = await jetstreamManager(await cluster.connect());
    await manager.streams.add({ name: 'KV_test', subjects: ['$KV.test.>'], max_msgs_per_subject: 5 });
    await expect(openStorage(cluster)).rejects.toThrow(
      /^the bucket test was not made by coffer \(it holds 0 messages\)\. Name another one in storage\.bucket/,
    );
  });

  test('keeps what it has, and the difference is told', async () => {
    cluster = await NatsCluster.start({ size: 1 });
    const told: string[] = [];
    const onDifference = (sentence: string) => told.push(sentence);
    await during(await openStorage(cluster, { onDifference }), async () => {
      expect(told).toEqual([]);
    });
    const other = { onDifference, replicas: 3, maxBytes: 64 * 1024 * 1024 } as const;
    await during(await openStorage(cluster, other), async () => {
      expect(told).toEqual([
        "the bucket test is there with other settings than the configuration's, and keeps them: " +
          'replicas 1, not 3 (coffer storage replicas); maxBytes 268435456, not 67108864 ' +
          '(nats stream edit KV_test --max-bytes 67108864)',
      ]);
    });
  });
});

test('a bucket in which messages end by themselves is none, though it is one of ours', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const folder = newFolder();
  await during(await openStorage(cluster, { folder }), async () => {});
  const manager = await jetstreamManager(await cluster.connect());
  await manager.streams.update('KV_test', { allow_msg_ttl: true });
  await expect(openStorage(cluster, { folder })).rejects.toThrow(
    'the bucket test cannot be a store of coffer any more, since its stream was changed: allow_msg_ttl is set',
  );
});

test('no message removes all others, also where somebody has allowed it meanwhile', async () => {
  cluster = await NatsCluster.start({ size: 1 });
  const connection = await cluster.connect();
  const manager = await jetstreamManager(connection);
  const layout = new Layout('test');
  const folder = newFolder();
  for (const isAllowed of [false, true]) {
    if (isAllowed) await manager.streams.update(layout.stream, { allow_rollup_hdrs: true });
    await during(await openStorage(cluster, { folder }), async (storage) => {
      const key = Buffer.from(isAllowed ? 'two' : 'one');
      await storage.commit({ head: { key, bytes: key }, expectedRevision: 0 });
      const said = headers();
      said.set('Nats-Rollup', 'all');
      const answer = await connection.request(layout.beat('0'.repeat(16)), '', {
        headers: said,
        timeout: 2_000,
      });
      expect(answer.json()).toMatchObject({ error: { description: expect.stringContaining('rollup') } });
    });
  }
  const { config, state } = await manager.streams.info(layout.stream);
  expect(config.allow_rollup_hdrs).toBe(false);
  expect(state.messages).toBeGreaterThan(2);
});

test('a user who may not change a bucket in which one message removes all others is told what to change', async () => {
  const users = [
    { user: 'all', password: 'all' },
    { user: 'limited', password: 'limited', permissions: { publish: { deny: '$JS.API.STREAM.UPDATE.>' } } },
  ];
  await using nats = await NatsServer.start({ config: `authorization: ${JSON.stringify({ users })}` });
  const as = (user: string) => () => connect({ servers: nats.url, user, pass: user, timeout: 2_000 });
  const open = (user: string) => openStorage({ urls: [nats.url] }, { connect: as(user) });
  await during(await open('all'), async () => undefined);
  await during(await open('limited'), async () => undefined);
  const connection = await as('all')();
  const { streams } = await jetstreamManager(connection);
  await streams.update('KV_test', { allow_rollup_hdrs: true });
  await expect(open('limited')).rejects.toMatchObject({
    code: 'unfit_store',
    message: expect.stringContaining('nats stream edit KV_test --no-allow-rollup'),
  });
  await connection.close();
});

test('an instance that is cut off says that it cannot forget a member, not that the member is alive', async () => {
  const layout = new Layout('test');
  const link = new Link(() => Promise.reject(new Error('connection refused')));
  await link.open().catch(() => undefined);
  const onFatal = (error: Error) => {
    throw error;
  };
  const replica = await Replica.open(newFolder(), { minFreeBytes: 0, onFatal });
  const other = { instance: '0000000000000002', life: 0, isForgotten: false, name: 'two' };
  await replica.keepMember({ ...other, version: '0', epoch: 1, at: new Date() });
  const members = new Members({
    seal: new MessageSeal({ stream: layout.stream }),
    answering: async () => [],
    lacksRootKey: async () => false,
    layout,
    link,
    replica,
    name: 'one',
    version: '0',
    position: () => 1,
  });

  await expect(members.forget('two')).rejects.toMatchObject({
    code: 'unavailable',
    message: 'connection refused',
  });
  await link.close();
  await replica.close();
});

async function during<T extends { close(): Promise<void> }>(one: T, task: (one: T) => Promise<void>) {
  try {
    await task(one);
  } finally {
    await one.close();
  }
}
