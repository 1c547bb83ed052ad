/** An API server that answers badly, late or not at all: what is tried again, for how long, and what hosts are told. */
import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { canary } from '../../../../test/support/canary.mjs';
import { Authority } from '../../../../test/support/certificates.mjs';
import { TemporaryFolder } from '../../../../test/support/processes.mjs';
import { type KubernetesOptions, openKubernetes } from '../../src/kubernetes/index.js';
import { SecretsError } from '../../src/protocol/errors.js';
import { requester } from './requester.js';

const folder = new TemporaryFolder();
const authority = new Authority();
const VALUE = canary('value');
const SECRET = JSON.stringify({
  kind: 'Secret',
  metadata: { name: 'db', namespace: 'default', resourceVersion: '7' },
  data: { a: Buffer.from(VALUE).toString('base64') },
});

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let server: Server;
/** One for each request; the last one for all that follow. */
let script: Handler[];
let requests: IncomingMessage[];

const answers =
  (status: number, body: string, headers: Record<string, string> = {}): Handler =>
  (_, response) =>
    response.writeHead(status, headers).end(body);
const good = answers(200, SECRET);
const breaks: Handler = (request) => request.socket.destroy();
const hangs: Handler = () => {};

beforeAll(async () => {
  writeFileSync(folder.join('ca.crt'), authority.cert);
  server = createServer(authority.issue(), (request, response) => {
    requests.push(request);
    const handler = script.length > 1 ? script.shift() : script[0];
    handler?.(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
beforeEach(() => {
  requests = [];
});
afterAll(async () => {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
  folder[Symbol.dispose]();
});

async function open(
  options: KubernetesOptions = {},
  user: object = { token: 'token-1' },
  cluster: object = {},
) {
  const { port } = server.address() as AddressInfo;
  const config = {
    clusters: [
      {
        name: 'c',
        cluster: {
          server: `https://127.0.0.1:${port}`,
          'certificate-authority': folder.join('ca.crt'),
          ...cluster,
        },
      },
    ],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'x',
  };
  writeFileSync(folder.join('config'), JSON.stringify(config));
  return openKubernetes({ kubeconfig: folder.join('config'), direct: true, ...options });
}

type Source = Awaited<ReturnType<typeof open>>;

/** The value, or what the host is told, which never holds what the API server said. */
async function outcome(source: Source, signal?: AbortSignal): Promise<string> {
  try {
    const { value } = await source.fetch({ key: 'db' }, requester({ properties: {} }), signal);
    return Buffer.from(value).toString();
  } catch (error) {
    if (!(error instanceof SecretsError)) throw error;
    expect(`${error.stack} ${error.cause}`).not.toContain(VALUE);
    return error.message;
  }
}

async function asked(first: readonly Handler[], options?: KubernetesOptions): Promise<string> {
  script = [...first];
  const source = await open(options);
  try {
    return await outcome(source);
  } finally {
    await source.close?.();
  }
}

describe('what passes', () => {
  it.each([
    ['an overloaded API server', answers(429, VALUE)],
    ['one that fails', answers(500, VALUE)],
    ['one that is not there behind its load balancer', answers(503, VALUE)],
    ['a connection that breaks', breaks],
  ])('is tried again, as often as configured: %s', async (_, handler) => {
    expect(await asked([handler, handler, good])).toBe(VALUE);
    requests = [];
    expect(await asked([handler])).toMatch(/^UpstreamError: Kubernetes: the API server /);
    expect(requests).toHaveLength(3);
    requests = [];
    expect(await asked([handler], { retries: 0 })).toMatch(/^UpstreamError/);
    expect(requests).toHaveLength(1);
  });

  it('is waited for as long as the API server says, if that is in time', async () => {
    const started = performance.now();
    expect(await asked([answers(429, '', { 'Retry-After': '1' }), good])).toBe(VALUE);
    expect(performance.now() - started).toBeGreaterThan(990);
    requests = [];
    expect(await asked([answers(429, '', { 'Retry-After': '60' }), good])).toBe(
      'UpstreamError: Kubernetes: the API server has too much to do (429)',
    );
    expect(requests).toHaveLength(1);
  });
});

describe('what does not pass', () => {
  it.each([
    [
      'an answer that is not asked for',
      answers(302, VALUE, { Location: 'https://elsewhere.example' }),
      'answers 302',
    ],
    [
      'what the API server takes for our mistake',
      answers(400, JSON.stringify({ kind: 'Status', reason: 'BadRequest', message: VALUE })),
      'answers 400 BadRequest',
    ],
    [
      'a reason that is none',
      answers(418, JSON.stringify({ kind: 'Status', reason: `${VALUE}!` })),
      'answers 418',
    ],
    ['something else that answers', answers(404, '404 page not found'), 'no Kubernetes API'],
    ['a page', answers(200, `<html>${VALUE}`), 'no Kubernetes API'],
    ['more than any Secret holds', answers(200, SECRET + ' '.repeat(5_000_000)), 'larger than any Secret'],
  ])('is told at once: %s', async (_, handler, words) => {
    expect(await asked([handler])).toMatch(/^UpstreamError: Kubernetes: /);
    expect(await asked([handler])).toContain(words);
    expect(requests).toHaveLength(2);
  });

  it('is an API server that hangs: it is given up in time', async () => {
    const started = performance.now();
    expect(await asked([hangs], { timeoutSeconds: 0.5 })).toBe(
      'UpstreamError: Kubernetes: the API server has not answered in time',
    );
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('is one that begins an answer and never ends it', async () => {
    const begins: Handler = (_, response) => void response.writeHead(200).write(SECRET.slice(0, 20));
    expect(await asked([begins], { timeoutSeconds: 0.5 })).toContain('has not answered in time');
  });

  it('is nothing to wait for where nobody waits any more', async () => {
    script = [hangs];
    const source = await open();
    const leaving = new AbortController();
    const fetched = outcome(source, leaving.signal);
    await expect.poll(() => requests.length).toBe(1);
    const left = performance.now();
    leaving.abort(new Error('gone'));
    await expect(fetched).rejects.toThrow('gone');
    expect(performance.now() - left).toBeLessThan(1_000);
    await expect(outcome(source, leaving.signal)).rejects.toThrow('gone');
    expect(requests).toHaveLength(1);
    await source.close?.();
  });

  it('is an authority that we do not know', async () => {
    writeFileSync(folder.join('other.crt'), new Authority().cert);
    script = [good];
    const source = await open(
      {},
      { token: 'token-1' },
      { 'certificate-authority': folder.join('other.crt') },
    );
    expect(await outcome(source)).toMatch(/the certificate of the API server is not to be trusted/);
    // The word of the environment that nobody looks at certificates is not for secrets.
    vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
    onTestFinished(() => void vi.unstubAllEnvs());
    expect(await outcome(source)).toMatch(/the certificate of the API server is not to be trusted/);
    expect(requests).toHaveLength(0);
    await source.close?.();
  });
});

describe('what the audit log is told', () => {
  it('is where, and as whom', async () => {
    const source = await open({ namespace: 'shop' });
    const told = (properties: object) => source.describe?.({ key: 'db' }, requester({ properties }));
    expect(told({})).toEqual({ namespace: 'shop' });
    expect(told({ impersonateServiceAccount: 'reader', namespace: 'other' })).toEqual({
      namespace: 'other',
      as: 'system:serviceaccount:other:reader',
    });
    expect(told({ impersonate: 'jane', impersonateGroups: ['a, b', 'c'] })).toEqual({
      namespace: 'shop',
      as: 'jane',
      groups: '["a, b","c"]',
    });
    expect(() => told({ impersonate: 'a\nb' })).toThrow(SecretsError);
    await source.close?.();
  });
});

describe('a cluster behind a proxy', () => {
  it('is reached through it, over connections that are kept', async () => {
    const wanted: string[] = [];
    const proxy = createHttpServer().on('connect', (request, near: Socket) => {
      wanted.push(request.url ?? '');
      const far = connect((server.address() as AddressInfo).port, '127.0.0.1', () => {
        near.write('HTTP/1.1 200 OK\r\n\r\n');
        near.pipe(far).pipe(near);
      });
      near.on('error', () => far.destroy());
      far.on('error', () => near.destroy());
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    script = [good];
    const source = await open({}, { token: 'token-1' }, { 'proxy-url': url });
    for (let i = 0; i < 3; i++) expect(await outcome(source)).toBe(VALUE);
    expect(wanted).toEqual([`127.0.0.1:${(server.address() as AddressInfo).port}`]);
    await source.close?.();
    proxy.close();
  });
});

describe('credentials', () => {
  const bearer = ({ headers }: IncomingMessage): string | undefined => headers.authorization;
  const onlyFor =
    (token: string): Handler =>
    (request, response) =>
      bearer(request) === `Bearer ${token}` ? good(request, response) : answers(401, '')(request, response);

  it('that are refused are read again, once, and not the moment after they were', async () => {
    writeFileSync(folder.join('token'), 'old\n');
    script = [onlyFor('old')];
    const source = await open({}, { tokenFile: folder.join('token') });
    expect(await outcome(source)).toBe(VALUE);
    script = [onlyFor('new')];
    expect(await outcome(source)).toMatch(/does not know coffer \(401\)/);
    writeFileSync(folder.join('token'), 'new\n');
    await expect.poll(() => outcome(source)).toBe(VALUE);
    requests = [];
    expect(await outcome(source)).toBe(VALUE);
    expect(requests.map(bearer)).toEqual(['Bearer new']);
    await source.close?.();
  });

  it('are read again every minute, and the old ones go on while a file is away', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const token = folder.join('rotating-token');
    writeFileSync(token, 'first');
    script = [good];
    const source = await open({}, { tokenFile: token });
    const sent = async () => {
      requests = [];
      expect(await outcome(source)).toBe(VALUE);
      return requests.map(bearer);
    };
    expect(await sent()).toEqual(['Bearer first']);
    rmSync(token);
    vi.advanceTimersByTime(61_000);
    expect(await sent()).toEqual(['Bearer first']);
    writeFileSync(token, 'second');
    expect(await sent()).toEqual(['Bearer first']);
    vi.advanceTimersByTime(2_500);
    expect(await sent()).toEqual(['Bearer second']);
    writeFileSync(token, 'third');
    vi.advanceTimersByTime(50_000);
    expect(await sent()).toEqual(['Bearer second']);
    vi.advanceTimersByTime(11_000);
    expect(await sent()).toEqual(['Bearer third']);
    await source.close?.();
  });

  it('of the API server may be those of another authority after a while', async () => {
    writeFileSync(folder.join('rotating.crt'), authority.cert);
    script = [good];
    const file = { 'certificate-authority': folder.join('rotating.crt') };
    const source = await open({}, { token: 'token-1' }, file);
    expect(await outcome(source)).toBe(VALUE);
    const next = new Authority();
    server.setSecureContext(next.issue());
    server.closeAllConnections();
    await expect.poll(() => outcome(source)).toMatch(/is not to be trusted/);
    writeFileSync(folder.join('rotating.crt'), next.cert);
    await expect.poll(() => outcome(source)).toBe(VALUE);
    await source.close?.();
    server.setSecureContext(authority.issue());
    server.closeAllConnections();
  });

  it('that a plugin gives are asked for once by many, and kept', async () => {
    const plugin = `require('fs').appendFileSync(${JSON.stringify(folder.join('runs'))}, 'run\\n');
      console.log(JSON.stringify({ status: { token: 'of-the-plugin' } }))`;
    script = [onlyFor('of-the-plugin')];
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', plugin],
    };
    const source = await open({}, { exec });
    const all = await Promise.all(Array.from({ length: 8 }, () => outcome(source)));
    expect(all).toEqual(Array.from({ length: 8 }, () => VALUE));
    expect(await outcome(source)).toBe(VALUE);
    expect(readFileSync(folder.join('runs'), 'utf8')).toBe('run\n');
    await source.close?.();
  });

  it('go on while the plugin that is to give new ones hangs, and are the new ones as soon as it gives them', async () => {
    vi.useFakeTimers({ toFake: ['Date', 'performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const [hang, runs] = [folder.join('hang'), folder.join('hanging-runs')];
    const plugin = `const fs = require('fs'); fs.appendFileSync(${JSON.stringify(runs)}, '.');
      const status = { token: fs.readFileSync(${JSON.stringify(runs)}, 'utf8').length + '', expirationTimestamp: '2020-01-01T00:00:00Z' };
      const print = () => fs.existsSync(${JSON.stringify(hang)}) || (console.log(JSON.stringify({ status })), process.exit());
      print(); setInterval(print, 20)`;
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', plugin],
    };
    script = [good];
    const source = await open({}, { exec });
    const sent = async () => {
      requests = [];
      expect(await outcome(source)).toBe(VALUE);
      return requests.map(bearer);
    };
    expect(await sent()).toEqual(['Bearer 1']);
    writeFileSync(hang, '');
    vi.advanceTimersByTime(61_000);
    expect(await sent()).toEqual(['Bearer 1']);
    rmSync(hang);
    await expect
      .poll(
        () => {
          vi.advanceTimersByTime(2_500);
          return sent();
        },
        { timeout: 10_000 },
      )
      .not.toEqual(['Bearer 1']);
    await source.close?.();
  });

  it('are asked for again once a plugin that hung has ended', async () => {
    const [hang, pid] = [folder.join('hang-first'), folder.join('hang-pid')];
    writeFileSync(hang, '');
    const plugin = `const fs = require('fs');
      if (fs.existsSync(${JSON.stringify(hang)})) { fs.writeFileSync(${JSON.stringify(pid)}, process.pid + ''); setInterval(() => {}, 1000) }
      else console.log(JSON.stringify({ status: { token: 'at-last' } }))`;
    const exec = {
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', plugin],
    };
    script = [onlyFor('at-last')];
    const source = await open({ timeoutSeconds: 2 }, { exec });
    expect(await outcome(source)).toMatch(/gets no credentials for the cluster \(ETIMEDOUT\)/);
    rmSync(hang);
    process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
    await expect.poll(() => outcome(source)).toBe(VALUE);
    await source.close?.();
  });

  it('of a plugin that fails or never ends are an error of this backend, without what it printed', async () => {
    const exec = (script: string) => ({
      apiVersion: 'client.authentication.k8s.io/v1',
      command: process.execPath,
      args: ['-e', script],
    });
    script = [good];
    const failing = await open(
      {},
      { exec: exec(`console.error(${JSON.stringify(VALUE)}); process.exit(1)`) },
    );
    expect(await outcome(failing)).toBe(
      'UpstreamError: Kubernetes: coffer gets no credentials for the cluster (its plugin ended with 1)',
    );
    const hanging = await open({ timeoutSeconds: 0.5 }, { exec: exec('setTimeout(() => {}, 3000)') });
    expect(await outcome(hanging)).toMatch(/gets no credentials for the cluster \(ETIMEDOUT\)/);
    expect(requests).toHaveLength(0);
    await hanging.close?.();
  });
});
