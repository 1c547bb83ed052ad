import { mkdtempSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { type RunningServer, startServer } from '../../cli/test/run.js';
import { Admin } from '../src/admin/index.js';
import { Transport } from '../src/http/transport.js';
import { watch } from '../src/http/watch.js';
import { Client, type WatchEvent } from '../src/index.js';
import { answering, serve } from './http-server.js';

const bytes = (text: string) => new TextEncoder().encode(text);

/** The events without their ids; a test that stops early leaves none open. */
function reading(events: AsyncGenerator<WatchEvent, void>) {
  onTestFinished(() => void events.return());
  return async (count: number): Promise<object[]> => {
    const told = [];
    while (told.length < count) {
      const { value, done } = await events.next();
      if (done) break;
      const { id: _, ...rest } = value;
      told.push(rest);
    }
    return told;
  };
}

describe('watch, of a real server,', () => {
  let server: RunningServer;
  let admin: Client;
  beforeAll(async () => {
    server = await startServer();
    admin = new Client({ server: server.socket });
  });
  afterAll(async () => {
    admin?.close();
    await server?.[Symbol.asyncDispose]();
  });

  test('tells what changes, from the first event on', async () => {
    const next = reading(admin.watch({ secrets: ['told/*'] }));
    expect(await next(1)).toEqual([{ type: 'ready' }]);
    await admin.put('other', bytes('x'));
    await admin.put('told/a b', bytes('one'));
    expect(await next(1)).toEqual([{ type: 'change', name: 'told/a b', versions: [1], activeVersion: 1 }]);
    await admin.createVersion('told/a b', 4, bytes('four'));
    expect(await next(1)).toEqual([{ type: 'change', name: 'told/a b', versions: [1, 4], activeVersion: 4 }]);
    await admin.delete('told/a b');
    expect(await next(1)).toEqual([{ type: 'delete', name: 'told/a b' }]);
  });

  test('goes on behind an event of an earlier watch', async () => {
    const first = admin.watch();
    const { id } = (await first.next()).value as WatchEvent;
    await first.return();
    await admin.put('later', bytes('x'));
    expect(await reading(admin.watch({ since: id }))(2)).toMatchObject([
      { type: 'ready' },
      { name: 'later' },
    ]);
    expect(await reading(admin.watch({ since: 'of-another-life' }))(2)).toEqual([
      { type: 'ready' },
      { type: 'reset' },
    ]);
  });

  test('ends with the signal’s reason, and with the client', async () => {
    const stop = new AbortController();
    const events = admin.watch({ signal: stop.signal });
    await events.next();
    const next = events.next();
    stop.abort(new Error('enough'));
    await expect(next).rejects.toThrow('enough');

    const client = new Client({ server: server.socket });
    const others = client.watch();
    await others.next();
    const last = others.next();
    client.close();
    await expect(last).rejects.toMatchObject({ code: 'closed' });
  });

  test('ends when the token or the last grant is gone, and does not begin without them', async () => {
    const { id, token } = await new Admin(admin).createToken({ name: 'watcher' });
    const client = new Client({ server: server.url, token });
    await expect(client.watch().next()).rejects.toMatchObject({ code: 'access_denied', status: 403 });
    const grant = { to: [`token:${id}`], actions: ['get'] as const, secrets: ['x'] };
    await new Admin(admin).applyPolicy([grant]);
    const [first, second] = [client.watch(), client.watch()];
    await Promise.all([first.next(), second.next()]);
    await new Admin(admin).applyPolicy([{ ...grant, secrets: ['x', 'y'] }]);
    expect((await second.next()).value).toMatchObject({ type: 'reset' });
    expect((await first.next()).value).toMatchObject({ type: 'reset' });
    const denied = expect(first.next()).rejects.toMatchObject({ code: 'access_denied' });
    await new Admin(admin).applyPolicy([]);
    await denied;
    await new Admin(admin).applyPolicy([grant]);
    const third = client.watch();
    await third.next();
    const revoked = expect(third.next()).rejects.toMatchObject({ code: 'unauthenticated' });
    await new Admin(admin).revokeToken(id);
    await revoked;
    await expect(client.watch().next()).rejects.toMatchObject({ code: 'unauthenticated', status: 401 });
    client.close();
  });

  test('refuses patterns of the wrong form', async () => {
    await expect(admin.watch({ secrets: [''] }).next()).rejects.toMatchObject({ code: 'invalid_argument' });
  });
});

test('a watch outlives its server: killed and started again, it says what to do and goes on', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-watch-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const start = () =>
    startServer('--state-dir', join(folder, 'state'), '--root-key', `file:${join(folder, 'root.key')}`);
  const client = new Client({ server: `unix:${join(folder, 'state', 'admin.sock')}` });
  onTestFinished(() => client.close());
  let server = await start();
  const next = reading(client.watch());
  expect(await next(1)).toEqual([{ type: 'ready' }]);
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    await client.put('a', bytes(`before ${signal}`));
    expect(await next(1)).toMatchObject([{ type: 'change', name: 'a' }]);
    await server.stop(signal);
    server = await start();
    expect(await next(1)).toEqual([{ type: 'reset' }]);
  }
  await client.put('b', bytes('x'));
  expect(await next(1)).toMatchObject([{ type: 'change', name: 'b' }]);
  await server[Symbol.asyncDispose]();
});

