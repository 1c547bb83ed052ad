import type { IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { inspect } from 'node:util';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { canary, expectNoCanary } from '../../../test/support/canary.mjs';
import { parseAddress } from '../src/address.js';
import { Connections } from '../src/http/connections.js';
import { Credential } from '../src/http/credential.js';
import { readBlocks } from '../src/http/event-stream.js';
import { Client, MemoryCache, Store } from '../src/index.js';
import { answering, serve } from './http-server.js';

/** Writes these bytes when a request comes; no HTTP server would. */
async function speaking(bytes: string | ((socket: Socket) => void)): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
    socket.once('data', () => (typeof bytes === 'string' ? socket.write(bytes) : bytes(socket)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

const SWITCHING = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';

describe('an answer before the answer', () => {
  test('101 ends the call: what comes then is not HTTP', async () => {
    const client = new Client({ server: await speaking(SWITCHING) });
    await expect(client.get('x')).rejects.toMatchObject({ code: 'bad_answer', status: 101 });
    await expect(client.watch().next()).rejects.toMatchObject({ code: 'bad_answer' });
  });

  test.each([
    ['102 once', 'HTTP/1.1 102 Processing\r\n\r\n'],
    ['103 a hundred times', 'HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n'.repeat(100)],
    ['100 unasked', 'HTTP/1.1 100 Continue\r\n\r\n'],
  ])('%s is waited out, until the timeout, the signal or the client’s end', async (_what, bytes) => {
    const server = await speaking(bytes);
    await expect(new Client({ server, timeout: 50 }).get('x')).rejects.toMatchObject({ code: 'timeout' });
    const client = new Client({ server });
    const signal = AbortSignal.timeout(50);
    await expect(client.get('x', { signal })).rejects.toMatchObject({ name: 'TimeoutError' });
    const last = client.get('x');
    setTimeout(() => client.close(), 50);
    await expect(last).rejects.toMatchObject({ code: 'closed' });
  });

  test('101 to a watch that has begun is a trouble that passes', async () => {
    let requests = 0;
    await using server = await serve((request, response) => {
      requests++;
      if (requests === 2) return void request.socket.write(SWITCHING);
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      response.write(`event: ${requests === 1 ? 'ready' : 'reset'}\nid: 1\ndata: {}\n\n`);
      if (requests === 1) setTimeout(() => request.socket.destroy(), 20);
    });
    const troubles: unknown[] = [];
    const client = new Client({ server: server.url });
    const told: string[] = [];
    for await (const { type } of client.watch({ onTrouble: ({ code }) => troubles.push(code) })) {
      told.push(type);
      if (type === 'reset') break;
    }
    expect([told, troubles, requests]).toEqual([['ready', 'reset'], ['unreachable'], 3]);
    client.close();
  });
});

describe('a stream of events', () => {
  async function* drip(bytes: number, drops: number): AsyncGenerator<Uint8Array, void> {
    yield Buffer.from(`event: change\ndata: ${'x'.repeat(bytes)}`);
    for (let drop = 0; drop < drops; drop++) yield Buffer.from('y');
    yield Buffer.from('\r\n\r\n');
  }

  test('that comes byte by byte costs no more than its bytes', async () => {
    const began = performance.now();
    const blocks = [];
    for await (const block of readBlocks(drip(2 ** 21, 20_000))) blocks.push([block.type, block.data.length]);
    expect(blocks).toEqual([['change', 2 ** 21 + 20_000]]);
    // To look again at all that has come, at each drop, takes a minute.
    expect(performance.now() - began).toBeLessThan(2_000);
  });

  test.each([
    ['one long line', 'x'.repeat(2 ** 16)],
    ['many short ones', ': x\n'.repeat(2 ** 14)],
  ])('without an end is read no further than 4 MiB: %s', async (_what, text) => {
    let sent = 0;
    const endless = async function* () {
      for (; sent < 2 ** 24; sent += text.length) yield Buffer.from(text);
    };
    const reading = readBlocks(endless()).next();
    await expect(reading).rejects.toMatchObject({ code: 'bad_answer' });
    expect(sent).toBeLessThan(2 ** 22 + 2 ** 17);
  });
});

describe('an answer to another question', () => {
  const json = (body: object) => answering(200, JSON.stringify(body));

  test('get of one version takes no other', async () => {
    await using server = await json({ Value: 'YQ==', Version: 7 });
    await using client = new Client({ server: server.url });
    expect(await client.get('a', { version: 7 })).toMatchObject({ version: 7 });
    await expect(client.get('a', { version: 3 })).rejects.toMatchObject({ code: 'bad_answer' });
    const singly = client.getMany([{ name: 'a', version: 3 }]);
    await expect(singly).rejects.toMatchObject({ code: 'bad_answer' });
  });

  test.each([
    [{ version: 3 }, { version: 7, value: 'YQ==' }],
    [{}, { version: 7, unchanged: true }],
    [{ known: 0 }, { version: 7, unchanged: true }],
    [{ known: 6 }, { version: 7, unchanged: true }],
    [{ version: 7 }, { version: 7, unchanged: true }],
  ])('getMany of %j does not take %j', async (asked, answer) => {
    await using server = await json({ secrets: [{ name: 'a', ...answer }] });
    await using client = new Client({ server: server.url });
    await expect(client.getMany([{ name: 'a', ...asked }])).rejects.toMatchObject({ code: 'bad_answer' });
  });

  test('that nothing changed, said to who knows nothing, is none', async () => {
    await using server = await answering(304, '');
    await using client = new Client({ server: server.url });
    expect(await client.getIfChanged('a', 3)).toBeUndefined();
    await expect(client.getIfChanged('a', 0)).rejects.toMatchObject({ code: 'unexpected_status' });
  });

  test.each(['toString', 'constructor', '__proto__'])(
    'a grant with the condition %s is not shown without it',
    async (condition) => {
      const server = { version: '1', storeId: '0'.repeat(32), serverKey: `N${'A'.repeat(55)}` };
      const grant = `{"to":["a"],"actions":["get"],"secrets":["*"],"when":{"${condition}":["x"]}}`;
      await using odd = await answering(
        200,
        `{"principals":[],"grants":[${grant}],"server":${JSON.stringify(server)}}`,
      );
      await using client = new Client({ server: odd.url });
      await expect(client.whoami()).rejects.toMatchObject({
        code: 'bad_answer',
        message: expect.stringContaining(`when.${condition}`),
      });
    },
  );
});

test.each([
  ['too large', 8],
  ['cut', 1_000],
])('what came of an answer that is %s is wiped', async (_what, maxAnswerBytes) => {
  const chunk = Buffer.from(canary('half an answer'));
  const cut = async function* () {
    yield chunk;
    throw new Error('cut');
  };
  const address = parseAddress('http://localhost');
  const connections = new Connections(address, new Credential({}, address), { maxAnswerBytes });
  await expect(connections.read(cut() as unknown as IncomingMessage)).rejects.toThrow();
  expect(chunk.every((byte) => byte === 0)).toBe(true);
});

test('a server that does not know getMany is asked again after a minute', async () => {
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const asked: string[] = [];
  let isSetec = true;
  await using server = await serve((request, response) => {
    request.resume();
    asked.push(request.url ?? '');
    if (isSetec && request.url === '/api/get-many') {
      return void response.writeHead(400, { 'Content-Type': 'text/plain' }).end('invalid method\n');
    }
    const answer = { Value: 'YQ==', Version: 1, secrets: [{ name: 'a', value: 'YQ==', version: 1 }] };
    response.setHeader('Content-Type', 'application/json').end(JSON.stringify(answer));
  });
  await using client = new Client({ server: server.url });
  await client.getMany([{ name: 'a' }]);
  isSetec = false;
  await client.getMany([{ name: 'a' }]);
  vi.advanceTimersByTime(60_001);
  await client.getMany([{ name: 'a' }]);
  await client.getMany([{ name: 'a' }]);
  expect(asked.map((path) => path.replace('/api/', ''))).toEqual([
    'get-many',
    'get',
    'get',
    'get-many',
    'get-many',
  ]);
});

test('one signal may be given to any number of calls, and keeps no listener afterwards', async () => {
  const warnings: string[] = [];
  const onWarning = ({ name }: Error) => warnings.push(name);
  process.on('warning', onWarning);
  onTestFinished(() => void process.off('warning', onWarning));
  await using server = await answering(200, '{"Value":"YQ==","Version":1}');
  await using silent = await serve(() => {});
  const stop = new AbortController();
  const remove = vi.spyOn(stop.signal, 'removeEventListener');
  await using client = new Client({ server: server.url });
  const many = () => Promise.all(Array.from({ length: 30 }, () => client.get('x', { signal: stop.signal })));
  await many();
  expect(remove).toHaveBeenCalled();
  await many();
  await using slow = new Client({ server: silent.url });
  const waiting = Array.from({ length: 30 }, () =>
    slow.get('x', { signal: stop.signal }).catch((error) => error),
  );
  stop.abort('enough');
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(['enough']));
  await new Promise(setImmediate);
  expect(warnings).toEqual([]);
});

describe('a 401 or 403 of something between', () => {
  test.each([
    [401, 'text/plain', 'Jwt is missing', {}],
    [401, 'text/plain', 'access denied', {}],
    [401, 'text/html', '<html>', {}],
    [403, 'text/plain', 'RBAC: access denied', {}],
    [403, 'text/plain', '', { 'Coffer-Error': 'No code.' }],
    [403, 'application/json', '{"message":"access denied by policy"}', {}],
  ])('%i %s "%s" is no refusal of the server’s', async (status, type, body, headers) => {
    await using proxy = await answering(status, body, { 'Content-Type': type, ...headers });
    await using client = new Client({ server: proxy.url, token: 'x' });
    const failure = { code: 'unexpected_status', status, message: expect.stringContaining('in between') };
    await expect(client.get('a')).rejects.toMatchObject(failure);
    await expect(client.getMany([{ name: 'a' }])).rejects.toMatchObject(failure);
    await expect(client.watch().next()).rejects.toMatchObject(failure);
  });

  test('takes nothing out of a cache, as one of the server’s does', async () => {
    let answer: { status: number; body: string; headers?: object } = {
      status: 200,
      body: '{"secrets":[{"name":"a","value":"YQ==","version":1}]}',
    };
    await using server = await serve((request, response) => {
      request.resume();
      response.writeHead(answer.status, { 'Content-Type': 'text/plain', ...answer.headers }).end(answer.body);
    });
    await using client = new Client({ server: server.url });
    const cache = new MemoryCache();
    await using store = await Store.open({ client, secrets: ['a'], cache, watch: false, onError: () => {} });
    const kept = () => Buffer.from(cache.read() ?? '').includes('"a"');
    expect(kept()).toBe(true);
    answer = { status: 403, body: 'RBAC: access denied' };
    await expect(store.refresh()).rejects.toMatchObject({ code: 'unexpected_status' });
    answer = { status: 401, body: 'who are you?' };
    await expect(store.refresh()).rejects.toMatchObject({ code: 'unexpected_status' });
    expect(kept()).toBe(true);
    answer = { status: 401, body: '{}', headers: { 'Coffer-Error': 'unauthenticated' } };
    await expect(store.refresh()).rejects.toMatchObject({ code: 'unauthenticated' });
    await expect.poll(kept).toBe(false);
  });
});

test('no message shows a token that stands in the wrong place', () => {
  const token = `cft_${canary('misplaced')}`;
  const told: unknown[] = [];
  const note = (work: () => unknown) => {
    try {
      work();
    } catch (error) {
      told.push(error);
    }
  };
  for (const server of [
    token,
    `https://u:${token}%40host`,
    `host/?token=${token}`,
    `host#${token}`,
    `x:${token}@h:99999`,
  ]) {
    note(() => new Client({ server }));
    note(() => Client.fromEnv({ COFFER_SERVER: server }));
  }
  for (const variable of ['COFFER_TOKEN_FILE', 'COFFER_CREDS', 'COFFER_CA']) {
    note(() => Client.fromEnv({ [variable]: token }));
    note(() => Client.fromEnv({ [variable]: `-----BEGIN\n/${token}` }));
  }
  expect(told).toHaveLength(16);
  expectNoCanary(inspect(told, { depth: 9 }), 'the errors');
});
