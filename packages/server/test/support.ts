import { readdirSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpRequest, type IncomingHttpHeaders, type OutgoingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import {
  completeLimits,
  completeWasmcloud,
  type ListenAddress,
  type RunningServer,
  type ServerConfig,
  type StartOptions,
  startServer,
} from '../src/index.js';

/** A folder of its own for one test, with a short path, gone afterwards. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'coffer-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export type Changes = Partial<Omit<ServerConfig, 'limits'>> & {
  limits?: Parameters<typeof completeLimits>[0];
};

/** A configuration on a free port: development, unless `changes` says otherwise. */
export async function testConfig(changes: Changes = {}): Promise<ServerConfig> {
  const folder = await temporaryFolder();
  return {
    listen: '127.0.0.1:0',
    stateDir: join(folder, 'state'),
    rootKey: `file:${join(folder, 'keys', 'root.key')}`,
    dev: true,
    insecureHttp: false,
    storage: { minFreeBytes: 0 },
    wasmcloud: completeWasmcloud(),
    ...changes,
    limits: completeLimits(changes.limits),
  };
}

const silent: StartOptions = { log: pino({ level: 'silent' }), onNotice: () => {} };

/** A real server, closed at the end of the test. */
export async function startTestServer(
  changes: Changes = {},
  options: StartOptions = {},
): Promise<RunningServer> {
  const server = await startServer(await testConfig(changes), { ...silent, ...options });
  onTestFinished(() => server.close());
  return server;
}

/** Where the TCP door is. */
export function tcpOf({ address }: Pick<RunningServer, 'address'>): ListenAddress {
  if (address === undefined) throw new Error('this server has no TCP door');
  return address;
}

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface Sent {
  readonly method?: string;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: string | Buffer;
  /** Over the admin socket instead of TCP. */
  readonly socket?: boolean;
  /** The address to come from: of loopback a client may take any. */
  readonly from?: string;
  /** Over TLS, trusting this authority. */
  readonly ca?: string;
  /** Gives up. */
  readonly signal?: AbortSignal;
}

/** One request on a connection of its own. */
export function send(server: RunningServer, path: string, sent: Sent = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, body, socket = false, from, ca, signal } = sent;
  const where = socket
    ? { socketPath: server.socketPath }
    : { ...tcpOf(server), ...(from && { localAddress: from }), ...(ca && { ca }) };
  const open = ca ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    const request = open(
      { ...where, path, method, headers, agent: false, ...(signal && { signal }) },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          const { statusCode = 0, headers: answered } = response;
          resolve({ status: statusCode, headers: answered, body: Buffer.concat(chunks).toString() });
        });
      },
    );
    request.on('error', reject);
    request.end(body);
  });
}

export const SETEC_HEADERS = {
  'Content-Type': 'application/json',
  'Sec-X-Tailscale-No-Browsers': 'setec',
};

/** A setec call as its clients make it. A string body is sent as it is. */
export function call(server: RunningServer, method: string, body: unknown, sent: Sent = {}): Promise<Answer> {
  return send(server, `/api/${method}`, {
    method: 'POST',
    ...sent,
    headers: { ...SETEC_HEADERS, ...sent.headers },
    body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  });
}

/** A bare connection, and everything that the server sends on it until it ends. */
export class RawConnection {
  readonly socket: Socket;
  readonly #ended: Promise<void>;
  #received = '';
  #onData: () => void = () => {};

  /** @param from the address to come from; of loopback a client may take any */
  constructor(server: RunningServer, from = '127.0.0.1') {
    this.socket = connect({ ...tcpOf(server), localAddress: from });
    this.socket.on('error', () => {});
    this.socket.on('data', (chunk) => {
      this.#received += chunk.toString('latin1');
      this.#onData();
    });
    this.#ended = new Promise((resolve) => this.socket.once('close', () => resolve()));
    onTestFinished(() => void this.socket.destroy());
  }

  get received(): string {
    return this.#received;
  }

  write(text: string | Buffer): void {
    this.socket.write(text);
  }

  /** Waits until what was received contains `text`. */
  until(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#onData = () => {
        if (this.#received.includes(text)) resolve();
      };
      this.#onData();
    });
  }

  /** Waits until the server has closed the connection. */
  async ended(): Promise<string> {
    await this.#ended;
    return this.#received;
  }
}

/** Every file below, with what changes when it is written. */
export function listing(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .sort()
    .map((name) => {
      const { size, mtimeMs, mode } = statSync(join(folder, name));
      return `${name} ${size} ${mtimeMs} ${mode}`;
    });
}
