import { createServer } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { Client } from '../src/index.js';
import { answering, serve } from './http-server.js';

const TOKEN = 'cft_thisIsTheTokenThatNobodyMaySee';
const SECRET = 'correct horse battery staple';

describe('a server that cannot be had', () => {
  test('that nobody listens there is "unreachable", with the address and what to do', async () => {
    await using gone = await answering(200, '');
    const { url } = gone;
    await gone[Symbol.asyncDispose]();

    const failure = new Client({ server: url }).get('x');

    await expect(failure).rejects.toMatchObject({ code: 'unreachable' });
    await expect(failure).rejects.toThrow(
      `cannot reach ${url} (connection refused): check that the server runs`,
    );
  });

  test('that a socket does not exist is "unreachable"', async () => {
    await expect(new Client({ server: 'unix:/nowhere/admin.sock' }).list()).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('cannot reach unix:/nowhere/admin.sock (no such socket)'),
    });
  });

  test('that it does not answer in time is "timeout"', async () => {
    await using silent = await serve(() => {});
    await expect(new Client({ server: silent.url, timeout: 50 }).get('x')).rejects.toMatchObject({
      code: 'timeout',
      message: expect.stringContaining('within 0.05 s'),
    });
  });

  test('that what listens there is no HTTP server is "bad_answer"', async () => {
    const stranger = createServer((socket) => socket.end('220 mail.example.com ESMTP\r\n'));
    await new Promise<void>((resolve) => stranger.listen(0, '127.0.0.1', resolve));
    const address = stranger.address() as { port: number };

    await expect(new Client({ server: `http://127.0.0.1:${address.port}` }).get('x')).rejects.toMatchObject({
      code: 'bad_answer',
    });
    stranger.close();
  });

  test('that TLS is spoken to a server that has none is "unreachable" and says http://', async () => {
    await using plain = await answering(200, '{}');
    const client = new Client({ server: plain.url.replace('http:', 'https:') });
    await expect(client.get('x')).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('http:// rather than https://'),
    });
  });
});

/** Answers the first `refusals` requests so, all others with a version; tells how many came. */
async function busyServer(refusals: number, status: number, headers: Record<string, string>) {
  let requests = 0;
  const server = await serve((request, response) => {
    request.resume().on('end', () => {
      requests++;
      if (requests <= refusals)
        response.writeHead(status, { 'Content-Type': 'text/plain', ...headers }).end('later\n');
      else
        response.writeHead(200, { 'Content-Type': 'application/json' }).end('{"Value":"eA==","Version":1}');
    });
  });
  return { server, client: new Client({ server: server.url }), requests: () => requests };
}

