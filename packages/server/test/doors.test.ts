import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pino } from 'pino';
import { describe, expect, it, onTestFinished } from 'vitest';
import { type RunningServer, startServer } from '../src/index.js';
import { networkOf } from '../src/listen/address.js';
import { call, RawConnection, send, startTestServer, temporaryFolder, testConfig } from './support.js';

const HEAD =
  'POST /api/put HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nSec-X-Tailscale-No-Browsers: setec\r\n';

const LARGE_BODY = '{"Name":"a","Value":"eA=="}'.padEnd(200_000);

const bearer = (token: string) => ({ headers: { Authorization: `Bearer ${token}` } });

/** Room for two large bodies over TCP, and for one of each principal. The tokens may do nothing. */
async function startCrowdedServer(count: number) {
  const limits = { bodyBytes: 200_000, inFlightBytes: 500_000 };
  const server = await startTestServer({ dev: false, limits });
  const tokens: string[] = [];
  for (let i = 0; i < count; i++) {
    const { body } = await call(server, 'admin/tokens', { name: `t${i}` }, { socket: true });
    tokens.push(JSON.parse(body).token);
  }
  return { server, tokens };
}

/** Sends all of a large body but its end. */
function holdBody(server: RunningServer, token: string): RawConnection {
  const connection = new RawConnection(server);
  connection.write(`${HEAD}Authorization: Bearer ${token}\r\nContent-Length: ${LARGE_BODY.length}\r\n\r\n`);
  connection.write(LARGE_BODY.slice(0, -1));
  return connection;
}

const putLarge = async (server: RunningServer, token: string) =>
  (await call(server, 'put', LARGE_BODY, bearer(token))).status;

describe('a development server', () => {
  it('answers to the names of this machine and to no other', async () => {
    const server = await startTestServer();
    for (const Host of ['localhost', 'LOCALHOST:1', '127.0.0.1:2633', '[::1]:80']) {
      expect((await send(server, '/healthz', { headers: { Host } })).status, Host).toBe(200);
    }
    for (const Host of [
      'evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'localhost:x',
      '127.0.0.2',
    ]) {
      const answer = await send(server, '/healthz', { headers: { Host } });
      expect([answer.status, answer.headers['coffer-error']], Host).toEqual([403, 'access_denied']);
    }
  });

  it('asks nobody for a name on the admin socket', async () => {
    const server = await startTestServer();
    expect((await send(server, '/healthz', { socket: true, headers: { Host: 'any' } })).status).toBe(200);
  });

  it('listens on this machine only', async () => {
    await expect(startServer(await testConfig({ listen: '0.0.0.0:0', insecureHttp: true }))).rejects.toThrow(
      /this machine only/,
    );
  });
});

describe('the address', () => {
  it('is not served to other machines without TLS unless that is asked for', async () => {
    const open = { dev: false, listen: '0.0.0.0:0' };
    await expect(startServer(await testConfig(open))).rejects.toThrow(/--insecure-http/);
    const server = await startTestServer({ ...open, insecureHttp: true });
    expect((await send(server, '/healthz')).status).toBe(200);
  });

  it('that another program has is named in one sentence, and nothing stays open', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    onTestFinished(() => void other.close());
    const listen = `127.0.0.1:${(other.address() as { port: number }).port}`;
    const config = await testConfig({ listen });
    const options = { log: pino({ level: 'silent' }), onNotice: () => {} };
    await expect(startServer(config, options)).rejects.toThrow(
      `cannot listen on ${listen}: another program listens there already`,
    );
    const server = await startServer({ ...config, listen: '127.0.0.1:0' }, options);
    await server.close();
  });
});

