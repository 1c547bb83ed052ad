import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { RunningServer } from '../src/index.js';
import { call, SETEC_HEADERS, type Sent, send, startTestServer } from './support.js';

const HEADER = { 'Sec-X-Tailscale-No-Browsers': 'setec' };
const value = (text: string) => Buffer.from(text).toString('base64');

interface Event {
  readonly type: string;
  readonly id?: string;
  // biome-ignore lint/suspicious/noExplicitAny: what it is, each test says by what it expects
  readonly data?: any;
}

/** A watch as it comes over HTTP, read as the standard for server-sent events says. */
class Events {
  readonly #blocks: string[] = [];
  #rest = '';
  #onNews: () => void = () => {};
  ended = false;

  constructor(response: NodeJS.ReadableStream) {
    response.setEncoding('utf8');
    response.on('data', (text) => {
      const parts = (this.#rest + text).split('\n\n');
      this.#rest = parts.pop() ?? '';
      this.#blocks.push(...parts);
      this.#onNews();
    });
    response.on('close', () => {
      this.ended = true;
      this.#onNews();
    });
  }

  /** The next block, heartbeats too; undefined when the connection has ended. */
  async next(): Promise<Event | undefined> {
    while (this.#blocks.length === 0 && !this.ended) {
      await new Promise<void>((resolve) => {
        this.#onNews = resolve;
      });
    }
    const block = this.#blocks.shift();
    if (block === undefined) return undefined;
    const lines = block.split('\n').map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)] as const;
    });
    const field = (name: string) => lines.find(([field]) => field === name)?.[1];
    const [id, data] = [field('id'), field('data')];
    return {
      type: field('event') ?? field('') ?? '',
      ...(id !== undefined && { id }),
      ...(data !== undefined && { data: JSON.parse(data) }),
    };
  }

  async take(count: number): Promise<Event[]> {
    const taken = [];
    while (taken.length < count) taken.push((await this.next()) ?? { type: 'over' });
    return taken;
  }
}

async function open(server: RunningServer, query = '', { headers = {}, socket = false }: Sent = {}) {
  const where = socket ? { socketPath: server.socketPath } : server.address;
  return new Promise<{ status: number; headers: Record<string, unknown>; events: Events; leave: () => void }>(
    (resolve, reject) => {
      const path = `/api/watch${query}`;
      const request = httpRequest({ ...where, path, headers: { ...HEADER, ...headers }, agent: false });
      request.on('error', reject);
      request.on('response', (response) => {
        response.on('error', () => {});
        const { statusCode: status = 0, headers } = response;
        resolve({ status, headers, events: new Events(response), leave: () => void request.destroy() });
      });
      onTestFinished(() => void request.destroy());
      request.end();
    },
  );
}

/** A token with a grant. */
async function withToken(server: RunningServer, secrets: readonly string[], expiresIn?: number) {
  const socket = { socket: true };
  const made = JSON.parse((await call(server, 'admin/tokens', { name: 't', expiresIn }, socket)).body);
  const grants = [{ to: [`token:${made.id}`], actions: ['get'], secrets }];
  await call(server, 'admin/policy', { grants }, socket);
  return {
    sent: { headers: { Authorization: `Bearer ${made.token}` } },
    revoke: () => call(server, 'admin/tokens/revoke', { id: made.id }, socket),
    dropGrants: () => call(server, 'admin/policy', { grants: [] }, socket),
  };
}

