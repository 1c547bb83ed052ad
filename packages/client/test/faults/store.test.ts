import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FakeTicker } from '@coffer/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Authority } from '../../../../test/support/certificates.mjs';
import { Client, MemoryCache, Store, Updater } from '../../src/index.js';
import { type Fault, generator } from './fault-proxy.js';
import { faultyStore, NAMES } from './faulty-store.js';
import { GARBAGE, garblingServer } from './garbling-server.js';

/** How many faults come one after the other; FAULT_ROUNDS lengthens it. */
const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 10);

describe('the secrets of a store can be read and become current by themselves, over a way that', () => {
  test.each<[string, Fault]>([
    ['cuts every connection', { kind: 'cut' }],
    ['lets nothing pass', { kind: 'stall' }],
    ['is slow', { kind: 'delay', milliseconds: 100 }],
    ['ends connections within an answer', { kind: 'truncate', after: 30 }],
    ['ends connections after some answers', { kind: 'truncate', after: 600 }],
  ])('%s', async (_, fault) => {
    const { proxy, rotate, current } = await faultyStore();
    await rotate();
    await current();
    for (const _ of [1, 2]) {
      const before = proxy.connections;
      proxy.fault = fault;
      await rotate(3);
      const tried = () => proxy.connections > before;
      if (fault.kind === 'cut') await expect.poll(tried, { timeout: 5_000 }).toBe(true);
      proxy.fault = undefined;
      await current();
    }
  });
});

test('a keyring and a value made from a secret follow, too', async () => {
  const { server, proxy, store, rotate, current } = await faultyStore();
  const keyring = await store.keyring('a');
  await using updater = await Updater.open(store, 'b', (value) => value.reveal());
  for (const kind of ['cut', 'stall'] as const) {
    proxy.fault = { kind };
    await rotate(2);
    expect(keyring.active.version).toBe(store.secret('a').version);
    proxy.fault = undefined;
    await current();
    const { versions, activeVersion } = await server.mustInfo('a');
    await expect.poll(() => keyring.versions).toEqual(versions);
    expect(keyring.active.version).toBe(activeVersion);
    expect(updater.get()).toBe(store.secret('b').reveal());
  }
});

test('what does not come in time is asked for again', async () => {
  const { proxy, rotate, current, errors } = await faultyStore({ client: { timeout: 300 } });
  // The event passes, and the fetch that it leads to does not.
  proxy.fault = { kind: 'delay', milliseconds: 400 };
  await rotate();
  await expect.poll(() => errors, { timeout: 5_000 }).toContain('timeout');
  proxy.fault = undefined;
  await current();
});

test('a poll finds what is new over connections that are dead, and nobody said so', async () => {
  const ticker = new FakeTicker();
  const { proxy, rotate, current, store } = await faultyStore({
    client: { timeout: 300 },
    store: { ticker },
  });
  await store.refresh();
  proxy.strand();
  await rotate();
  await ticker.tick();
  await current();
});

test('what TLS finds garbled is asked for again', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-faults-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const authority = new Authority();
  const issued = authority.issue();
  const tls = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem') };
  writeFileSync(tls.cert, issued.cert);
  writeFileSync(tls.key, issued.key, { mode: 0o600 });
  const { proxy, rotate, current, errors } = await faultyStore({
    server: { config: { tls } },
    client: { ca: authority.cert },
  });
  proxy.fault = { kind: 'garble', oncePerBytes: 300 };
  await rotate(5);
  await expect.poll(() => errors.length).toBeGreaterThan(0);
  proxy.fault = undefined;
  await current();
});

test.each([1, 2, 3])('garbled answers do a store no harm (seed %i)', async (seed) => {
  const ticker = new FakeTicker();
  const { proxy, rotate, current } = await faultyStore({ seed, garbled: true, store: { ticker } });
  for (const oncePerBytes of [8, 200]) {
    proxy.fault = { kind: 'garble', oncePerBytes };
    await rotate(3);
    await ticker.tick();
    proxy.fault = undefined;
    // A poll, since a watch that got nonsense need not go on at once.
    await ticker.tick();
    await rotate();
    await ticker.tick();
    await current();
  }
});

test(`a store outlives ${ROUNDS} faults, as they come`, { timeout: 1_200_000 }, async () => {
  const seed = Math.floor(Math.random() * 2 ** 32);
  onTestFinished(({ task }) => {
    if (task.result?.state === 'fail') console.log(`the seed was ${seed}`);
  });
  const random = generator(seed);
  const faults: readonly (() => Fault)[] = [
    () => ({ kind: 'cut' }),
    () => ({ kind: 'stall' }),
    () => ({ kind: 'delay', milliseconds: Math.floor(random() * 50) }),
    () => ({ kind: 'truncate', after: Math.floor(random() * 2_000) }),
  ];
  const ticker = new FakeTicker();
  const cache = new MemoryCache();
  const { proxy, store, rotate, current } = await faultyStore({ store: { ticker, cache } });
  for (let round = 0; round < ROUNDS; round++) {
    proxy.fault = faults[Math.floor(random() * faults.length)]?.();
    await rotate(1 + Math.floor(random() * 4));
    if (random() < 0.3) void ticker.tick();
    if (random() < 0.5) continue;
    proxy.fault = undefined;
    // Not all wait for the watch, which pauses for longer and longer when its connections do not last.
    await ticker.tick();
    await current();
  }
  proxy.fault = undefined;
  await ticker.tick();
  await current();
  const versions = NAMES.map((name) => store.secret(name).version);
  await store.close();
  // What it leaves is enough for the next one, without any server.
  const client = new Client({ server: 'http://127.0.0.1:9', retries: 0 });
  await using next = await Store.open({ client, secrets: NAMES, cache, onError: () => {} });
  expect(NAMES.map((name) => next.secret(name).version)).toEqual(versions);
  client.close();
});

test('a store outlives the server, that is stopped and started again', async () => {
  const { server, store, rotate, current, errors } = await faultyStore();
  for (const _ of [1, 2]) {
    await server.stop();
    await expect(store.refresh()).rejects.toMatchObject({ code: 'unreachable' });
    await server.start();
    await rotate();
    await current();
  }
  // A server that stops says so, if it still can.
  expect(errors).toContain('unreachable');
  expect(errors.every((code) => code === 'unreachable' || code === 'stopped')).toBe(true);
});

describe('a store keeps its values, and goes on where it was, when in the place of its server', () => {
  test.each(Object.keys(GARBAGE))('%s is answered', async (garbage) => {
    await using garbler = await garblingServer();
    garbler.garbage = garbage;
    const ticker = new FakeTicker();
    const client = { timeout: 500 };
    const { server, proxy, store, rotate, current, errors } = await faultyStore({
      client,
      store: { ticker },
    });
    proxy.target = garbler.port;
    proxy.cut();
    await ticker.tick();
    await expect(store.refresh()).rejects.toMatchObject({ code: expect.any(String) });
    expect(garbler.asked).toBeGreaterThan(0);
    expect(errors.length).toBeGreaterThan(0);
    proxy.target = Number(new URL(server.url).port);
    proxy.cut();
    await ticker.tick();
    await rotate();
    // Pushed, that is: nobody polls any more.
    await current();
  });
});
