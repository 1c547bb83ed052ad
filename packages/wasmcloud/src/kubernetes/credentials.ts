import type { Agent, RequestOptions } from 'node:https';
import { isDeepStrictEqual } from 'node:util';
import type { KubeConfig } from '@kubernetes/client-node';
import { within } from './within.js';

/** How the API server is spoken to at present. */
export interface Login {
  /** Without a slash at its end. */
  readonly server: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Keeps its connections. */
  readonly agent: Agent;
}

/** How long token files and certificates are believed to be those that they were, as in Kubernetes' own clients. */
const FRESH_MS = 60_000;
/** What was read a moment ago would be the same again, and a credential plugin is a program that takes its time. */
const RENEW_AT_MOST_EVERY_MS = 2_000;
/** A plugin that hangs, or a file on a network that does, is given up, and the next get tries anew. */
const READING_MS = 30_000;
/** Where there are credentials that have just grown old, so long new ones are waited for. */
const PATIENCE_MS = 1_000;
const CONNECTIONS = 64;
/** Below the minute after which load balancers forget a connection without telling anybody. */
const IDLE_MS = 30_000;
/** No request lasts longer, so that nobody speaks over a connection any more whose agent was replaced that long ago. */
const LONGEST_REQUEST_MS = 60_000;

/** Our credentials in the cluster, read again when they have grown old and when the API server refuses them. */
export class Credentials {
  readonly #read: (stop: AbortSignal) => Promise<KubeConfig>;
  readonly #closed: AbortController;
  #config: KubeConfig;
  #login: Login | undefined;
  #tls: object | undefined;
  #at = 0;
  #reading: Promise<Login> | undefined;

  /** @param read reads the configuration from its files, until it is told to stop */
  static async open(read: (stop: AbortSignal) => Promise<KubeConfig>): Promise<Credentials> {
    const closed = new AbortController();
    return new Credentials(read, await read(closed.signal), closed);
  }

  private constructor(
    read: (stop: AbortSignal) => Promise<KubeConfig>,
    config: KubeConfig,
    closed: AbortController,
  ) {
    this.#read = read;
    this.#config = config;
    this.#closed = closed;
  }

  /** @throws Error where there are none: a file that is gone, a plugin that fails */
  async current(): Promise<Login> {
    if (this.#login && performance.now() - this.#at < FRESH_MS) return this.#login;
    const before = this.#login;
    try {
      const reading = this.#once(async () => this.#config);
      return await (before === undefined ? reading : within(PATIENCE_MS, reading));
    } catch (error) {
      // A file may be away while it is replaced, a plugin may hang; the API server knows whether the old ones still hold.
      if (before === undefined) throw error;
      this.#at = performance.now() - FRESH_MS + RENEW_AT_MOST_EVERY_MS;
      return before;
    }
  }

  /**
   * Reads everything anew, a plugin's token too.
   *
   * @param refused what did not do
   * @returns undefined if there can be nothing new
   */
  async renewed(refused: Login): Promise<Login | undefined> {
    if (this.#login !== refused) return this.current();
    if (this.#reading === undefined && performance.now() - this.#at < RENEW_AT_MOST_EVERY_MS)
      return undefined;
    return this.#once(this.#read);
  }

  close(): void {
    this.#closed.abort();
    this.#login?.agent.destroy();
  }

  #once(read: (stop: AbortSignal) => Promise<KubeConfig>): Promise<Login> {
    this.#reading ??= this.#inTime(read).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #inTime(read: (stop: AbortSignal) => Promise<KubeConfig>): Promise<Login> {
    const given = new AbortController();
    try {
      return await within(READING_MS, this.#apply(read, given.signal));
    } finally {
      given.abort();
    }
  }

  /** @param late ends when nobody wants it any more: somebody else may have read newer ones meanwhile */
  async #apply(read: (stop: AbortSignal) => Promise<KubeConfig>, late: AbortSignal): Promise<Login> {
    const config = await read(this.#closed.signal);
    // The time-out is that of connections that nobody uses. That nobody looks at certificates is no word of the environment's to say.
    const options: RequestOptions = { timeout: IDLE_MS, rejectUnauthorized: true };
    await config.applyToHTTPSOptions(options);
    late.throwIfAborted();
    const { ca, cert, key, servername, auth, headers = {} } = options;
    const { server = '', proxyUrl } = config.getCurrentCluster() ?? {};
    const tls = { ca, cert, key, servername, proxyUrl, server };
    const agent = isDeepStrictEqual(tls, this.#tls) ? this.#login?.agent : undefined;
    const login = {
      server: server.replace(/\/$/, ''),
      headers: headersOf(headers, auth),
      agent: agent ?? keeping(options.agent),
    };
    if (agent === undefined) this.#retire(this.#login?.agent);
    this.#config = config;
    this.#tls = tls;
    this.#login = login;
    this.#at = performance.now();
    return login;
  }

  /** What is asked over its connections is answered; the next request takes the new one's. */
  #retire(agent: Agent | undefined): void {
    if (agent) setTimeout(() => agent.destroy(), LONGEST_REQUEST_MS).unref();
  }
}

/**
 * client-node makes an agent that goes through the cluster's proxy, if it has one, and closes every connection after its request. To
 * keep them is a property of every agent of Node's.
 */
const keeping = (agent: RequestOptions['agent']): Agent =>
  Object.assign(agent as Agent, { keepAlive: true, maxSockets: CONNECTIONS, maxFreeSockets: CONNECTIONS });

/** Names in small letters, once each. A file's content ends in a line break, which no header may hold. */
function headersOf(headers: RequestOptions['headers'], auth: RequestOptions['auth']): Record<string, string> {
  const basic = typeof auth === 'string' && {
    authorization: `Basic ${Buffer.from(auth).toString('base64')}`,
  };
  const entries = Object.entries(headers ?? {}).map(([name, value]) => [
    name.toLowerCase(),
    String(value).trim(),
  ]);
  return { ...basic, ...Object.fromEntries(entries) };
}
