import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';
import { HealWritten } from '../../packages/engine/src/storage/jetstream/heal-written.js';
import type { Outgoing } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage, put } from '../../packages/engine/src/storage/jetstream/put.js';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { bytes, later, layout, makeBucket, seal } from './followers.js';

/** What a heal has written, as a heal sees to it before it ends. */

const WRITTEN = 300;
const NONE = new Map();
const BEAT = layout.beat('0'.repeat(16));

const aside = (place: number): Outgoing =>
  seal.seal({
    subject: layout.fork(bytes(`s${place}`), '0'.repeat(16), 0),
    headers: [],
    data: bytes(canary('lost')),
  });

async function written() {
  const server = await NatsServer.start();
  later(() => server.stop());
  const connection = await makeBucket(server.url);
  const manager = await jetstreamManager(connection);
  const from = (await put(connection, BEAT, bytes('begin'))) ?? 0;
  const heal = new HealWritten({ connection, manager, layout, from });
  for (let place = 0; place < WRITTEN; place++) {
    const message = aside(place);
    await publishMessage(connection, message);
    heal.add(message);
  }
  return { connection, heal };
}

test('is looked at once, however often something else comes before the heal ends', async () => {
  const { connection, heal } = await written();
  const end = await put(connection, BEAT, bytes('one'));
  expect(await heal.upTo(NONE)).toBe(end);
  const before = connection.stats().inMsgs;
  const next = await put(connection, BEAT, bytes('two'));
  expect(await heal.upTo(NONE)).toBe(next);
  expect(await heal.upTo(NONE)).toBe(next);
  expect(connection.stats().inMsgs - before).toBeLessThan(WRITTEN / 2);
});

test('is not there any more where somebody has written over it since, or a record beside it', async () => {
  const { connection, heal } = await written();
  expect(await heal.upTo(NONE)).toBeDefined();
  const { subject } = aside(7);
  await put(connection, subject, bytes('garbage'));
  expect(await heal.upTo(NONE)).toBeUndefined();
  await publishMessage(connection, aside(7));
  expect(await heal.upTo(NONE)).toBeDefined();
  await put(connection, layout.record(bytes('s')), bytes('garbage'));
  expect(await heal.upTo(NONE)).toBeUndefined();
});
