import { setTimeout as wait } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import type { Msg } from '@nats-io/nats-core';
import { expect, onTestFinished, test } from 'vitest';
import { Layout } from '../../packages/engine/src/storage/jetstream/layout.js';
import { fingerprint } from '../../packages/engine/src/storage/jetstream/messages.js';
import { admin, bytes, codeOf, text } from '../../packages/engine/test/support.js';
import { canary } from '../support/canary.mjs';
import { NatsCluster } from '../support/cluster.mjs';
import { Engines } from './engines.js';
import { connectTo } from './jetstream-support.js';

/** Two instances, and somebody else who may use the account's subjects. */
async function withStranger(bucket: string, config = '') {
  const cluster = await NatsCluster.start({ size: 1, config });
  onTestFinished(() => cluster.stop());
  const engines = new Engines(cluster, bucket);
  const a = await engines.open('a');
  const b = await engines.open('b');
  const stranger = await connectTo(cluster.urls);
  onTestFinished(() => stranger.close());
  await expect.poll(() => a.engine.sharedHealth?.problem).toBeUndefined();
  await a.engine.put(admin, 'precious', bytes(canary('precious')));
  const value = (engine: typeof a.engine) =>
    engine.get(admin, 'precious').then(
      (found) => text(found.value),
      ({ code }: { code: string }) => code,
    );
  await expect.poll(() => value(b.engine)).toBe(canary('precious'));
  return { a, b, engines, stranger, layout: new Layout(bucket), value };
}

test('what is no question is not answered, and takes nobody the connection', async () => {
  const { a, b, stranger, layout, value } = await withStranger('questions');
  const instance = a.engine.sharedHealth?.instance ?? '';
  const heard: Msg[] = [];
  stranger.subscribe('answers', { callback: (_, message) => void heard.push(message) });
  const nonsense = ['null', '', 'x', '[]', '1', '{}', '{"ask":"record"}', '{"ask":"record","key":7,"from":0}']
    .concat(
      '{"ask":"record","key":"czE","from":-1}',
      '{"ask":"entries","after":7}',
      '{"ask":"entries","after":"?"}',
    )
    .concat(`{"ask":"state","x":"${'x'.repeat(10_000)}"}`);
  for (let round = 0; round < 10; round++) {
    for (const question of nonsense) {
      stranger.publish(layout.peers, question, { reply: 'answers' });
      stranger.publish(layout.peer(instance), question, { reply: 'answers' });
    }
    await stranger.flush();
    await wait(20);
    for (const { engine } of [a, b]) expect(engine.sharedHealth?.connected).toBe(true);
  }
  expect(heard).toEqual([]);
  await a.engine.put(admin, 'precious', bytes(canary('next')));
  expect(await value(a.engine)).toBe(canary('precious'));
  expect(await a.engine.healStorage(admin, { dryRun: true })).toMatchObject({ absent: [], forks: [] });
});

test('what an instance asked is not answered to somebody who asks it again', async () => {
  const { a, b, stranger, layout } = await withStranger('again');
  const asked: Msg[] = [];
  const instance = b.engine.sharedHealth?.instance ?? '';
  for (const subject of [layout.peers, layout.peer(instance)]) {
    stranger.subscribe(subject, { callback: (_, message) => void asked.push(message) });
  }
  await stranger.flush();
  const dryRun = () => a.engine.healStorage(admin, { dryRun: true });
  expect((await dryRun()).compared).toHaveLength(2);
  await stranger.flush();
  expect(asked.map(({ subject }) => subject)).toEqual(
    expect.arrayContaining([layout.peers, layout.peer(instance)]),
  );
  const heard: Msg[] = [];
  const answered = stranger.subscribe('answers', { callback: (_, message) => void heard.push(message) });
  for (const { subject, data, headers } of [...asked]) {
    stranger.publish(subject, data, { reply: 'answers', ...(headers && { headers }) });
  }
  await stranger.flush();
  // What is asked behind them is answered.
  expect((await dryRun()).compared).toHaveLength(2);
  await stranger.flush();
  expect(heard.map(({ data }) => text(data))).toEqual([]);
  answered.unsubscribe();
});

