import { expect, onTestFinished, test } from 'vitest';
import { canary } from '../../../test/support/canary.mjs';
import { Client, type ClientOptions } from '../src/index.js';
import { type HttpServer, serve } from './http-server.js';

/** Hangs up on the first request; remembers what the callers showed. */
async function listening(): Promise<HttpServer & { readonly shown: unknown[] }> {
  const shown: unknown[] = [];
  const server = await serve((request, response) => {
    shown.push(request.headers.authorization);
    if (shown.length === 1) request.socket.destroy();
    else response.setHeader('Content-Type', 'application/json').end('{"Value":"","Version":1}');
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return Object.assign(server, { shown });
}

function clientOf(server: HttpServer, token: NonNullable<ClientOptions['token']>): Client {
  const client = new Client({ server: server.url, token });
  onTestFinished(() => client.close());
  return client;
}

test('a function is asked for the token before each request, repeated ones too', async () => {
  const server = await listening();
  let asked = 0;
  const client = clientOf(server, async () => `token-${++asked}`);
  await client.get('x');
  await client.get('x');
  expect(server.shown).toEqual(['Bearer token-1', 'Bearer token-2', 'Bearer token-3']);
});

test('a function that fails is told with what it threw, and nothing is sent', async () => {
  const server = await listening();
  const cause = new Error('the agent is down');
  const client = clientOf(server, () => {
    throw cause;
  });
  await expect(client.get('x')).rejects.toMatchObject({ code: 'no_token', thrown: cause });
  await expect(client.watch().next()).rejects.toMatchObject({ code: 'no_token', thrown: cause });
  expect(server.shown).toEqual([]);
});

test.each([
  ['a line feed', `${canary('token')}\n`],
  ['nothing', ''],
  ['no text', undefined],
])('a function that gives %s gave no token, and what it gave is not told', async (_what, token) => {
  const server = await listening();
  const failure = await clientOf(server, () => token as string)
    .get('x')
    .catch((error) => error);
  expect(failure).toMatchObject({ code: 'no_token' });
  expect(`${failure.stack}${failure.cause}`).not.toContain(canary('token'));
  expect(server.shown).toEqual([]);
});

test('a call ends by its signal, in time, and with its client, while the function is asked', async () => {
  const server = await listening();
  const never = () => new Promise<string>(() => {});
  const stop = new AbortController();
  const client = clientOf(server, never);
  const [aborted, closed] = [client.get('x', { signal: stop.signal }), client.get('x')];
  stop.abort(new Error('enough'));
  await expect(aborted).rejects.toThrow('enough');
  client.close();
  await expect(closed).rejects.toMatchObject({ code: 'closed' });
  const hasty = new Client({ server: server.url, token: never, timeout: 20 });
  await expect(hasty.get('x')).rejects.toMatchObject({ code: 'timeout' });
});

test('a watch goes on when the function fails for a while', async () => {
  let [asked, connections] = [0, 0];
  const server = await serve((_, response) => {
    const event = ++connections === 1 ? 'ready' : 'reset';
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    response.write(`id: s-${connections}\nevent: ${event}\ndata: {}\n\n`);
    if (connections === 1) response.end();
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const client = clientOf(server, () => {
    if (++asked === 2) throw new Error('the agent is down');
    return 'token';
  });
  const events = client.watch();
  expect((await events.next()).value).toMatchObject({ type: 'ready' });
  expect((await events.next()).value).toMatchObject({ type: 'reset' });
  expect(asked).toBe(3);
});

test('a token from a function over a network in clear is exposed', () => {
  expect(new Client({ server: 'http://secrets.example', token: () => 'x' }).exposed).toBe(true);
  expect(new Client({ server: 'http://secrets.example' }).exposed).toBe(false);
});
