import { setTimeout as wait } from 'node:timers/promises';
import { CofferError } from '@coffer/engine';
import type { ServedBackend } from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsConfig, WasmcloudConfig } from '../config/nats.js';
import { NatsLink } from './connection.js';
import { checkNatsFiles } from './credentials.js';
import { AGAIN_MS, OpennessWatch } from './openness-watch.js';

/** So many times as long until what was not allowed is tried again. */
const DENIED = 5;

export interface NatsDoorOptions {
  readonly log: Logger;
  /** Whose requests nobody may reach without credentials. */
  readonly backend: Pick<WasmcloudConfig, 'name' | 'prefix'>;
  /** How soon to look again at a server that is open, in milliseconds. */
  readonly againMs?: number;
  /** How often to look at one that is closed, in milliseconds. */
  readonly everyMs?: number;
}

/** Why nothing is served over NATS, and since when. */
export interface NotServing {
  readonly reason: string;
  readonly since: Date;
}

/**
 * The NATS door: a connection, and the backends that are served on it as long as the NATS server does not let everybody in.
 *
 * Life: `open`, `serve`, then `close`.
 */
export class NatsDoor {
  readonly #options: NatsDoorOptions;
  readonly #closing = new AbortController();
  readonly #watch: OpennessWatch;
  #link: NatsLink | undefined;
  #serving = false;
  #since = new Date();
  #serve: ((connection: NatsConnection) => ServedBackend) | undefined;
  #served: NatsConnection | undefined;
  #backends: ServedBackend[] = [];
  /** Why NATS has not let us subscribe. */
  #denied: string | undefined;
  /** Why others of the queue group are to answer. */
  #held: string | undefined;