describe('a server that wants to be asked again', () => {
  const SOON = { 'Retry-After': '1' };

  test.concurrent.each([
    [429, { ...SOON, 'Coffer-Error': 'rate_limited' }],
    [503, { ...SOON, 'Coffer-Error': 'busy' }],
    [503, { ...SOON, 'Coffer-Error': 'stopped' }],
    [503, SOON],
  ])('%s with %o is asked again after that time', async (status, headers) => {
    const { server, client, requests } = await busyServer(1, status, headers);
    await using _ = server;
    const begun = performance.now();
    expect((await client.get('x')).version).toBe(1);
    expect(requests()).toBe(2);
    expect(performance.now() - begun).toBeGreaterThan(990);
  });

  test.concurrent.each([
    [429, { 'Retry-After': '30', 'Coffer-Error': 'rate_limited' }, 'rate_limited'],
    [429, { 'Coffer-Error': 'rate_limited' }, 'rate_limited'],
    [503, { ...SOON, 'Coffer-Error': 'storage_full' }, 'storage_full'],
    [403, { ...SOON, 'Coffer-Error': 'access_denied' }, 'access_denied'],
  ])('%s with %o is not', async (status, headers, code) => {
    const { server, client, requests } = await busyServer(1, status, headers);
    await using _ = server;
    await expect(client.get('x')).rejects.toMatchObject({ code, status });
    expect(requests()).toBe(1);
  });

  test.concurrent('gets a change again if the refusal is coffer’s, for then nothing was done', async () => {
    const ours = await busyServer(1, 503, { ...SOON, 'Coffer-Error': 'busy' });
    const others = await busyServer(1, 503, SOON);
    await using _ = ours.server;
    await using __ = others.server;
    await ours.client.delete('x');
    expect(ours.requests()).toBe(2);
    await expect(others.client.delete('x')).rejects.toMatchObject({ status: 503 });
    expect(others.requests()).toBe(1);
  });

  test.concurrent.each([502, 504])('%s of a proxy is asked again for what only reads', async (status) => {
    const reading = await busyServer(1, status, {});
    const changing = await busyServer(1, status, {});
    await using _ = reading.server;
    await using __ = changing.server;
    expect((await reading.client.get('x')).version).toBe(1);
    await expect(changing.client.delete('x')).rejects.toMatchObject({ status });
    expect([reading.requests(), changing.requests()]).toEqual([2, 1]);
  });

  test.concurrent('is asked no more often than the option retries says', async () => {
    const { server, requests } = await busyServer(9, 429, { ...SOON, 'Coffer-Error': 'rate_limited' });
    await using _ = server;
    const client = new Client({ server: server.url, retries: 1 });
    await expect(client.get('x')).rejects.toMatchObject({
      code: 'rate_limited',
      message: expect.stringContaining('later'),
    });
    expect(requests()).toBe(2);
  });
});

