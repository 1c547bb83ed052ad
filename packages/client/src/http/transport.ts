import { randomInt } from 'node:crypto';
import type { Agent, ClientRequest, IncomingMessage, RequestOptions } from 'node:http';
import type { Agent as HttpsAgent } from 'node:https';
import { CofferClientError } from '../errors.js';
import { type Prover, proverFor } from '../proof/prover.js';
import { type Address, isLoopback, parseAddress } from './address.js';
import { whoami } from './answers.js';
import { type Answer, type OpenAnswer, openAnswer } from './open-answer.js';
import { pause } from './pause.js';
import { parseJson } from './shapes.js';

export interface TransportOptions {
  readonly server: string;
  readonly token?: string | undefined;
  readonly creds?: string | Uint8Array | undefined;
  readonly audience?: string | undefined;
  readonly ca?: string | Uint8Array | undefined;
  readonly timeout: number;
  readonly retries: number;
  readonly maxAnswerBytes: number;
}

/** One request of ours, before it is known how often it must be sent. */
export interface Call {
  readonly method: 'GET' | 'POST';
  readonly path: string;
  /** JSON. It is wiped when the call ends. */
  readonly body?: Uint8Array;
  /** A change's operation id; absent for what only reads. */
  readonly operation?: string;
  readonly signal?: AbortSignal | undefined;
}

/** What may end a call early, while it lasts. */
interface Life {
  readonly signal: AbortSignal;
  /** The timeout counts no more. */
  untimed(): void;
  end(): void;
}

/** The connection failed. `reached`: the server may have got the request, and done what it says. */
class ConnectionFailure extends Error {
  readonly reached: boolean;

  constructor(cause: Error, reached: boolean) {
    super(cause.message, { cause });
    this.reached = reached;
  }
}

/**
 * Sends requests over kept-alive connections and repeats those whose connection failed, or that the server was too
 * busy for.
 *
 * A change that the server may have got already is repeated only with a server that knows operation ids, for to
 * another it could be a second change (a delete, repeated after somebody made the name anew).
 */
export class Transport {
  readonly address: Address;
  readonly #options: TransportOptions;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #prover: Prover | undefined;
  readonly #underWay = new Set<AbortController>();
  #agent: Agent | HttpsAgent | undefined;
  #knowsOperations = false;
  readonly #closing = new AbortController();

