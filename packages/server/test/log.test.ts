import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import { damageValues } from '../../engine/test/store-file.js';
import { PATHS } from '../src/http/app.js';
import type { RunningServer } from '../src/index.js';
import {
  call,
  RawConnection,
  SETEC_HEADERS,
  type Sent,
  send,
  startTestServer,
  testConfig,
} from './support.js';

function collectLog(level = 'trace') {
  const lines: string[] = [];
  const log = pino({ level }, { write: (line: string) => void lines.push(line) });
  const entries = () => lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  return { log, lines, entries };
}

const idOf = ({ headers }: { headers: Record<string, unknown> }) => headers['coffer-request-id'];

describe('a request’s id', () => {
  it('is in every answer, each another one, with a beginning that the process’s own have in common', async () => {
    const server = await startTestServer({ dev: false });
    const answers = [
      await send(server, '/healthz'),
      await send(server, '/nowhere'),
      await call(server, 'get', { Name: 'a' }),
      await call(server, 'get', { Name: 'a' }, { socket: true }),
      await call(server, 'put', { Name: 'a', Value: 'eA==' }, { socket: true }),
      await call(server, 'get', { Name: 'a', Version: 1, UpdateIfChanged: true }, { socket: true }),
      await send(server, '/api/whoami', { headers: SETEC_HEADERS }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 404, 401, 404, 200, 304, 401]);
    const ids = answers.map(idOf) as string[];
    for (const id of ids) expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-z]+$/);
    expect(new Set(ids).size).toBe(ids.length);
    expect(new Set(ids.map((id) => id.slice(0, 8))).size).toBe(1);
    const other = await startTestServer();
    expect(String(idOf(await send(other, '/healthz'))).slice(0, 8)).not.toBe(ids[0]?.slice(0, 8));
  });

  it('is in the log’s lines about it, and a 500 says nothing else that could be looked for', async () => {
    const { log, entries } = collectLog('debug');
    const config = await testConfig();
    const first = await startTestServer(config);
    await call(first, 'put', { Name: 'a', Value: 'eA==' });
    await first.close();
    await damageValues(config.stateDir);
    const server = await startTestServer(config, { log });
    const answer = await call(server, 'get', { Name: 'a' });
    expect([answer.status, answer.body]).toEqual([500, 'internal error\n']);
    const about = () => entries().filter(({ request }) => request === idOf(answer));
    await expect.poll(() => about().map(({ msg }) => msg)).toEqual(['a request failed', 'request']);
    expect(about()[0]).toMatchObject({ level: 50, code: 'tampered' });
  });
});

describe("the process's log", () => {
  it('has a line for each request only when asked for', async () => {
    const { log, entries } = collectLog('info');
    const server = await startTestServer({}, { log });
    await send(server, '/healthz');
    await call(server, 'get', { Name: 'nothing' });
    await server.close();
    expect(entries().map(({ msg }) => msg)).toEqual(['listening']);
  });

  it('tells how the caller names its request, if that is in good form, and believes it nothing', async () => {
    const { log, entries } = collectLog();
    const server = await startTestServer({}, { log });
    const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
    const good = await send(server, '/healthz', { headers: { 'X-Request-Id': '018f-AB', traceparent } });
    expect(idOf(good)).not.toBe('018f-AB');
    for (const bad of ['a b', 'cft_private', 'x'.repeat(65), 'ünï', '"}']) {
      const headers = {
        'X-Request-Id': Buffer.from(bad).toString('latin1'),
        traceparent: bad.replace(/[^ -~]/g, ''),
      };
      await send(server, '/healthz', { headers });
    }
    const requests = () => entries().filter(({ msg }) => msg === 'request');
    await expect.poll(() => requests().length).toBe(6);
    const [first, ...others] = requests();
    expect(first).toMatchObject({ requestIdHeader: '018f-AB', traceparent });
    for (const other of others) {
      expect(Object.keys(other)).not.toContain('requestIdHeader');
      expect(Object.keys(other)).not.toContain('traceparent');
    }
  });
});