describe('an end that the caller sets', () => {
  test('a signal ends the call with its own reason', async () => {
    const stop = new AbortController();
    const reason = new Error('no longer wanted');
    await using silent = await serve(() => stop.abort(reason));
    await expect(new Client({ server: silent.url }).get('x', { signal: stop.signal })).rejects.toBe(reason);
  });

  test('a signal that is over already lets nothing be sent', async () => {
    let requests = 0;
    await using server = await serve((_request, response) => {
      requests += 1;
      response.end();
    });
    await expect(new Client({ server: server.url }).list({ signal: AbortSignal.abort() })).rejects.toThrow();
    expect(requests).toBe(0);
  });

  test('closing the client ends calls under way and refuses later ones', async () => {
    let arrived = () => {};
    const arrival = new Promise<void>((resolve) => (arrived = resolve));
    await using silent = await serve(() => arrived());
    const client = new Client({ server: silent.url });

    const underWay = client.get('x');
    await arrival;
    client.close();

    await expect(underWay).rejects.toMatchObject({ code: 'closed' });
    await expect(client.get('x')).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('connections', () => {
  test('one connection serves many calls', async () => {
    await using server = await answering(200, '{"Value":"","Version":1}');
    let connections = 0;
    server.server.on('connection', () => (connections += 1));
    await using client = new Client({ server: server.url });

    for (let call = 0; call < 5; call++) await client.get('x');

    expect(connections).toBe(1);
  });

  test('what only reads is sent again when its connection breaks', async () => {
    let requests = 0;
    await using server = await serve((request, response) => {
      requests += 1;
      if (requests < 3) request.socket.destroy();
      else response.setHeader('Content-Type', 'application/json').end('{"Value":"djE=","Version":1}');
    });
    await using client = new Client({ server: server.url });

    expect(Buffer.from((await client.get('x')).value).toString()).toBe('v1');
    expect(requests).toBe(3);
  });

  test('an answer that breaks off in its middle is no answer', async () => {
    await using server = await serve((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'application/json', 'Content-Length': '1000' });
      response.write('{"Value":"djE=","Version":1}', () => response.destroy());
    });
    await expect(new Client({ server: server.url, retries: 0 }).get('x')).rejects.toMatchObject({
      code: 'unreachable',
    });
  });

  test('a change is sent again to coffer, under the same operation id', async () => {
    const operations: unknown[] = [];
    await using server = await serve((request, response) => {
      if (request.url === '/api/whoami') {
        response.writeHead(401, { 'Coffer-Error': 'unauthenticated' }).end();
        return;
      }
      operations.push(request.headers['coffer-operation']);
      if (operations.length === 1) request.socket.destroy();
      else response.setHeader('Content-Type', 'application/json').end('2');
    });
    await using client = new Client({ server: server.url });

    expect(await client.put('x', Buffer.from('v'))).toBe(2);
    expect(operations).toHaveLength(2);
    expect(operations[0]).toMatch(/^[0-9a-f-]{36}$/);
    expect(operations[1]).toBe(operations[0]);
  });

  test('a change that may have arrived is not sent again to a server without operation ids, as setec', async () => {
    let changes = 0;
    await using server = await serve((request, response) => {
      if (request.method === 'GET') {
        response.setHeader('Content-Type', 'text/html').end('<!DOCTYPE html>');
        return;
      }
      changes += 1;
      request.socket.destroy();
    });
    await using client = new Client({ server: server.url });

    await expect(client.delete('x')).rejects.toMatchObject({ code: 'unreachable' });
    expect(changes).toBe(1);
  });

  test('every change has an operation id of its own, unless the caller gives one', async () => {
    const operations: unknown[] = [];
    await using server = await serve((request, response) => {
      operations.push(request.headers['coffer-operation']);
      response.setHeader('Content-Type', 'application/json').end('{}');
    });
    await using client = new Client({ server: server.url });

    await client.activate('x', 1);
    await client.activate('x', 1);
    await client.activate('x', 1, { operation: 'mine' });

    expect(operations[0]).not.toBe(operations[1]);
    expect(operations[2]).toBe('mine');
    await expect(client.activate('x', 1, { operation: 'line\nbreak' })).rejects.toMatchObject({
      code: 'invalid_argument',
    });
  });
});

describe('answers that cannot be', () => {
  test.each([
    ['no JSON', `{"Value":"${SECRET}`],
    ['no object', '[]'],
    ['no base64', `{"Value":"${SECRET}!","Version":1}`],
    ['no version', '{"Value":"djE="}'],
    ['a version of 0', '{"Value":"djE=","Version":0}'],
    ['a fractional version', '{"Value":"djE=","Version":1.5}'],
    ['a version beyond 32 bits', '{"Value":"djE=","Version":4294967296}'],
    ['no UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ])('%s is "bad_answer", and the sentence quotes nothing of it', async (_what, body) => {
    await using server = await answering(200, body);
    const error = await new Client({ server: server.url }).get('x').catch((reason) => reason);
    expect(error).toMatchObject({ name: 'CofferClientError', code: 'bad_answer' });
    expect(everythingIn(error)).not.toContain(SECRET);
  });

  test('one that is larger than the limit is "answer_too_large"', async () => {
    await using server = await answering(200, JSON.stringify('x'.repeat(2000)));
    await expect(new Client({ server: server.url, maxAnswerBytes: 1000 }).get('x')).rejects.toMatchObject({
      code: 'answer_too_large',
    });
  });

  test('a web page with an error status is told from a refusal', async () => {
    await using proxy = await answering(404, '<html>', { 'Content-Type': 'text/html' });
    await expect(new Client({ server: proxy.url }).get('x')).rejects.toMatchObject({
      code: 'unexpected_status',
      status: 404,
    });
  });

  test('a redirect is not followed', async () => {
    await using proxy = await answering(302, '', { Location: 'http://127.0.0.1:1/' });
    await expect(new Client({ server: proxy.url, token: TOKEN }).get('x')).rejects.toMatchObject({
      status: 302,
    });
  });

  test('what a server says cannot steer a terminal', async () => {
    await using server = await answering(400, '\u001b[2Jgone\nforged line', { 'Content-Type': 'text/plain' });
    await expect(new Client({ server: server.url }).get('x')).rejects.toThrow(/^ ?\[2Jgone forged line$/);
  });
});

describe('refusals without a code, as of setec', () => {
  const text = { 'Content-Type': 'text/plain; charset=utf-8' };
  test.each([
    [400, 'bad request', 'bad_request'],
    [403, 'access denied', 'access_denied'],
    [404, 'not found', 'not_found'],
    [412, 'version already set', 'version_taken'],
    [500, 'internal error', 'internal'],
  ])('status %i "%s" is "%s"', async (status, body, code) => {
    await using server = await answering(status, `${body}\n`, text);
    await expect(new Client({ server: server.url }).get('x')).rejects.toMatchObject({ code, status });
  });
});

describe('credentials', () => {
  test('a token is sent as a bearer token, and goes before a password in the URL', async () => {
    await using server = await serve((request, response) => {
      response.writeHead(400, { 'Content-Type': 'text/plain' }).end(request.headers.authorization);
    });
    const withUser = server.url.replace('//', '//alice:other@');
    await expect(new Client({ server: withUser, token: TOKEN }).get('x')).rejects.toThrow(`Bearer ${TOKEN}`);
    await expect(new Client({ server: withUser }).get('x')).rejects.toThrow(`Basic ${btoa('alice:other')}`);
  });

  test('no error holds one', async () => {
    await using gone = await answering(200, '');
    const { url } = gone;
    await gone[Symbol.asyncDispose]();
    const attempts = [
      () => new Client({ server: url.replace('//', `//x:${TOKEN}@`) }).get('x'),
      () => new Client({ server: url, token: TOKEN }).get('x'),
      async () => new Client({ server: `x:${TOKEN}@host:99999` }),
      async () => new Client({ server: `http://x:${TOKEN}%@host` }),
      async () => new Client({ server: `http://x:${TOKEN}@host/?query` }),
      async () => new Client({ token: `${TOKEN}\r\nX: y` }),
    ];
    for (const attempt of attempts) {
      const error = await attempt().catch((reason) => reason);
      expect(error).toMatchObject({ name: 'CofferClientError' });
      expect(everythingIn(error)).not.toContain(TOKEN);
    }
  });
});

describe('arguments', () => {
  test.each([
    '127.0.0.1:2633',
    'localhost:2633',
    'ftp://host',
    '',
    'unix:',
    'http://user@host',
    'http://host/#x',
  ])('the address "%s" is refused', (server) => {
    expect(() => new Client({ server })).toThrow(expect.objectContaining({ code: 'invalid_argument' }));
  });

  test('an address is shown without its credential and without a slash at its end', () => {
    expect(new Client({ server: 'https://x:secret@host/base/' }).server).toBe('https://host/base');
    expect(new Client({ server: 'http://[::1]:80' }).server).toBe('http://[::1]');
    expect(new Client().server).toBe('http://127.0.0.1:2633');
  });

  test.each([-1, 1.5, 2 ** 32, Number.NaN])(
    'the version %d rejects before anything is sent',
    async (version) => {
      const client = new Client({ server: 'unix:/nowhere' });
      await expect(client.get('x', { version })).rejects.toMatchObject({ code: 'invalid_version' });
      await expect(client.activate('x', version)).rejects.toMatchObject({ code: 'invalid_version' });
    },
  );
});

function everythingIn(error: Error): string {
  return `${error.message}\n${error.stack}\n${JSON.stringify(error)}\n${String(error.cause)}`;
}

test('what went over a connection is wiped when it is read', async () => {
  const value = Buffer.from(SECRET).toString('base64');
  await using server = await answering(200, JSON.stringify({ Value: value, Version: 1 }));
  await using client = new Client({ server: server.url });
  const made = (['from', 'alloc'] as const).map((how) => vi.spyOn(Buffer, how));
  onTestFinished(() => {
    for (const spy of made) spy.mockRestore();
  });
  const got = await client.get('x');
  await client.createVersion('x', 1, Buffer.from(SECRET)).catch(() => {});
  const bodies = made.flatMap((spy) => spy.mock.results.map(({ value: bytes }) => bytes as Buffer));
  expect(bodies.length).toBeGreaterThan(2);
  expect(bodies.filter((bytes) => bytes.includes(value))).toEqual([]);
  expect(got.value.reveal()).toBe(SECRET);
});