  constructor({ creds, audience, ...options }: TransportOptions) {
    this.address = parseAddress(options.server);
    this.#options = options;
    const authorization = options.token === undefined ? this.address.basic : `Bearer ${options.token}`;
    this.#prover = creds === undefined ? undefined : proverFor(this.address, creds, audience);
    this.#headers = {
      // A header that a web page cannot set: it keeps browsers from being led here.
      'Sec-X-Tailscale-No-Browsers': 'setec',
      ...(authorization === undefined ? {} : { Authorization: authorization }),
    };
  }

  /** A credential goes over a network in clear. */
  get exposed(): boolean {
    const { secure, endpoint } = this.address;
    const overNetwork = !secure && 'host' in endpoint && !isLoopback(endpoint.host);
    return overNetwork && (this.#prover !== undefined || 'Authorization' in this.#headers);
  }

  /** Aborted by {@link close}. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  async send(call: Call): Promise<Answer> {
    this.closing.throwIfAborted();
    call.signal?.throwIfAborted();
    const life = this.#begin(call);
    try {
      return await this.#sendUntilAnswered(call, life.signal, (signal) => this.#exchange(call, signal));
    } finally {
      life.end();
      call.body?.fill(0);
    }
  }

  /**
   * Sends what only reads, and gives the answer when its head is here, which takes at most the timeout.
   *
   * @param options with `idle`, the longest time in milliseconds without a byte of the body before the connection counts as
   *   broken
   */
  async open(call: Call, options: { readonly idle?: number } = {}): Promise<OpenAnswer> {
    this.closing.throwIfAborted();
    call.signal?.throwIfAborted();
    const life = this.#begin(call);
    try {
      const open = (signal: AbortSignal) => this.#open(call, signal);
      const response = await this.#sendUntilAnswered(call, life.signal, open);
      life.untimed();
      return openAnswer(response, {
        idle: options.idle,
        read: () => this.#read(response),
        explain: (error) => (life.signal.aborted ? life.signal.reason : this.#explain(error)),
        end: life.end,
      });
    } catch (error) {
      life.end();
      throw error;
    } finally {
      call.body?.fill(0);
    }
  }

  /** What ends a call early: its signal, the timeout, the client's end. */
  #begin(call: Call): Life {
    const stop = new AbortController();
    const forward = () => stop.abort(call.signal?.reason);
    const timer = setTimeout(() => stop.abort(this.#timedOut()), this.#options.timeout);
    call.signal?.addEventListener('abort', forward);
    this.#underWay.add(stop);
    return {
      signal: stop.signal,
      untimed: () => clearTimeout(timer),
      end: () => {
        clearTimeout(timer);
        call.signal?.removeEventListener('abort', forward);
        this.#underWay.delete(stop);
      },
    };
  }

  /** Ends the connections; calls under way reject with the code `closed`. */
  close(): void {
    this.#closing.abort(clientClosed());
    for (const stop of this.#underWay) stop.abort(clientClosed());
    this.#agent?.destroy();
    this.#prover?.wipe();
  }

  async #sendUntilAnswered<T extends Answer | IncomingMessage>(
    call: Call,
    signal: AbortSignal,
    exchange: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await exchange(signal);
        const wait = attempt > this.#options.retries ? undefined : mayAskAgainAfter(call, answer);
        if (wait === undefined) return answer;
        if ('destroy' in answer) answer.destroy();
        await pause(wait + randomInt(20, 100), signal);
      } catch (error) {
        if (signal.aborted) throw signal.reason;
        if (!(error instanceof ConnectionFailure)) throw error;
        if (attempt > this.#options.retries) throw this.#unreachable(error);
        await pause(randomInt(20, 100) * attempt, signal);
        if (!(await this.#mayRepeat(call, error, signal))) throw this.#unreachable(error);
      }
    }
  }

  async #mayRepeat(call: Call, failure: ConnectionFailure, signal: AbortSignal): Promise<boolean> {
    if (call.operation === undefined || !failure.reached || this.#knowsOperations) return true;
    try {
      // A refusal of coffer's tells by its `Coffer-Error`; setec answers this with its web page.
      const answer = await this.#exchange({ method: 'GET', path: '/api/whoami' }, signal);
      if (answer.status === 200) whoami(parseJson(answer.body));
      return this.#knowsOperations || answer.status === 200;
    } catch {
      return false;
    }
  }

  async #exchange(call: Call, signal: AbortSignal): Promise<Answer> {
    const response = await this.#open(call, signal);
    try {
      const body = await this.#read(response);
      this.#knowsOperations ||= response.headers['coffer-error'] !== undefined;
      return { status: response.statusCode ?? 0, headers: response.headers, body };
    } catch (error) {
      response.destroy();
      throw this.#classify(error as NodeJS.ErrnoException, true);
    }
  }

  async #open(call: Call, signal: AbortSignal): Promise<IncomingMessage> {
    signal.throwIfAborted();
    const request = await this.#request(call, signal);
    let reached = request.reusedSocket;
    request.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => (reached = true));
      else reached = true;
    });
    try {
      return await responseTo(request, call.body);
    } catch (error) {
      request.destroy();
      throw this.#classify(error as NodeJS.ErrnoException, reached);
    }
  }

  async #request(call: Call, signal: AbortSignal): Promise<ClientRequest> {
    const { address } = this;
    const { ca } = this.#options;
    // TLS costs some milliseconds to load, which a program on the Unix socket need not pay.
    const http = address.secure ? await import('node:https') : await import('node:http');
    this.#agent ??= new http.Agent({ keepAlive: true, ...(ca === undefined ? {} : { ca: pem(ca) }) });
    const options: RequestOptions = {
      ...address.endpoint,
      method: call.method,
      path: address.basePath + call.path,
      agent: this.#agent,
      signal,
      headers: {
        ...this.#headers,
        ...(this.#prover && { Authorization: `Bearer ${this.#prover.prove(call)}` }),
        ...(call.body === undefined
          ? {}
          : { 'Content-Type': 'application/json', 'Content-Length': call.body.length }),
        ...(call.operation === undefined ? {} : { 'Coffer-Operation': call.operation }),
      },
    };
    return http.request(options);
  }

  async #read(response: IncomingMessage): Promise<Buffer> {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > this.#options.maxAnswerBytes) throw this.#answerTooLarge();
    }
    const body = Buffer.alloc(size);
    let at = 0;
    for (const chunk of chunks) {
      at += chunk.copy(body, at);
      chunk.fill(0);
    }
    return body;
  }

  #classify(error: NodeJS.ErrnoException, reached: boolean): Error {
    if (error instanceof CofferClientError) return error;
    const code = error.code ?? '';
    if (code.startsWith('HPE_')) {
      return new CofferClientError(
        'bad_answer',
        `${this.address.display} does not answer in HTTP; is the address right, and does it need https://?`,
      );
    }
    if (isCertificateProblem(code)) {
      return new CofferClientError(
        'untrusted_server',
        `the certificate of ${this.address.display} is not to be trusted (${code}): trust the authority that ` +
          'signed it with the option ca, or write the address by a name that the certificate holds',
      );
    }
    return new ConnectionFailure(error, reached);
  }

  #explain(error: unknown): unknown {
    const failure = this.#classify(error as NodeJS.ErrnoException, true);
    return failure instanceof ConnectionFailure ? this.#unreachable(failure) : failure;
  }

  #unreachable(failure: ConnectionFailure): CofferClientError {
    const { display, secure } = this.address;
    const { code, message } = failure.cause as NodeJS.ErrnoException;
    const why = WHY[code ?? ''] ?? code ?? message;
    const what =
      secure && (code === 'EPROTO' || code?.startsWith('ERR_SSL'))
        ? 'it does not speak TLS; is it http:// rather than https://?'
        : 'check that the server runs and that the address is right';
    return new CofferClientError('unreachable', `cannot reach ${display} (${why}): ${what}`, {
      cause: failure.cause,
    });
  }

  #timedOut(): CofferClientError {
    const seconds = this.#options.timeout / 1000;
    return new CofferClientError(
      'timeout',
      `${this.address.display} did not answer within ${seconds} s: check that the server is well, or wait longer`,
    );
  }

  #answerTooLarge(): CofferClientError {
    return new CofferClientError(
      'answer_too_large',
      `the answer of ${this.address.display} is larger than ${this.#options.maxAnswerBytes} bytes`,
    );
  }
}

