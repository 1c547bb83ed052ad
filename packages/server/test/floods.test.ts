import { writeFileSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it, onTestFinished } from 'vitest';
import { Authority } from '../../../test/support/certificates.mjs';
import type { RunningServer } from '../src/index.js';
import { type Changes, call, startTestServer, tcpOf, temporaryFolder } from './support.js';

/** How long each flood lasts; COFFER_FLOOD_MS makes it longer. */
const FLOOD_MS = Number(process.env.COFFER_FLOOD_MS ?? 1_000);
/** No benchmark: an honest request is answered at all. */
const PATIENCE_MS = 5_000;
const ENEMY = '127.0.0.2';
const HONEST = '127.0.0.3';

const HEAD = (method: string, token: string) =>
  `POST /api/${method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n` +
  `Sec-X-Tailscale-No-Browsers: setec\r\nAuthorization: Bearer ${token}\r\n`;

/** A server with few connections, a secret, and two callers that may get and put it. */
async function start(changes: Changes = {}) {
  const limits = { connections: 200, ...changes.limits };
  const server = await startTestServer({ ...changes, dev: false, limits });
  const admin = async (path: string, body: object) =>
    JSON.parse((await call(server, `admin/${path}`, body, { socket: true })).body);
  const honest = await admin('tokens', { name: 'honest' });
  const enemy = await admin('tokens', { name: 'enemy' });
  const to = [honest, enemy].map(({ id }) => `token:${id}`);
  await admin('policy', { grants: [{ to, actions: ['get', 'put'], secrets: ['*'] }] });
  await call(server, 'put', { Name: 'known', Value: 'eA==' }, { socket: true });
  return { server, honest: honest.token as string, enemy: enemy.token as string };
}

/** Connections of an attacker, opened again whenever they are cut. */
class Flood {
  readonly #sockets = new Set<Socket>();
  readonly #open: () => Socket;
  #over = false;
  opened = 0;

  /** @param begin what to do with each connection; it may go on with it until `over` */
  constructor(count: number, open: () => Socket, begin: (socket: Socket, over: () => boolean) => void) {
    this.#open = open;
    for (let i = 0; i < count; i++) this.#connect(begin);
    onTestFinished(() => this.stop());
  }

  stop(): void {
    this.#over = true;
    for (const socket of this.#sockets) socket.destroy();
  }

  #connect(begin: (socket: Socket, over: () => boolean) => void): void {
    const socket = this.#open();
    this.opened++;
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.resume();
    socket.once('close', () => {
      this.#sockets.delete(socket);
      // A turn of the event loop later, which is as fast as a machine of its own would be.
      if (!this.#over) setImmediate(() => !this.#over && this.#connect(begin));
    });
    begin(socket, () => this.#over || socket.destroyed);
  }
}

/** Gets the secret on new connections for as long as the flood lasts; all must be answered, and in time. */
async function expectService(server: RunningServer, token: string, ca?: string): Promise<void> {
  const end = performance.now() + FLOOD_MS;
  let slowest = 0;
  let served = 0;
  while (performance.now() < end || served === 0) {
    const begun = performance.now();
    const headers = { Authorization: `Bearer ${token}` };
    const answer = await call(server, 'get', { Name: 'known' }, { headers, from: HONEST, ...(ca && { ca }) });
    expect([answer.status, answer.body]).toEqual([200, '{"Value":"eA==","Version":1}']);
    slowest = Math.max(slowest, performance.now() - begun);
    served++;
  }
  expect(slowest).toBeLessThan(PATIENCE_MS);
}

const from =
  (server: RunningServer, localAddress = ENEMY) =>
  () =>
    connectTcp({ ...tcpOf(server), localAddress });

/** Writes again and again, as fast as the server takes it. */
function pour(socket: Socket, text: () => string | Buffer, over: () => boolean): void {
  const more = () => {
    while (!over() && socket.write(text()));
  };
  socket.on('drain', () => setImmediate(more));
  more();
}

function drip(socket: Socket, text: string, over: () => boolean): void {
  const timer = setInterval(() => (over() ? clearInterval(timer) : socket.write(text)), 20);
}

describe('an honest caller is served while another address', () => {
  it('holds all the connections that it can get by dripping headers', async () => {
    const { server, honest } = await start();
    new Flood(300, from(server), (socket, over) => {
      socket.write('POST /api/get HTTP/1.1\r\nHost: localhost\r\n');
      drip(socket, 'X: y\r\n', over);
    });
    await expectService(server, honest);
  });

  it('drips large bodies, as a caller that is known', async () => {
    const { server, honest, enemy } = await start({ limits: { inFlightBytes: 20_000_000 } });
    new Flood(300, from(server), (socket, over) => {
      socket.write(`${HEAD('put', enemy)}Content-Length: 4000000\r\n\r\n${' '.repeat(100_000)}`);
      drip(socket, ' ', over);
    });
    await expectService(server, honest);
  });

  it('opens connections as fast as it can', async () => {
    const { server, honest } = await start();
    const flood = new Flood(100, from(server), (socket) => {
      socket.once('connect', () => socket.destroy());
    });
    await expectService(server, honest);
    expect(flood.opened).toBeGreaterThan(200);
  });

  it('sends bodies and headers that are too large', async () => {
    const { server, honest, enemy } = await start();
    const block = Buffer.alloc(64 * 1024, 'x');
    new Flood(20, from(server), (socket, over) => {
      socket.write(`${HEAD('put', enemy)}Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n`);
      pour(socket, () => block, over);
    });
    new Flood(20, from(server), (socket, over) => {
      socket.write('GET /healthz HTTP/1.1\r\nX: ');
      pour(socket, () => block, over);
    });
    await expectService(server, honest);
  });

  it('sends requests without waiting for answers, known or not', async () => {
    const { server, honest, enemy } = await start();
    for (const token of [enemy, 'cft_wrong']) {
      const requests = `${HEAD('get', token)}Content-Length: 16\r\n\r\n{"Name":"known"}`.repeat(60);
      new Flood(20, from(server), (socket, over) => pour(socket, () => requests, over));
    }
    await expectService(server, honest);
  });

  it('guesses tokens as fast as it can, even if both are behind one address', async () => {
    const { server, honest } = await start();
    const guess = `${HEAD('get', 'cft_wrong')}Content-Length: 2\r\n\r\n{}`;
    new Flood(20, from(server, HONEST), (socket, over) => {
      socket.on('data', () => over() || socket.write(guess));
      socket.write(guess);
    });
    await expectService(server, honest);
  });
});

describe('over TLS an honest caller is served while another address', () => {
  async function startSecure() {
    const authority = new Authority();
    const issued = authority.issue();
    const folder = await temporaryFolder();
    const tls = { cert: join(folder, 'tls.crt'), key: join(folder, 'tls.key') };
    writeFileSync(tls.cert, issued.cert);
    writeFileSync(tls.key, issued.key, { mode: 0o600 });
    return { ...(await start({ tls })), ca: authority.cert };
  }

  it('shakes hands again and again', async () => {
    const { server, honest, ca } = await startSecure();
    const enemy = () => connectTls({ socket: from(server)(), ca, servername: 'localhost' });
    const flood = new Flood(20, enemy, (socket) => {
      socket.once('secureConnect', () => socket.destroy());
    });
    await expectService(server, honest, ca);
    expect(flood.opened).toBeGreaterThan(40);
  });

  it('begins handshakes and does not go on', async () => {
    const { server, honest, ca } = await startSecure();
    new Flood(300, from(server), (socket) => {
      socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00, 0x01]));
    });
    await expectService(server, honest, ca);
  });
});
