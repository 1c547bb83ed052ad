import { jetstreamManager } from '@nats-io/jetstream';
import { expect, test } from 'vitest';

import { HEADER_KEY } from '../../packages/engine/src/keys.js';
import { HEADER, Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { printOf } from '../../packages/engine/src/storage/jetstream/message-seal.js';
import { fingerprint, fingerprintSaid } from '../../packages/engine/src/storage/jetstream/messages.js';
import { publishMessage } from '../../packages/engine/src/storage/jetstream/put.js';
import { admin, bytes, codeOf, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { later } from './followers.js';
import { connectTo } from './jetstream-support.js';

const WAIT = { timeout: 30_000 };

test('a header that somebody else removes is removed nowhere: all stop, and a heal brings it back', {
  timeout: 120_000,
}, async () => {
  const cluster = await NatsCluster.start({ size: 1 });
  later(() => cluster.stop());
  const engines = new Engines(cluster, 'removed');
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.put(admin, 'db', bytes(canary('one')));
  await a.engine.rotateKeys(admin);
  const connection = await connectTo(cluster.urls);
  later(() => connection.close());
  const layout = new Layout('removed');
  const subject = layout.record(HEADER_KEY);
  const manager = await jetstreamManager(connection);
  const last = () => manager.streams.getMessage(layout.stream, { last_by_subj: subject });
  const header = await last();

  const print = printOf(bytes(''));
  for (const kind of ['head', 'side'] as const) {
    const before = await last();
    const lineage = `${before?.seq}:${fingerprintSaid(before?.header)}`;
    const said = [
      [HEADER.lineage, lineage],
      [HEADER.operation, 'DEL'],
      [HEADER.kind, kind],
      [HEADER.print, print],
    ] as const;
    await publishMessage(connection, { subject, headers: said, data: bytes('') });
    for (const { engine } of [a, b]) {
      await expect.poll(() => engine.sharedHealth?.alarm?.kind, WAIT).toBe('damaged');
      expect(await codeOf(engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(store_alarm|stale)$/);
    }
    await a.engine.healStorage(admin, { dryRun: false });
    for (const { engine, fatal } of [a, b]) {
      await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
      await expect.poll(async () => text((await engine.get(admin, 'db')).value), WAIT).toBe(canary('one'));
      expect(fatal).toEqual([]);
    }
    expect((await last())?.data).toEqual(header?.data);
  }
  await b.engine.put(admin, 'db', bytes(canary('two')));
});

test('a header whose ring opens nowhere holds all up, says so, and is gone after a heal', {
  timeout: 120_000,
}, async () => {
  const cluster = await NatsCluster.start({ size: 1 });
  later(() => cluster.stop());
  const engines = new Engines(cluster, 'closed');
  const a = await engines.open('a');
  const b = await engines.open('b');
  await a.engine.put(admin, 'db', bytes(canary('one')));
  const connection = await connectTo(cluster.urls);
  later(() => connection.close());
  const layout = new Layout('closed');
  const subject = layout.record(HEADER_KEY);
  const manager = await jetstreamManager(connection);
  const last = () => manager.streams.getMessage(layout.stream, { last_by_subj: subject });
  const before = await last();
  const header = before?.json<{ generation: number; proof: string; ring: string }>();
  const forged = bytes(JSON.stringify({ ...header, generation: 1_000, proof: 'AAAA' }));
  const said = [
    [HEADER.lineage, `${before?.seq}:${fingerprintSaid(before?.header)}`],
    [HEADER.kind, 'head'],
    [HEADER.print, printOf(forged)],
  ] as const;
  await publishMessage(connection, { subject, headers: said, data: forged });
  for (const { engine, notices } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.problem?.message, WAIT).toContain('coffer storage heal');
    expect(engine.lacksRootKey).toBe(true);
    expect(notices.join()).toContain('coffer storage heal');
    expect(await codeOf(engine.put(admin, 'db', bytes(canary('no'))))).toMatch(/^(unavailable|stale)$/);
  }
  await a.engine.healStorage(admin, { dryRun: false });
  for (const { engine } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.problem, WAIT).toBeUndefined();
    expect(engine.lacksRootKey).toBe(false);
    await expect.poll(async () => text((await engine.get(admin, 'db')).value), WAIT).toBe(canary('one'));
    await engine.put(admin, 'db', bytes(canary('two')));
    await engine.activate(admin, 'db', 1);
  }
  expect((await last())?.data).toEqual(before?.data);
  const kept = layout.fork(HEADER_KEY, fingerprint(forged), 0);
  expect((await manager.streams.getMessage(layout.stream, { last_by_subj: kept }))?.data).toEqual(
    Uint8Array.from(forged),
  );
});