test('a heal takes no notice of what others answer: a record stays, though a stranger says that it was removed', async () => {
  const { a, b, stranger, layout, value } = await withStranger('answers');
  const me = 'ffffffffffffffff';
  const removed: unknown[] = [];
  const manager = await jetstreamManager(stranger);
  const { state } = await manager.streams.info(layout.stream, { subjects_filter: `$KV.answers.r.>` });
  for (const subject of Object.keys(state.subjects ?? {})) {
    const { seq, data } = (await manager.streams.getMessage(layout.stream, { last_by_subj: subject })) ?? {};
    const lineage = [{ revision: seq, fingerprint: fingerprint(data ?? new Uint8Array()) }];
    const key = subject.split('.').at(-1);
    const entry = { revision: (seq ?? 0) + 1, removed: true, isHead: true, lineage, chunks: 0 };
    removed.push([key, { ...entry, fingerprint: fingerprint(new Uint8Array()) }]);
  }
  expect(removed.length).toBeGreaterThan(2);
  const born = await manager.streams.getMessage(layout.stream, { last_by_subj: layout.meta });
  const { incarnation, epoch } = born?.json<{ incarnation: string; epoch: number }>() ?? {};
  const asked: string[] = [];
  const forge = (answer: unknown) => (_: unknown, message: Msg) => {
    asked.push(message.subject);
    message.respond('x');
    message.respond(JSON.stringify(answer), message.headers ? { headers: message.headers } : {});
  };
  const instance = a.engine.sharedHealth?.instance ?? '';
  const other = b.engine.sharedHealth?.instance ?? '';
  const said = { instance: me, incarnation, epoch, healing: false };
  stranger.subscribe(layout.peers, { callback: forge({ ...said, paused: true }) });
  stranger.subscribe(layout.peers, {
    callback: forge({ ...said, instance: 'eeeeeeeeeeeeeeee', paused: false }),
  });
  for (const one of [me, instance, other]) stranger.subscribe(layout.peer(one), { callback: forge(removed) });
  await stranger.flush();

  const report = await a.engine.healStorage(admin, { dryRun: false });
  expect(report).toMatchObject({
    compared: [instance, other],
    absent: [],
    removed: 0,
    restored: 0,
    forks: [],
  });
  expect(asked).toContain(layout.peers);
  expect(asked).toContain(layout.peer(other));
  for (const { engine } of [a, b]) {
    await expect.poll(() => engine.sharedHealth?.problem, { timeout: 30_000 }).toBeUndefined();
    await expect.poll(() => value(engine), { timeout: 10_000 }).toBe(canary('precious'));
  }
});

test('servers that take short messages alone carry the answers, too', async () => {
  const { a, b, engines, stranger, layout, value } = await withStranger('short', 'max_payload: 64KB');
  // More entries than go into one answer.
  for (let i = 0; i < 200; i++) await a.engine.put(admin, `many-${i}`, bytes(canary('many')));
  await a.engine.close();
  const manager = await jetstreamManager(stranger);
  const before = (await manager.streams.info(layout.stream)).state.last_seq;
  const large = Buffer.alloc(300 * 1024, canary('large'));
  await b.engine.put(admin, 'large', large);
  const records = { subjects_filter: `$KV.short.r.>` };
  const { state } = await manager.streams.info(layout.stream, records);
  for (const filter of Object.keys(state.subjects ?? {})) {
    const last = await manager.streams.getMessage(layout.stream, { last_by_subj: filter });
    if ((last?.seq ?? 0) > before) await manager.streams.purge(layout.stream, { filter });
  }

  const again = await engines.open('a');
  await expect.poll(() => value(again.engine), { timeout: 10_000 }).toBe(canary('precious'));
  expect(await codeOf(again.engine.get(admin, 'large'))).toBe('not_found');
  const report = await again.engine.healStorage(admin, { dryRun: false });
  expect(report).toMatchObject({ restored: 2, damaged: [] });
  expect(report.compared).toHaveLength(2);
  const has = ({ engine }: typeof a) =>
    engine.get(admin, 'large').then(
      (found) => large.equals(found.value),
      ({ code }: { code: string }) => code,
    );
  for (const one of [again, b]) await expect.poll(() => has(one), { timeout: 30_000 }).toBe(true);
});