describe('the admin socket', () => {
  it('can be opened by its owner alone, and replaces a dead one', async () => {
    const config = await testConfig();
    mkdirSync(config.stateDir, { recursive: true });
    const path = join(config.stateDir, 'admin.sock');
    // A process that is gone leaves its socket behind.
    const dead = `require('node:net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['-e', dead]);
    expect(statSync(path).isSocket()).toBe(true);
    const server = await startTestServer(config);
    expect(server.socketPath).toBe(path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect((await send(server, '/healthz', { socket: true })).status).toBe(200);
  });

  it('does not replace what is no socket', async () => {
    const config = await testConfig();
    mkdirSync(config.stateDir, { recursive: true });
    writeFileSync(join(config.stateDir, 'admin.sock'), 'mine');
    await expect(startTestServer(config)).rejects.toThrow(/no socket: move it/);
  });

  it('is refused with a sentence where its path is too long for one', async () => {
    const stateDir = join(await temporaryFolder(), 'x'.repeat(100));
    await expect(startTestServer({ stateDir })).rejects.toThrow(/longer than 100 bytes/);
  });
});

describe('a request', () => {
  it('that declares too large a body is answered at once, unread, and cut', async () => {
    const server = await startTestServer({ limits: { bodyBytes: 1000 } });
    const connection = new RawConnection(server);
    connection.write(`${HEAD}Content-Length: 1001\r\n\r\n`);
    const answer = await connection.ended();
    expect(answer).toMatch(/^HTTP\/1\.1 413 .*\r\n/);
    expect(answer).toMatch(/\r\nCoffer-Error: too_large\r\n/);
    expect(answer).toMatch(/\r\nConnection: close\r\n/);
  });

  it('that turns out too large on the way is refused too', async () => {
    const server = await startTestServer({ limits: { bodyBytes: 1000 } });
    const connection = new RawConnection(server);
    connection.write(`${HEAD}Transfer-Encoding: chunked\r\n\r\n`);
    for (let i = 0; i < 3; i++) connection.write(`1f4\r\n${'x'.repeat(500)}\r\n`);
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 413 /);
  });

  it('may be chunked, and may wait to be told to continue', async () => {
    const server = await startTestServer();
    const chunked = new RawConnection(server);
    chunked.write(`${HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`);
    for (const part of ['{"Name":', '"a","Value":"eA=', '="}'])
      chunked.write(`${part.length.toString(16)}\r\n${part}\r\n`);
    chunked.write('0\r\n\r\n');
    expect(await chunked.ended()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n1$/);
    const waiting = new RawConnection(server);
    const body = '{"Name":"b","Value":"eA=="}';
    waiting.write(
      `${HEAD}Expect: 100-continue\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n`,
    );
    await waiting.until('HTTP/1.1 100 Continue\r\n\r\n');
    waiting.write(body);
    expect(await waiting.ended()).toMatch(/HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n1$/);
  });

  it('of a stranger is refused before its body is asked for', async () => {
    const server = await startTestServer({ dev: false });
    const connection = new RawConnection(server);
    connection.write(`${HEAD}Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n`);
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 401 /);
  });

  it('finds the server busy while others’ bodies take the room for all, and room again afterwards', async () => {
    const { server, tokens } = await startCrowdedServer(3);
    const [first, second, third] = tokens as [string, string, string];
    const slow = holdBody(server, first);
    await expect.poll(() => putLarge(server, first)).toBe(503);
    holdBody(server, second);
    await expect.poll(() => putLarge(server, second)).toBe(503);
    const answer = await call(server, 'put', LARGE_BODY, bearer(third));
    expect(answer).toMatchObject({ status: 503, headers: { 'coffer-error': 'busy', 'retry-after': '1' } });
    slow.socket.destroy();
    await expect.poll(() => putLarge(server, third)).toBe(403);
  });

  it('of one principal takes no more than its share of that room, and of nobody else’s', async () => {
    const { server, tokens } = await startCrowdedServer(2);
    const [first, second] = tokens as [string, string];
    holdBody(server, first);
    await expect.poll(() => putLarge(server, first)).toBe(503);
    expect(await putLarge(server, second)).toBe(403);
  });

  it('finds room on the admin socket, and everywhere if it is small, whatever the crowd does', async () => {
    const { server, tokens } = await startCrowdedServer(2);
    for (const token of tokens) {
      holdBody(server, token);
      await expect.poll(() => putLarge(server, token)).toBe(503);
    }
    expect((await call(server, 'put', LARGE_BODY, { socket: true })).status).toBe(200);
    const small = '{"Name":"a"}'.padEnd(64 * 1024);
    expect((await call(server, 'get', small, bearer(tokens[0] as string))).status).toBe(403);
  });

  it.each([
    ['get', 64 * 1024 + 6 * 1024],
    ['list', 64 * 1024 + 6 * 1024],
    ['admin/tokens', 64 * 1024],
    ['admin/policy', 1024 * 1024],
  ])('to %s may have %i bytes and no more', async (path, largest) => {
    const server = await startTestServer();
    expect((await call(server, path, '{}'.padEnd(largest))).status).not.toBe(413);
    expect((await call(server, path, '{}'.padEnd(largest + 1))).status).toBe(413);
  });

  it('may come in parts of one byte, which take no more room than one part', async () => {
    const server = await startTestServer({ limits: { bodyBytes: 200_000, inFlightBytes: 200_000 } });
    const connection = new RawConnection(server);
    connection.write(`${HEAD}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n`);
    const body = '{"Name":"a","Value":"eA=="}'.padStart(150_000);
    connection.write([...body].map((byte) => `1\r\n${byte}\r\n`).join(''));
    connection.write('0\r\n\r\n');
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*\r\n\r\n1$/);
  });

  it('with too many headers is refused', async () => {
    const server = await startTestServer();
    const connection = new RawConnection(server);
    connection.write(`${HEAD}X-Long: ${'x'.repeat(17 * 1024)}\r\n\r\n`);
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 431 [\s\S]*Coffer-Error: too_large/);
  });

  it('with an expectation that cannot be met is refused', async () => {
    const server = await startTestServer({ dev: false });
    const connection = new RawConnection(server);
    connection.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: tea\r\nConnection: close\r\n\r\n');
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 417 [\s\S]*\r\nCoffer-Error: bad_request\r\n/i);
  });

  it('that is no HTTP is refused', async () => {
    const server = await startTestServer();
    const connection = new RawConnection(server);
    connection.write('hello\r\n\r\n');
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 400 [\s\S]*Coffer-Error: bad_request/);
  });
});

describe('requests that do not wait for answers', () => {
  const request = (method: string, body: string) =>
    `${HEAD.replace('put', method)}Content-Length: ${body.length}\r\n\r\n${body}`;

  it('are done one after the other', async () => {
    const server = await startTestServer();
    const connection = new RawConnection(server);
    const get = request('get', '{"Name":"a"}');
    const put = request('put', '{"Name":"a","Value":"eA=="}');
    const remove = request('delete', '{"Name":"a"}');
    connection.write(get + put + get + remove + get.replace('\r\n', '\r\nConnection: close\r\n'));
    const statuses = [...(await connection.ended()).matchAll(/HTTP\/1\.1 (\d+)/g)].map(
      ([, status]) => status,
    );
    expect(statuses).toEqual(['404', '200', '200', '200', '404']);
  });

  it('may be 64 behind the one under way; a connection with more is cut', async () => {
    const server = await startTestServer();
    const get = request('get', '{"Name":"a"}');
    const last = get.replace('\r\n', '\r\nConnection: close\r\n');
    const patient = new RawConnection(server);
    patient.write(get.repeat(64) + last);
    expect((await patient.ended()).match(/HTTP\/1\.1 404/g)).toHaveLength(65);
    const greedy = new RawConnection(server);
    greedy.write(get.repeat(65) + last);
    expect(await greedy.ended()).toBe('');
  });
});

describe('a large answer', () => {
  it('waits for its caller within the room for all such answers; beyond that the server is busy', async () => {
    const MIB = 1024 * 1024;
    const server = await startTestServer({
      limits: { valueBytes: 16 * MIB, bodyBytes: 24 * MIB, inFlightBytes: 32 * MIB },
    });
    const Value = Buffer.alloc(16 * MIB).toString('base64');
    expect((await call(server, 'put', { Name: 'large', Value })).status).toBe(200);
    expect((await call(server, 'put', { Name: 'small', Value: '' })).status).toBe(200);
    const slow = new RawConnection(server);
    slow.socket.pause();
    slow.write(`${HEAD.replace('put', 'get')}Content-Length: 16\r\n\r\n{"Name":"large"}`);
    const get = async (Name: string, socket = false) =>
      (await call(server, 'get', { Name }, { socket })).status;
    await expect.poll(() => get('large')).toBe(503);
    expect(await get('small')).toBe(200);
    expect(await get('large', true)).toBe(200);
    slow.socket.destroy();
    await expect.poll(() => get('large')).toBe(200);
    expect(await get('large')).toBe(200);
  });
});

describe('a slow client', () => {
  const limits = { headersSeconds: 0.3, requestSeconds: 0.6, idleSeconds: 0.3 };

  it('that drips its headers is cut', async () => {
    const server = await startTestServer({ limits });
    const connection = new RawConnection(server);
    connection.write('POST /api/get HTTP/1.1\r\nHost: localhost\r\n');
    const drip = setInterval(() => connection.write('X: y\r\n'), 50);
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 408 /);
    clearInterval(drip);
  });

  it('that drips its body is cut', async () => {
    const server = await startTestServer({ limits });
    const connection = new RawConnection(server);
    connection.write(`${HEAD}Content-Length: 100000\r\n\r\n{"Name":"`);
    const drip = setInterval(() => connection.write('x'), 50);
    expect(await connection.ended()).toMatch(/^HTTP\/1\.1 408 /);
    clearInterval(drip);
  });

  it('that says nothing at all is cut', async () => {
    const server = await startTestServer({ limits });
    await new RawConnection(server).ended();
  });
});

describe('connections', () => {
  it('beyond the limit are closed, and taken again when others have gone', async () => {
    const server = await startTestServer({ limits: { connections: 2, connectionsPerAddress: 2 } });
    const first = new RawConnection(server);
    const second = new RawConnection(server);
    for (const connection of [first, second]) {
      connection.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await connection.until('ok\n');
    }
    expect(await new RawConnection(server).ended()).toBe('');
    first.socket.destroy();
    await expect
      .poll(() =>
        send(server, '/healthz').then(
          ({ status }) => status,
          () => 0,
        ),
      )
      .toBe(200);
  });
});

describe('the connections of one address', () => {
  it('are a quarter of all unless said otherwise; more are cut, while others are served', async () => {
    const server = await startTestServer({ limits: { connections: 8 } });
    const greedy = [new RawConnection(server, '127.0.0.9'), new RawConnection(server, '127.0.0.9')];
    for (const connection of greedy) {
      connection.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await connection.until('ok\n');
    }
    expect(await new RawConnection(server, '127.0.0.9').ended()).toBe('');
    expect((await send(server, '/healthz')).status).toBe(200);
    greedy[0]?.socket.destroy();
    await expect
      .poll(async () => {
        const again = new RawConnection(server, '127.0.0.9');
        again.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
        return await again.ended();
      })
      .toMatch(/^HTTP\/1\.1 200 /);
  });

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::2:3:4:5:6', '0:0:0:2::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
  ])('are counted together where %s is one of its customer’s many', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});

describe('a server that closes', () => {
  it('answers the requests that are under way, tells their clients to connect anew, and takes no others', async () => {
    const server = await startTestServer();
    const underWay = new RawConnection(server);
    const body = '{"Name":"a","Value":"eA=="}';
    underWay.write(`${HEAD}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`);
    const idle = new RawConnection(server);
    idle.write('GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await idle.until('ok\n');
    const closed = server.close();
    await idle.ended();
    await expect(send(server, '/healthz')).rejects.toThrow(/ECONNREFUSED/);
    underWay.write(body.slice(5));
    expect(await underWay.ended()).toMatch(/^HTTP\/1\.1 200 OK\r\n[\s\S]*Connection: close\r\n\r\n1$/);
    await closed;
  });

  it('leaves the store for the next one, with what was put', async () => {
    const config = await testConfig();
    const first = await startTestServer(config);
    await call(first, 'put', { Name: 'a', Value: 'eA==' });
    await first.close();
    const second = await startTestServer(config);
    expect((await call(second, 'get', { Name: 'a' })).body).toBe('{"Value":"eA==","Version":1}');
  });
});