describe('watch, of a server that does what no coffer does,', () => {
  const EVENTS = { 'Content-Type': 'text/event-stream' };

  /** Answers the connections to it with these, one after the other, the last one for ever. */
  async function scripted(...answers: ((response: ServerResponse) => void)[]) {
    const asked: string[] = [];
    const server = await serve((request, response) => {
      asked.push(request.url ?? '');
      answers[Math.min(asked.length, answers.length) - 1]?.(response);
    });
    onTestFinished(() => server[Symbol.asyncDispose]());
    const client = new Client({ server: server.url });
    onTestFinished(() => client.close());
    return { client, asked, url: server.url };
  }

  test('takes events apart however they were cut, with comments, and knows only what it knows', async () => {
    const text = `: hello\n\nid: s-1\nevent: ready\ndata: {}\n\nretry: 5\n\nevent: news\nid: s-2\ndata: {"a":1}\n\n: heartbeat\nid: s-3\n\nid: s-4\r\nevent: change\r\ndata: {"name":"ä😀","activeVersion":1,"versions":[1]}\r\n\r\n`;
    const { client } = await scripted(async (response) => {
      response.writeHead(200, EVENTS);
      for (const byte of Buffer.from(text)) {
        response.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
    });
    const events = client.watch();
    expect((await events.next()).value).toEqual({ type: 'ready', id: 's-1' });
    expect((await events.next()).value).toEqual({
      type: 'change',
      id: 's-4',
      name: 'ä😀',
      activeVersion: 1,
      versions: [1],
    });
    await events.return();
  });

  test('asks again where it was when a connection breaks, ends, is busy or slow', async () => {
    const ready = (id: string) => `id: s-${id}\nevent: ready\ndata: {}\n\n`;
    const slow = 'event: end\ndata: {"code":"slow","message":""}\n\n';
    const { client, asked } = await scripted(
      (response) => response.writeHead(200, EVENTS).end(`${ready('1')}: heartbeat\nid: s-7\n\n${slow}`),
      (response) => {
        response.writeHead(200, EVENTS).write(ready('7'));
        response.socket?.end();
      },
      (response) => response.writeHead(503, { 'Coffer-Error': 'stopped' }).end(),
      (response) => response.writeHead(502, { 'Content-Type': 'text/html' }).end('bad gateway'),
      (response) => response.writeHead(200, EVENTS).write(`${ready('7')}id: s-9\nevent: reset\ndata: {}\n\n`),
    );
    const heard: string[] = [];
    const watching = client.watch({
      secrets: ['a*', 'b c'],
      onTrouble: ({ code }) => heard.push(code),
      onRecovered: () => heard.push('recovered'),
    });
    const next = reading(watching);
    expect(await next(2)).toEqual([{ type: 'ready' }, { type: 'reset' }]);
    // Once for each outage, however many tries it takes.
    expect(heard).toEqual(['slow', 'recovered', 'unreachable', 'recovered']);
    expect(asked).toHaveLength(5);
    expect(asked[0]).toBe('/api/watch?secrets=a*&secrets=b+c');
    for (const path of asked.slice(1)) expect(path).toBe('/api/watch?secrets=a*&secrets=b+c&since=s-7');
  });

  test('asks again when it hears nothing for too long', async () => {
    const { url, asked } = await scripted((response) => {
      response.writeHead(200, EVENTS).write('id: s-1\nevent: ready\ndata: {}\n\n');
    });
    const transport = new Transport({ server: url, timeout: 5_000, retries: 0, maxAnswerBytes: 1_000 });
    onTestFinished(() => transport.close());
    const events = watch(transport, {}, 50);
    await events.next();
    const next = events.next();
    await expect.poll(() => asked.length).toBeGreaterThan(2);
    transport.close();
    await expect(next).rejects.toMatchObject({ code: 'closed' });
  });

  test.each([
    [200, { 'Content-Type': 'text/html' }],
    [404, { 'Content-Type': 'text/html' }],
    [400, { 'Content-Type': 'text/plain', 'Coffer-Error': 'invalid_method' }],
  ])('finds it unsupported by %i %j', async (status, headers) => {
    await using server = await answering(status, '<html>', headers);
    const client = new Client({ server: server.url });
    await expect(client.watch().next()).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('cannot tell of changes'),
    });
    client.close();
  });

  test('tells at once when the first connection cannot be had', async () => {
    const events = new Client({ server: 'unix:/nowhere', retries: 0 }).watch();
    await expect(events.next()).rejects.toMatchObject({ code: 'unreachable' });
  });

  test.each([
    'event: change\ndata: {"name":"a"}\n\n',
    'event: change\ndata: no json\n\n',
    'event: delete\ndata: {}\n\n',
  ])('takes %j for no event', async (text) => {
    const { client } = await scripted((response) => response.writeHead(200, EVENTS).write(text));
    await expect(client.watch().next()).rejects.toMatchObject({ code: 'bad_answer' });
  });
});
