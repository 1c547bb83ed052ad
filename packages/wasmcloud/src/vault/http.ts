import { readFile } from 'node:fs/promises';
import type { Agent, RequestOptions } from 'node:http';
import { urlToHttpOptions } from 'node:url';
import { answerTo } from '../backend/http-answer.js';
import type { VaultOptions } from './options.js';

/** Until when an answer is waited for. */
export interface Patience {
  /** As `performance.now()` counts. */
  readonly until: number;
  readonly signal?: AbortSignal | undefined;
}

export interface VaultRequest {
  readonly method: 'GET' | 'POST';
  /** Beneath `/v1/`, encoded. */
  readonly path: string;
  readonly namespace?: string | undefined;
  readonly token?: string | undefined;
  readonly body?: Uint8Array | undefined;
}

/** An answer of whatever status. */
export interface VaultAnswer {
  readonly status: number;
  /** JSON, which may hold secrets: the receiver wipes it. */
  readonly body: Buffer;
  readonly retryAfter: string | undefined;
}

/** A value in Vault has at most 1 MiB by default, and NATS carries no more. */
const LARGEST_ANSWER = 2 * 2 ** 20;
/** Beyond, requests wait for one that is done. */
const CONNECTIONS = 64;
/** Vault and what stands before it close idle ones later than that. */
const IDLE_MS = 30_000;

/** Speaks HTTP with one Vault, over connections that are kept. */
export class VaultHttp {
  readonly #options: RequestOptions;
  readonly #prefix: string;
  readonly #http: typeof import('node:https');
  readonly #agent: Agent;

  private constructor(url: URL, http: typeof import('node:https'), ca: Buffer | undefined) {
    const { protocol, hostname, port } = urlToHttpOptions(url);
    this.#options = { protocol, hostname, port };
    this.#prefix = url.pathname.replace(/\/+$/, '');
    this.#http = http;
    const keeping = {
      keepAlive: true,
      maxSockets: CONNECTIONS,
      timeout: IDLE_MS,
      scheduling: 'lifo' as const,
    };
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    this.#agent = new http.Agent({ ...keeping, rejectUnauthorized: true, ...(ca !== undefined && { ca }) });
  }

  /**
   * Opens no connection yet.
   *
   * @throws TypeError for what is no address of a Vault, would pass in clear, or for a file that cannot be read
   */
  static async at(
    address: string,
    { ca, insecureHttp = false }: Pick<VaultOptions, 'ca' | 'insecureHttp'> = {},
  ): Promise<VaultHttp> {
    const url = URL.canParse(address) ? new URL(address) : undefined;
    if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash) {
      throw new TypeError('the address of a Vault is https://HOST:PORT or http://HOST:PORT');
    }
    if (url.protocol === 'http:' && !insecureHttp && !isLoopback(url.hostname)) {
      throw new TypeError(
        `${url.origin} is not on this machine, and without TLS everybody on the way reads the secrets and can be anybody to Vault: ` +
          'write https://, or say insecureHttp: true',
      );
    }
    const http = await (url.protocol === 'https:' ? import('node:https') : import('node:http'));
    const pem = typeof ca === 'string' ? await authoritiesIn(ca) : ca && Buffer.from(ca);
    return new VaultHttp(url, http as typeof import('node:https'), pem);
  }

  /**
   * Asks once.
   *
   * @throws NoAnswer; the signal's reason
   */
  async exchange(
    { method, path, namespace, token, body }: VaultRequest,
    patience: Patience,
  ): Promise<VaultAnswer> {
    const { signal, until } = patience;
    signal?.throwIfAborted();
    const request = this.#http.request({
      ...this.#options,
      path: `${this.#prefix}/v1/${path}`,
      method,
      agent: this.#agent,
      headers: {
        'X-Vault-Request': 'true',
        ...(token !== undefined && { 'X-Vault-Token': token }),
        ...(namespace !== undefined && { 'X-Vault-Namespace': namespace }),
        ...(body && { 'Content-Type': 'application/json', 'Content-Length': body.length }),
      },
    });
    const wait = { timeoutMs: until - performance.now(), largestBytes: LARGEST_ANSWER, signal };
    const answer = await answerTo(request, wait, body);
    return { status: answer.status, body: answer.body, retryAfter: answer.headers['retry-after'] };
  }

  /** Ends all connections, and what is under way on them. */
  close(): void {
    this.#agent.destroy();
  }
}

async function authoritiesIn(file: string): Promise<Buffer> {
  try {
    return await readFile(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TypeError(`settings.ca: the file ${file} cannot be read (${code})`, { cause: error });
  }
}

/** As `URL.hostname` has it. */
const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '[::1]' || /^127(\.\d{1,3}){3}$/.test(host);