  private constructor(config: NatsConfig, options: NatsDoorOptions) {
    this.#options = options;
    this.#watch = new OpennessWatch({
      ...options,
      config,
      signal: this.#closing.signal,
      subscribed: (connection) => this.#isServed(connection),
      subscribe: (connection) => this.#subscribe(connection),
      onDecided: () => {
        this.#note();
        if (this.#watch.refusal === undefined) this.#begin();
      },
    });
  }

  /**
   * Tries to connect, and goes on trying for ever where NATS is not there yet.
   *
   * @throws CofferError `invalid_argument`: a file cannot be used, or the server lets everybody in and may not
   */
  static async open(config: NatsConfig, options: NatsDoorOptions): Promise<NatsDoor> {
    checkNatsFiles(config);
    const door = new NatsDoor(config, options);
    const { log } = options;
    let first: Promise<void> | undefined;
    door.#link = await NatsLink.open(config, {
      log,
      onConnected: (connection) => {
        const looking = door.#watch.look(connection);
        first ??= looking;
      },
      onLost: () => door.#watch.forget(),
      onClusterChanged: (connection) => void door.#watch.look(connection),
    });
    await first;
    await door.#started();
    return door;
  }

  /**
   * From here on, whenever there is a connection that may be served on. Settles when NATS knows of what is served, where there is
   * one already.
   *
   * @param serve makes the backend of a connection
   * @throws CofferError `invalid_argument`: a stranger was seen to reach what is served, and may not
   */
  async serve(serve: (connection: NatsConnection) => ServedBackend): Promise<void> {
    this.#serve = serve;
    const connection = this.#link?.connection;
    if (this.connected && connection && this.#watch.needsSubscription) {
      this.#watch.starting = true;
      await this.#watch.look(connection);
      await this.#started();
    }
    if (this.#watch.refusal === undefined) this.#begin();
    await this.#served?.flush().catch(() => {});
  }

  /** Undefined: it serves. */
  get notServing(): NotServing | undefined {
    const reason = this.#reason();
    return reason === undefined ? undefined : { reason, since: this.#since };
  }

  /** Whether only those with credentials can publish, as far as can be seen; false while nobody knows. */
  get closed(): boolean {
    return this.#watch.closed;
  }

  /** NATS does not let us subscribe. @param says why, in a sentence; the log is told once */
  notSubscribed(says: string): void {
    if (this.#denied === says) return;
    this.#denied = says;
    this.#options.log.error(`nothing is served over NATS: ${says}`);
  }

  get connected(): boolean {
    return this.#link?.connected === true;
  }

  get reconnects(): number {
    return this.#link?.reconnects ?? 0;
  }

  /** Of the NATS server that it is connected to. */
  get serverVersion(): string | undefined {
    return this.#link?.connection?.info?.version;
  }

  get inFlight(): number {
    return this.#backends.reduce((sum, { inFlight }) => sum + inFlight, 0);
  }

  /**
   * Leaves the queue group as long as there is a reason: what has come is answered, and others answer what comes. A reason of undefined
   * lets it go on.
   */
  hold(reason: string | undefined): void {
    if (this.#held === reason || this.#closing.signal.aborted) return;
    const { log } = this.#options;
    const begins = this.#held === undefined;
    this.#held = reason;
    if (reason === undefined) {
      log.info('requests over NATS are taken again');
      this.#begin();
    } else if (begins) {
      log.warn({ reason }, 'no more requests are taken over NATS, for others to answer them');
      this.#served = undefined;
      for (const backend of this.#backends) void backend.drain();
    }
    this.#note();
  }

  /** Takes over what may change while it runs. */
  configure({ allowOpen }: Pick<NatsConfig, 'allowOpen'>): void {
    this.#watch.configure(allowOpen);
    const connection = this.#link?.connection;
    if (this.connected && connection) void this.#watch.look(connection);
  }

  /**
   * Whether a request may be answered: waits while that is being found out.
   *
   * @returns why not
   */
  async admission(): Promise<string | undefined> {
    await this.#watch.known();
    return this.#watch.refusal;
  }

  /** Answers what has come, for at most so long, and ends. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort();
    const drained = Promise.all(this.#backends.map((backend) => backend.drain()));
    await Promise.race([drained, wait(graceMs, undefined, { ref: false })]);
    await this.#link?.close();
  }

  async #started(): Promise<void> {
    const reason = this.#watch.refusesStart();
    this.#watch.starting = false;
    if (reason === undefined) return;
    await this.close(0);
    throw new CofferError('invalid_argument', reason);
  }

  #note(): void {
    const serving = this.#reason() === undefined;
    if (serving !== this.#serving) this.#since = new Date();
    this.#serving = serving;
  }

  #reason(): string | undefined {
    if (this.#closing.signal.aborted) return 'the server is shutting down';
    if (!this.connected) return this.#link?.problem ?? 'the connection is being made';
    return this.#held ?? this.#watch.refusal ?? this.#backendsProblem();
  }

  #backendsProblem(): string | undefined {
    if (this.#backends.length === 0) return 'the server is starting';
    return this.#backends.some(({ serving }) => serving)
      ? undefined
      : (this.#denied ?? 'the NATS server does not let us subscribe to the requests of hosts: see the log');
  }

  #isServed(connection: NatsConnection): boolean {
    return connection === this.#served && this.#backends.some(({ serving }) => serving);
  }

  async #subscribe(connection: NatsConnection): Promise<boolean> {
    this.#begin();
    await connection.flush().catch(() => {});
    return this.#isServed(connection);
  }

  /** A backend of its own for each connection: one that is made again keeps what was subscribed to. */
  #begin(): void {
    const connection = this.#link?.connection;
    if (!this.#serve || !connection || this.#held !== undefined || this.#isServed(connection)) return;
    if (this.#closing.signal.aborted || connection.isClosed()) return;
    this.#served = connection;
    this.#backends = [...this.#backends.filter(({ inFlight }) => inFlight > 0), this.#serve(connection)];
    this.#note();
    void this.#follow(connection);
  }

  /** What NATS does not let us subscribe to now it may later: permissions change while we are connected. */
  async #follow(connection: NatsConnection): Promise<void> {
    await connection.flush().catch(() => {});
    this.#note();
    if (this.#serving) {
      this.#denied = undefined;
      this.#options.log.info('serving over NATS');
    }
    if (this.#backends.some(({ serving }) => serving) || connection.isClosed()) return;
    const pause = (this.#options.againMs ?? AGAIN_MS) * DENIED;
    wait(pause, undefined, { signal: this.#closing.signal, ref: false }).then(
      () => (this.#watch.refusal === undefined ? this.#begin() : undefined),
      () => {},
    );
  }
}
