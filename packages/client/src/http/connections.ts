import type { Agent, ClientRequest, IncomingMessage } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import type { Socket } from 'node:net';
import { heeding } from '../abort.js';
import type { Address } from '../address.js';
import { CofferClientError } from '../errors.js';
import type { Credential } from './credential.js';
import { failure } from './failures.js';
import { Seen } from './seen.js';
import { type TlsOptions, tlsOptions } from './tls.js';

/** One request of ours, before it is known how often it must be sent. */
export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** JSON. It is wiped when the call ends. */
  readonly body?: Uint8Array | undefined;
  /** A change's operation id; absent for what only reads. */
  readonly operation?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Whether the process stays alive for it; default yes. */
  readonly keepsAlive?: boolean | undefined;
  /** In milliseconds: the call may take so long, if the client's timeout is shorter. */
  readonly patience?: number | undefined;
}

/** A connection that is being made holds the process, wanted or not: so long at most. */
const UNWANTED_MS = 10_000;

/** Sends requests over kept-alive connections, each once. */
export class Connections {
  readonly #address: Address;
  readonly #credential: Credential;
  readonly #agentOptions: object;
  readonly #maxAnswerBytes: number;
  readonly seen = new Seen();
  #http: Promise<typeof import('node:http') | typeof import('node:https')> | undefined;
  #agent: Agent | HttpsAgent | undefined;

  /** @throws CofferClientError `invalid_argument` */
  constructor(
    address: Address,
    credential: Credential,
    options: TlsOptions & { readonly maxAnswerBytes: number },
  ) {
    this.#address = address;
    this.#credential = credential;
    this.#agentOptions = { keepAlive: true, ...tlsOptions(options, address) };
    this.#maxAnswerBytes = options.maxAnswerBytes;
  }

  /** The answer, when its head is here. */
  async open(call: Call, signal: AbortSignal): Promise<IncomingMessage> {
    const request = await this.#request(call, signal);
    let reached = request.reusedSocket;
    request.on('socket', (socket) => {
      if (!socket.connecting) reached = true;
      else socket.once('connect', () => (reached = true));
      if (call.keepsAlive === false) unref(socket, request);
    });
    try {
      const response = await heeding(responseTo(request, call.body, this.#address), signal);
      this.seen.note(response.headers['coffer-position']);
      return response;
    } catch (error) {
      request.destroy();
      throw failure(error, reached);
    }
  }

  /** The body of an answer, for the receiver to wipe. */
  async read(response: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of response as AsyncIterable<Buffer>) {
        chunks.push(chunk);
        size += chunk.length;
        if (size > this.#maxAnswerBytes) {
          throw new CofferClientError(
            'answer_too_large',
            `the answer of ${this.#address.display} is larger than ${this.#maxAnswerBytes} bytes`,
          );
        }
      }
      const body = Buffer.alloc(size);
      let at = 0;
      for (const chunk of chunks) at += chunk.copy(body, at);
      return body;
    } finally {
      for (const chunk of chunks) chunk.fill(0);
    }
  }

  close(): void {
    this.#agent?.destroy();
  }

  async #request(call: Call, signal: AbortSignal): Promise<ClientRequest> {
    const { endpoint, basePath, secure } = this.#address;
    const { method, path, body, operation } = call;
    const { position } = this.seen;
    const authorization = await heeding(this.#credential.authorize(call), signal);
    // TLS costs some milliseconds to load, which a program on the Unix socket need not pay.
    this.#http ??= secure ? import('node:https') : import('node:http');
    const http = await this.#http;
    signal.throwIfAborted();
    this.#agent ??= new http.Agent(this.#agentOptions);
    return http.request({
      ...endpoint,
      method,
      path: basePath + path,
      agent: this.#agent,
      signal,
      headers: {
        // A header that a web page cannot set: it keeps browsers from being led here.
        'Sec-X-Tailscale-No-Browsers': 'setec',
        ...(authorization !== undefined && { Authorization: authorization }),
        ...(body && { 'Content-Type': 'application/json', 'Content-Length': body.length }),
        ...(operation !== undefined && { 'Coffer-Operation': operation }),
        ...(position !== undefined && { 'Coffer-Seen': position }),
      },
    });
  }
}

/** Lets the process end without it. */
function unref(socket: Socket, request: ClientRequest): void {
  socket.unref();
  if (!socket.connecting) return;
  const tooLong = Object.assign(new Error('no connection'), { code: 'ETIMEDOUT' });
  const timer = setTimeout(() => request.destroy(tooLong), UNWANTED_MS).unref();
  socket.once('connect', () => clearTimeout(timer));
}

/**
 * Sends the body and waits for the head of the answer. The listener for errors stays: one that comes while the
 * body is read shows in the body's stream, and again here.
 */
function responseTo(
  request: ClientRequest,
  body: Uint8Array | undefined,
  { display }: Address,
): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
    request.on('close', () => reject(Object.assign(new Error('no answer'), { code: 'ECONNRESET' })));
    // An answer 101, after which node tells of nothing more.
    request.on('upgrade', (_head, socket) => {
      socket.destroy();
      reject(
        new CofferClientError('bad_answer', `${display} wants to speak something else than HTTP`, {
          status: 101,
        }),
      );
    });
    request.end(body);
  });
}
