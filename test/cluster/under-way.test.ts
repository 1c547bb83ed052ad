import { setTimeout as wait } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { headers } from '@nats-io/nats-core';
import { afterAll, expect, onTestFinished, test } from 'vitest';
import type { CofferError } from '../../packages/engine/src/errors.js';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { lastOfMember } from '../../packages/engine/src/storage/jetstream/member-message.js';
import { encodeChange, entryOf, NATS_HEADER } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { sealOf } from '../../packages/engine/test/sealing.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { connectTo, openStorage, removeFolders } from './jetstream-support.js';

const layout = new Layout('test');
const seal = sealOf(layout.stream);
/** So many batches nats-server keeps at a time, of one stream. */
const MOST_BATCHES = 50;
/** Longer than a batch's answer is waited for, and no reason yet to try another server. */
const SILENT_MS = 2_300;

afterAll(removeFolders);

test('an instance does not say that it has read what came while a change of its own is under way', async () => {
  const cluster = await NatsCluster.start({ size: 1 });
  onTestFinished(() => cluster.stop());
  const storage = await openStorage(cluster);
  onTestFinished(() => storage.close());
  const connection = await connectTo(cluster.urls);
  onTestFinished(() => connection.close());
  const manager = await jetstreamManager(connection);
  const set = (at: string) =>
    storage.commit({
      head: { key: Buffer.from(at), bytes: Buffer.from(canary(at)) },
      expectedRevision: 0,
    });
  const revision = await set('removed');
  // Batches that somebody has begun, so that nobody else can begin one.
  for (let index = 0; index < MOST_BATCHES; index++) {
    const begun = headers();
    begun.set(NATS_HEADER.batchId, `never-ended-${index}`);
    begun.set(NATS_HEADER.batchSequence, '1');
    connection.publish(layout.beat(index.toString(16).padStart(16, '0')), '', { headers: begun });
  }
  await connection.flush();
  for (const server of cluster.servers) server.pause();
  let outcome: string | undefined;
  const underWay = set('under way').then(
    () => 'done',
    ({ code }: CofferError) => code,
  );
  void underWay.then((is) => {
    outcome = is;
  });
  // Long enough for an answer that does not come: from then on it is asked again what became of it.
  await wait(SILENT_MS);
  for (const server of cluster.servers) server.resume();
  // Another instance's word, which needs no batch.
  const key = Buffer.from('removed');
  const found = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.record(key) });
  const { messages } = encodeChange(
    { head: { key, bytes: undefined } },
    {
      layout,
      seal,
      position: revision,
      partBytes: 1_000,
      entry: () => entryOf(revision, found?.header),
      generation: () => 0,
    },
  );
  const [removal] = await Promise.all(messages.map((message) => publishMessage(connection, message)));
  await expect.poll(() => storage.get(key)).toBeUndefined();
  const { state } = await manager.streams.info(layout.stream);
  const said = () => lastOfMember(manager, layout, seal, storage.shared.instance);
  const saidAt = async () => (await said())?.sequence;
  await expect.poll(saidAt, { timeout: 8_000 }).toBeGreaterThan(state.last_seq);
  expect(outcome).toBeUndefined();
  const { confirmed = 0 } = (await said())?.said?.note ?? {};
  expect(confirmed).toBeLessThan(removal as number);
  expect(confirmed).toBeGreaterThanOrEqual(revision);
  await underWay;
  const level = async () => (await said())?.said?.note?.confirmed;
  await expect.poll(level, { timeout: 20_000 }).toBeGreaterThanOrEqual(removal as number);
}, 60_000);