describe('GET /api/watch', () => {
  it('is a stream of events that nobody may keep, with an id for each', async () => {
    const server = await startTestServer();
    const { status, headers, events } = await open(server);
    expect([status, headers['content-type'], headers['cache-control']]).toEqual([
      200,
      'text/event-stream',
      'no-store',
    ]);
    expect(await events.next()).toEqual({ type: 'ready', id: expect.any(String), data: {} });
    const Name = 'a\n\ndata: {}\r\u2028"\u{1f600}';
    await call(server, 'put', { Name, Value: value('one') });
    await call(server, 'create-version', { Name, Version: 7, Value: value('two') });
    const changed = (activeVersion: number, versions: number[]) => ({
      type: 'change',
      id: expect.any(String),
      data: { name: Name, activeVersion, versions },
    });
    const [first, second] = await events.take(2);
    expect([first, second]).toEqual([changed(1, [1]), changed(7, [1, 7])]);
    expect(second?.id).not.toBe(first?.id);
    await call(server, 'delete', { Name });
    expect(await events.next()).toEqual({ type: 'delete', id: expect.any(String), data: { name: Name } });
  });

  it('is of some secrets by patterns', async () => {
    const server = await startTestServer();
    const { events } = await open(server, '?secrets=prod/*&secrets=a%20b%26%C3%A4');
    await events.next();
    for (const Name of ['prod/x', 'other', 'a b&ä']) await call(server, 'put', { Name, Value: '' });
    expect((await events.take(2)).map(({ data }) => data.name)).toEqual(['prod/x', 'a b&ä']);
  });

  it('goes on after the event that the header Last-Event-ID or the query names', async () => {
    const server = await startTestServer();
    const { events, leave } = await open(server);
    const { id = '' } = (await events.next()) ?? {};
    leave();
    await call(server, 'put', { Name: 'a', Value: '' });
    for (const [query, headers] of [
      [`?since=${id}`, {}],
      ['', { 'Last-Event-ID': id }],
      ['?since=x', { 'Last-Event-ID': id }],
    ] as const) {
      const next = await open(server, query, { headers });
      expect(await next.events.take(2)).toMatchObject([{ type: 'ready', id }, { type: 'change' }]);
    }
    const lost = await open(server, '?since=of-another-life');
    expect(await lost.events.take(2)).toMatchObject([{ type: 'ready' }, { type: 'reset', data: {} }]);
  });

  it('ends when the token is revoked, when it expires, when no grant is left', async () => {
    const server = await startTestServer({ dev: false });
    for (const [code, end] of [
      ['unauthenticated', 'revoke'],
      ['access_denied', 'dropGrants'],
    ] as const) {
      const token = await withToken(server, ['*']);
      const { events } = await open(server, '', token.sent);
      await events.next();
      await token[end]();
      expect(await events.take(2)).toEqual([
        { type: 'end', data: { code, message: expect.any(String) } },
        { type: 'over' },
      ]);
    }
    const { sent } = await withToken(server, ['*'], 1);
    const { events } = await open(server, '', sent);
    expect(await events.take(3)).toMatchObject([
      { type: 'ready' },
      { type: 'end', data: { code: 'unauthenticated' } },
      { type: 'over' },
    ]);
    expect((await open(server, '', sent)).status).toBe(401);
  });

  it('is refused like every route: browsers, strangers, other methods, bad queries, who may get nothing', async () => {
    const server = await startTestServer({ dev: false });
    const { sent, dropGrants } = await withToken(server, ['x']);
    await dropGrants();
    const socket = { socket: true, headers: HEADER };
    const many = Array.from({ length: 33 }, () => 'secrets=a').join('&');
    const refusals: [string, Sent, number, string][] = [
      ['', {}, 403, 'access_denied'],
      ['', { headers: HEADER }, 401, 'unauthenticated'],
      ['', { headers: { ...HEADER, ...sent.headers } }, 403, 'access_denied'],
      ['', { method: 'POST', headers: SETEC_HEADERS }, 400, 'invalid_method'],
      ['?secret=a', socket, 400, 'bad_request'],
      ['?since=a&since=b', socket, 400, 'bad_request'],
      [`?${many}`, socket, 400, 'bad_request'],
      ['?secrets=', socket, 400, 'invalid_argument'],
    ];
    for (const [query, how, status, code] of refusals) {
      const answer = await send(server, `/api/watch${query}`, how);
      expect([query, answer.status, JSON.parse(answer.body).code]).toEqual([query, status, code]);
    }
  });

  it('is refused when there are too many', async () => {
    const server = await startTestServer({ limits: { watchersPerPrincipal: 2 } });
    const watches = await Promise.all([open(server), open(server)]);
    await Promise.all(watches.map(({ events }) => events.next()));
    const { status, headers, body } = await send(server, '/api/watch', { socket: true, headers: HEADER });
    expect([status, headers['coffer-error'], headers['retry-after']]).toEqual([503, 'busy', '1']);
    expect(JSON.parse(body).message).toContain('limits.watchersPerPrincipal');
    watches[0]?.leave();
    await expect.poll(async () => (await open(server)).status).toBe(200);
  });
});

/** A watch on the admin socket that reads nothing, and that has been sent more than all buffers on the way hold. */
async function stalledWatch(server: RunningServer) {
  const socket = connect(server.socketPath);
  onTestFinished(() => void socket.destroy());
  socket.write('GET /api/watch HTTP/1.1\r\nHost: x\r\nSec-X-Tailscale-No-Browsers: setec\r\n\r\n');
  await new Promise((resolve) => socket.once('readable', resolve));
  // Six bytes for each character on the wire.
  const names = Array.from({ length: 120 }, (_, n) => `${n}`.padEnd(1_000, '\u0001'));
  await Promise.all(names.map((Name) => call(server, 'put', { Name, Value: '' })));
  /** What it finds when it reads in the end, until the connection ends. */
  const rest = async () => {
    let received = '';
    socket.on('data', (chunk) => (received += chunk));
    await new Promise((resolve) => socket.once('close', resolve));
    return received;
  };
  return { rest };
}

describe('a watch that lasts', () => {
  const limits = { headersSeconds: 0.3, requestSeconds: 0.3, idleSeconds: 0.3 };

  it('shows that it lives, and is not cut for it', async () => {
    const server = await startTestServer({ limits });
    const { events } = await open(server);
    const started = performance.now();
    const { id } = (await events.next()) as Event;
    while (performance.now() - started < 1_500)
      expect(await events.next()).toEqual({ type: 'heartbeat', id });
    await call(server, 'put', { Name: 'a', Value: '' });
    expect(await events.next()).toMatchObject({ type: 'change' });
  });

  it('and takes nothing is ended as slow', async () => {
    const server = await startTestServer({
      limits: { headersSeconds: 1, requestSeconds: 1, idleSeconds: 1, watchersPerPrincipal: 4 },
    });
    const stalled = await stalledWatch(server);
    // It counts until it is ended.
    const others = await Promise.all(Array.from({ length: 3 }, () => open(server)));
    await Promise.all(others.map(({ events }) => events.next()));
    expect((await open(server)).status).toBe(503);
    await expect.poll(async () => (await open(server)).status, { timeout: 5_000 }).toBe(200);
    const received = await stalled.rest();
    expect(received.endsWith('\n\n\r\n0\r\n\r\n')).toBe(true);
    expect(received.lastIndexOf('event: ')).toBe(received.lastIndexOf('event: end\ndata: {"code":"slow",'));
  });

  it('does not hold up a server that closes, not even when nobody reads', async () => {
    const server = await startTestServer();
    const { events } = await open(server);
    await events.next();
    await stalledWatch(server);
    const started = performance.now();
    await server.close();
    expect(performance.now() - started).toBeLessThan(3_000);
    const told: Event[] = [];
    for (let event = await events.next(); event; event = await events.next()) told.push(event);
    expect(told.at(-1)).toMatchObject({ type: 'end', data: { code: 'stopped' } });
  });
});
