import { setTimeout as wait } from 'node:timers/promises';
import { type ConnectionOptions, connect, errors, type NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import { type NatsConfig, type NatsReach, type NatsUser, sectionOf } from '../config/nats.js';
import { authenticatorOf, tlsOf } from './credentials.js';
import { describeNatsError } from './describe-error.js';
import { Seldom } from './seldom.js';
import { parseNatsServers } from './servers.js';

/** Its own, so that a backend need not be allowed to listen to the answers of others. */
const INBOXES = '_INBOX_coffer';
const CONNECT_MS = 5_000;
/** Between two attempts; as much again by chance, so that not all servers come back at once. */
const RETRY_MS = 1_000;
/** A server that does not answer two of them is gone. */
const PING_MS = 20_000;

/** How one connection is made. @param onProblem told why a file cannot be used, in which case NATS refuses us */
export function connectionOptions(
  config: NatsReach,
  onProblem: (reason: string) => void,
  as: NatsUser = 'nats',
): ConnectionOptions {
  const tls = tlsOf(config);
  return {
    servers: [...parseNatsServers(config.servers, sectionOf(as)).addresses],
    name: 'coffer',
    inboxPrefix: INBOXES,
    timeout: CONNECT_MS,
    authenticator: authenticatorOf(config, onProblem, as),
    ...(tls && { tls }),
  };
}

export interface NatsLinkOptions {
  readonly log: Logger;
  /** Told of each connection and reconnection. A reconnection is the same object; after a connection that ended for good comes another. */
  readonly onConnected: (connection: NatsConnection) => void;
  readonly onLost: () => void;
  /** The server tells of others of its cluster, come or gone. */
  readonly onClusterChanged?: (connection: NatsConnection) => void;
  /** What NATS says of a subject that we may not use, or of anything else that is no reason to part. */
  readonly onError?: (error: Error) => void;
}

/**
 * One connection to NATS, for ever: made when it can be, and again whenever it is lost. The log is told of each change once. One that
 * NATS refuses twice ends for good, and after a pause another is made: nats.js would knock without a pause, some thousand times a
 * second, at the servers that a cluster tells of before it refuses us.
 *
 * Life: `open`, then `close`.
 */
export class NatsLink {
  readonly #config: NatsConfig;
  readonly #options: NatsLinkOptions;
  readonly #closing = new AbortController();
  readonly #seldom = new Seldom();
  readonly #first: Promise<void>;
  #firstEnded: () => void = () => {};
  #connection: NatsConnection | undefined;
  #connected = false;
  #since = new Date();
  #problem: string | undefined;
  #connections = 0;

  private constructor(config: NatsConfig, options: NatsLinkOptions) {
    this.#config = config;
    this.#options = options;
    this.#first = new Promise((resolve) => {
      this.#firstEnded = resolve;
    });
    void this.#run();
  }

  /** Settles when the first attempt has ended, in one way or the other. */
  static async open(config: NatsConfig, options: NatsLinkOptions): Promise<NatsLink> {
    const link = new NatsLink(config, options);
    await link.#first;
    return link;
  }

  /** The one that is made, or being made again. */
  get connection(): NatsConnection | undefined {
    return this.#connection;
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** When it was connected, or lost. */
  get since(): Date {
    return this.#since;
  }

  /** Why it is not connected, as far as is known. */
  get problem(): string | undefined {
    return this.#connected ? undefined : (this.#problem ?? 'the connection is being made');
  }

  get reconnects(): number {
    return Math.max(0, this.#connections - 1);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#connection?.close();
  }

  async #run(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      try {
        this.#connection = await this.#connect();
        if (this.#closing.signal.aborted) return await this.#connection.close();
        this.#found(this.#connection);
        this.#firstEnded();
        await this.#follow(this.#connection);
      } catch (error) {
        this.#failed(describeNatsError(error));
      }
      this.#firstEnded();
      const pause = RETRY_MS * (1 + Math.random());
      await wait(pause, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
    }
  }

  #connect(): Promise<NatsConnection> {
    return connect({
      ...connectionOptions(this.#config, (reason) => this.#failed(reason)),
      maxReconnectAttempts: -1,
      reconnectTimeWait: RETRY_MS,
      reconnectJitter: RETRY_MS,
      reconnectJitterTLS: RETRY_MS,
      pingInterval: PING_MS,
    });
  }

  /** Until the connection ends for good. */
  async #follow(connection: NatsConnection): Promise<void> {
    for await (const status of connection.status()) {
      if (status.type === 'disconnect') this.#lost();
      else if (status.type === 'reconnect') this.#found(connection);
      else if (status.type === 'update') {
        if (this.#connected && status.added?.length) this.#options.onClusterChanged?.(connection);
      } else if (status.type === 'error') this.#complain(status.error);
    }
    if (this.#connected) this.#lost();
  }

  #found(connection: NatsConnection): void {
    this.#connections++;
    const { version, max_payload: maxPayload } = connection.info ?? {};
    this.#change(true);
    this.#problem = undefined;
    this.#seldom.forget();
    const server = connection.getServer();
    this.#options.log.info({ server, version, maxPayload }, 'connected to NATS');
    this.#options.onConnected(connection);
  }

  #lost(): void {
    this.#change(false);
    if (this.#closing.signal.aborted) return;
    this.#options.log.warn('the connection to NATS is lost, and made again as soon as it can be');
    this.#options.onLost();
  }

  #change(connected: boolean): void {
    if (this.#connected !== connected) this.#since = new Date();
    this.#connected = connected;
  }

  /** Told once, and again when something else is wrong. */
  #failed(reason: string): void {
    if (this.#closing.signal.aborted || this.#problem === reason) return;
    this.#problem = reason;
    this.#options.log.error({ reason }, 'there is no connection to NATS; it is tried again and again');
  }

  #complain(error: Error): void {
    if (!this.#connected || error instanceof errors.AuthorizationError) {
      this.#failed(describeNatsError(error));
      return;
    }
    this.#options.onError?.(error);
    // Whoever asks chooses the subject of the answer, which may be one that we may not publish on.
    if (!this.#seldom.may('error')) return;
    this.#options.log.warn({ reason: error.message }, 'NATS does not let us do what we want to');
  }
}