/** A server that wants more time than this is not waited for. */
const MAX_WAIT_MS = 2_000;
/** Refusals of coffer's that may pass within that time; nothing was done. A full disk does not. */
const PASSING = ['rate_limited', 'busy', 'stopped'];

/** The milliseconds after which a refused call may be repeated; undefined: not at all. */
function mayAskAgainAfter(call: Call, answer: Answer | IncomingMessage): number | undefined {
  const { headers } = answer;
  const status = 'status' in answer ? answer.status : answer.statusCode;
  if (status !== 429 && status !== 503) return undefined;
  const code = headers['coffer-error'];
  // What stands between us and a server may have passed a change on before it gave up.
  const harmless = code === undefined ? call.operation === undefined : PASSING.includes(String(code));
  const wait = /^\d{1,3}$/.test(headers['retry-after'] ?? '')
    ? Number(headers['retry-after']) * 1000
    : Infinity;
  return harmless && wait <= MAX_WAIT_MS ? wait : undefined;
}

function clientClosed(): CofferClientError {
  return new CofferClientError('closed', 'the client is closed');
}

const WHY: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'the connection broke',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name service does not answer',
  ENOENT: 'no such socket',
  EACCES: 'permission denied',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
  ETIMEDOUT: 'the connection timed out',
};

function isCertificateProblem(code: string): boolean {
  return /CERT|UNABLE_TO_|ISSUER|CRL|HOSTNAME_MISMATCH/.test(code);
}

function pem(ca: string | Uint8Array): string | Buffer {
  return typeof ca === 'string' ? ca : Buffer.from(ca);
}

/**
 * Sends the body and waits for the head of the answer. The listener for errors stays: one that comes while the
 * body is read shows in the body's stream, and again here.
 */
function responseTo(request: ClientRequest, body: Uint8Array | undefined): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.on('response', resolve);
    request.on('error', reject);
    request.end(body);
  });
}
