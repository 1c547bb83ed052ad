import { startTestServer } from '@coffer/testing';
import { describe, expect, onTestFinished, test } from 'vitest';
import { Transport } from '../../src/http/transport.js';
import { watch } from '../../src/http/watch.js';
import { Client, type CofferClientError, type WatchEvent } from '../../src/index.js';
import { type Fault, FaultProxy } from './fault-proxy.js';

/** A server, a faulty way to it, and what a watcher over that way has heard of its secrets so far. */
async function watched() {
  const server = await startTestServer({ secrets: { a: '1' } });
  const proxy = await FaultProxy.open(server.url);
  const client = new Client({ server: proxy.url, token: server.token, timeout: 2_000 });
  onTestFinished(async () => {
    client.close();
    await proxy[Symbol.asyncDispose]();
    await server.close();
  });
  const troubles: string[] = [];
  let recoveries = 0;
  const heard: WatchEvent[] = [];
  const events = client.watch({
    onTrouble: (error) => troubles.push(error.code),
    onRecovered: () => recoveries++,
  });
  const ended = (async () => {
    for await (const event of events) heard.push(event);
  })().catch((error: CofferClientError) => error.code);
  await expect.poll(() => heard).toMatchObject([{ type: 'ready' }]);
  const versions = () =>
    heard.flatMap((event) => (event.type === 'change' && event.name === 'a' ? event.activeVersion : []));
  return { server, proxy, troubles, recoveries: () => recoveries, heard, versions, ended };
}

describe('a watch over a way that fails', () => {
  test.each<[string, Fault]>([
    ['cuts every connection', { kind: 'cut' }],
    ['lets nothing pass', { kind: 'stall' }],
    ['is slow', { kind: 'delay', milliseconds: 150 }],
    ['ends connections within an event', { kind: 'truncate', after: 30 }],
    ['ends connections after some events', { kind: 'truncate', after: 150 }],
  ])('hears every change once when the way is good again: one that %s', async (_, fault) => {
    const breaks = fault.kind === 'cut' || fault.kind === 'truncate';
    const { server, proxy, heard, versions } = await watched();
    await server.mustRotate('a', '2');
    await expect.poll(versions).toEqual([2]);
    proxy.fault = fault;
    for (const value of ['3', '4', '5']) await server.mustRotate('a', value);
    if (breaks) await expect.poll(() => proxy.connections, { timeout: 5_000 }).toBeGreaterThan(1);
    if (fault.kind === 'stall') expect(versions()).toEqual([2]);
    proxy.fault = undefined;
    await server.mustRotate('a', '6');
    await expect.poll(versions, { timeout: 10_000 }).toContain(6);
    // Its connection may be a new one, that tells where it stood and what came since.
    expect(versions()).toEqual([...new Set(versions())]);
    expect(heard.filter(({ type }) => type === 'reset')).toEqual([]);
  });

  test('tells of each outage once, and when it is over', async () => {
    const { server, proxy, troubles, recoveries, versions } = await watched();
    for (const outage of [1, 2]) {
      const before = proxy.connections;
      proxy.fault = { kind: 'cut' };
      await expect.poll(() => proxy.connections, { timeout: 5_000 }).toBeGreaterThan(before + 1);
      proxy.fault = undefined;
      await expect.poll(recoveries, { timeout: 5_000 }).toBe(outage);
      expect(troubles).toEqual(Array(outage).fill('unreachable'));
    }
    await server.mustRotate('a', '2');
    await expect.poll(versions).toEqual([2]);
  });

  test('takes what is garbled for no event, and ends with a code if it cannot go on', async () => {
    const { server, proxy, heard, versions, ended } = await watched();
    let end: string | undefined;
    void ended.then((code) => {
      end = code ?? 'no code';
    });
    proxy.fault = { kind: 'garble', oncePerBytes: 8 };
    await server.mustRotate('a', '2');
    await expect.poll(() => end !== undefined || proxy.connections > 1, { timeout: 5_000 }).toBe(true);
    proxy.fault = undefined;
    await server.mustRotate('a', '3');
    await expect
      .poll(() => end ?? versions(), { timeout: 10_000 })
      .toSatisfy((last) => last === 'bad_answer' || (Array.isArray(last) && last.includes(3)));
    expect(heard.every(({ type }) => ['ready', 'reset', 'change'].includes(type))).toBe(true);
  });
});

test('a watch notices a way on which nothing comes any more, and makes another', async () => {
  await using server = await startTestServer({ secrets: { a: '1' } });
  await using proxy = await FaultProxy.open(server.url);
  const options = {
    server: proxy.url,
    token: server.token,
    timeout: 500,
    retries: 0,
    maxAnswerBytes: 10_000,
  };
  const transport = new Transport(options);
  const events = watch(transport, {}, 200);
  await events.next();
  proxy.fault = { kind: 'stall' };
  const next = events.next();
  await expect.poll(() => proxy.connections, { timeout: 5_000 }).toBeGreaterThan(1);
  proxy.fault = undefined;
  await server.mustRotate('a', '2');
  expect(await next).toMatchObject({ value: { type: 'change', name: 'a', activeVersion: 2 } });
  await events.return();
  transport.close();
});