/** A request that may never end is given up after a moment. */
async function sendAWhile(server: RunningServer, path: string, sent: Sent): Promise<void> {
  const signal = AbortSignal.timeout(ENDLESS.has(path.split('?')[0] as string) ? 200 : 10_000);
  await send(server, path, { ...sent, signal }).catch((error: Error) => {
    if (!signal.aborted) throw error;
  });
}

const ENDLESS = new Set(['/api/watch']);

describe('nothing that is secret', () => {
  const SECRETS = [
    'nameOfASecret',
    'valueOfASecret',
    'nameOfAToken',
    Buffer.from('valueOfASecret').toString('base64'),
  ];

  /** Every way to speak to every route, with something secret wherever a request has room for it. */
  async function exercise(server: RunningServer, token: string): Promise<void> {
    const [Name, value] = SECRETS as [string, string];
    const Value = Buffer.from(value).toString('base64');
    const bodies = [
      { Name, Value, Version: 1, UpdateIfChanged: true },
      { Name, Version: 0 },
      { name: SECRETS[2], expiresIn: 60 },
      { id: token },
      { secrets: [{ name: Name }, { name: Name, known: 1 }] },
      { grants: [{ to: ['token:*'], actions: ['get'], secrets: [Name] }], dryRun: true },
      { grants: [{ to: [Name], actions: ['fly'], secrets: [Value] }] },
      { [Name]: Value },
      `{"Name":"${Name}","Value":"${Value}"`,
      `${Value}`,
    ];
    const callers = [
      {},
      { Authorization: `Bearer ${token}` },
      { Authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` },
      { Authorization: `Bearer ${token}${Name}` },
      {
        Authorization: `Bearer ${token}`,
        'Coffer-Operation': Name,
        'X-Request-Id': token,
        traceparent: token,
      },
    ];
    for (const path of [...PATHS, `/api/${Name}`, `/${Value}`]) {
      const url = `${path}?secrets=${Name}&token=${token}`;
      const sent = callers.flatMap((headers) =>
        [false, true].flatMap((socket): Sent[] => {
          const common = { headers: { ...SETEC_HEADERS, ...headers }, socket };
          return [
            ...['GET', 'PUT'].map((method) => ({ ...common, method })),
            ...bodies.map((body) => ({
              ...common,
              method: 'POST',
              body: typeof body === 'string' ? body : JSON.stringify(body),
            })),
          ];
        }),
      );
      await Promise.all(sent.map((one) => sendAWhile(server, url, one)));
    }
    const raw = new RawConnection(server);
    raw.write(`${token} ${Name} ${Value}\r\n\r\n`);
    await raw.ended();
  }

  it('is in any line of the log at its finest level, whatever is sent to any route, errors included', async () => {
    const { log, lines } = collectLog();
    const config = await testConfig({
      dev: false,
      limits: { failuresPerMinute: 0, valueBytes: 1000 },
      storage: { quotaBytes: 100_000, minFreeBytes: 0 },
    });
    const first = await startTestServer(config, { log });
    const made = await call(first, 'admin/tokens', { name: SECRETS[2] }, { socket: true });
    const { token, id } = JSON.parse(made.body);
    const grants = [
      { to: [`token:${id}`], actions: ['get', 'info', 'put', 'activate', 'delete', 'admin'], secrets: ['*'] },
    ];
    await call(first, 'admin/policy', { grants }, { socket: true });
    await exercise(first, token);
    const [Name, value] = SECRETS as [string, string];
    const Value = Buffer.from(value).toString('base64');
    await call(first, 'put', { Name, Value }, { socket: true });
    await first.close();
    await damageValues(config.stateDir);
    const second = await startTestServer(config, { log });
    for (const method of ['get', 'put', 'activate', 'delete']) {
      await call(
        second,
        method,
        { Name, Value, Version: 1 },
        { headers: { Authorization: `Bearer ${token}` } },
      );
    }
    await call(second, 'get-many', { secrets: [{ name: Name }] }, { socket: true });
    await second.close();
    const text = lines.join('');
    expect(lines.length).toBeGreaterThan(500);
    expect(text).toContain('tampered');
    for (const secret of [
      ...SECRETS,
      token,
      token.slice(4, 24),
      Buffer.from(`x:${token}`).toString('base64'),
    ]) {
      expect(lines.filter((line) => line.includes(secret))).toEqual([]);
    }
  });
});
