import { setTimeout as wait } from 'node:timers/promises';
import { CofferError } from '@coffer/engine';
import type { ServedBackend } from '@coffer/wasmcloud';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsConfig } from '../config/nats.js';
import { NatsLink } from './connection.js';
import { checkNatsFiles } from './credentials.js';
import { type Openness, tryOpenness } from './openness.js';

/** How soon an open or undecided server is looked at again. */
const AGAIN_MS = 2_000;
/** So many times as long until what was not allowed is tried again. */
const DENIED = 5;
/** How long a request may wait until it is known whether the server is closed; a host waits for 10 s. */
const PATIENCE_MS = 8_000;

const WHAT_TO_DO =
  'whoever reaches it can read what hosts ask for, and answer them. Close it ("coffer wasmcloud permissions" writes accounts, ' +
  'users and permissions for it), or say in so many words that it may be open: nats.allowOpen: true, or --allow-open-nats';

export interface NatsDoorOptions {
  readonly log: Logger;
  /** How soon to look again, in milliseconds. */
  readonly againMs?: number;
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
  #config: NatsConfig;
  #link: NatsLink | undefined;
  /** Of the connection as it is now; undefined while it is being found out, or there is none. */
  #openness: Openness | undefined;
  /** What is found now ends the start, which says so. */
  #starting = true;
  #serving = false;
  #since = new Date();
  readonly #waiting = new Set<() => void>();
  #turn = 0;
  #serve: ((connection: NatsConnection) => ServedBackend) | undefined;
  #served: NatsConnection | undefined;
  #backends: ServedBackend[] = [];

  private constructor(config: NatsConfig, options: NatsDoorOptions) {
    this.#config = config;
    this.#options = options;
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
        const looking = door.#look(connection);
        first ??= looking;
      },
      onLost: () => door.#forget(),
    });
    await first;
    if (door.#refuses(door.#openness)) {
      const says = door.#openness?.says;
      await door.close(0);
      throw new CofferError('invalid_argument', `${says}: ${WHAT_TO_DO}`);
    }
    door.#starting = false;
    return door;
  }

  /**
   * From here on, whenever there is a connection that may be served on. Settles when NATS knows of what is served, where there is
   * one already.
   *
   * @param serve makes the backend of a connection
   */
  async serve(serve: (connection: NatsConnection) => ServedBackend): Promise<void> {
    this.#serve = serve;
    this.#begin();
    await this.#served?.flush().catch(() => {});
  }

  /** Undefined: it serves. */
  get notServing(): NotServing | undefined {
    const reason = this.#reason();
    return reason === undefined ? undefined : { reason, since: this.#since };
  }

  /** Whether only those with credentials can publish; false while nobody knows. */
  get closed(): boolean {
    return this.#openness?.state === 'closed';
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

  /** Takes over what may change while it runs. */
  configure({ allowOpen }: Pick<NatsConfig, 'allowOpen'>): void {
    this.#config = { ...this.#config, allowOpen };
    const connection = this.#link?.connection;
    if (this.connected && connection) void this.#look(connection);
  }

  /**
   * Whether a request may be answered: waits while that is being found out.
   *
   * @returns why not
   */
  async admission(): Promise<string | undefined> {
    if (this.#openness === undefined && !this.#closing.signal.aborted) await this.#known();
    return this.#refusal();
  }

  /** Answers what has come, for at most so long, and ends. */
  async close(graceMs: number): Promise<void> {
    this.#closing.abort();
    const drained = Promise.all(this.#backends.map((backend) => backend.drain()));
    await Promise.race([drained, wait(graceMs, undefined, { ref: false })]);
    await this.#link?.close();
  }

  #known(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(done, PATIENCE_MS);
      this.#waiting.add(done);
      const waiting = this.#waiting;
      function done() {
        clearTimeout(timer);
        waiting.delete(done);
        resolve();
      }
    });
  }

  #forget(): void {
    this.#turn++;
    this.#decided(undefined);
  }

  /** Looks until it is clear, and then as long as the server is open and may not be; until the connection is another. */
  async #look(connection: NatsConnection): Promise<void> {
    const turn = ++this.#turn;
    const { againMs = AGAIN_MS } = this.#options;
    const openness = await tryOpenness(connection, this.#config).catch(
      (error: Error): Openness => ({ state: 'undecided', says: error.message }),
    );
    if (turn !== this.#turn || this.#closing.signal.aborted) return;
    this.#tell(openness);
    this.#decided(openness);
    this.#begin();
    if (openness.state === 'closed' || (openness.state === 'open' && this.#config.allowOpen)) return;
    const pause = againMs * (1 + Math.random());
    wait(pause, undefined, { signal: this.#closing.signal, ref: false }).then(
      () => (turn === this.#turn ? this.#look(connection) : undefined),
      () => {},
    );
  }

  #tell({ state, says }: Openness): void {
    const { log } = this.#options;
    const before = this.#openness;
    if (before?.state === state && before.says === says) return;
    if (this.#starting && this.#refuses({ state })) return;
    if (state === 'closed') {
      if (before !== undefined) log.info('the NATS server does not let everybody in any more');
    } else if (this.#config.allowOpen) {
      log.warn({ reason: says }, 'requests are served although strangers may be on the NATS server');
    } else if (state === 'open')
      log.error(`${says}, and nothing is served over NATS until it is closed: ${WHAT_TO_DO}`);
    else log.warn({ reason: says }, 'nothing is served over NATS until this is clear');
  }

  #decided(openness: Openness | undefined): void {
    this.#openness = openness;
    this.#note();
    if (openness !== undefined) for (const done of [...this.#waiting]) done();
  }

  #note(): void {
    const serving = this.#reason() === undefined;
    if (serving !== this.#serving) this.#since = new Date();
    this.#serving = serving;
  }

  #refuses(openness: Openness | undefined): boolean {
    return openness?.state === 'open' && !this.#config.allowOpen;
  }

  /** Why requests are not answered, if they are not. */
  #refusal(): string | undefined {
    if (this.#openness?.state === 'closed') return undefined;
    if (this.#config.allowOpen && this.#openness !== undefined) return undefined;
    return this.#openness?.says ?? 'whether the NATS server lets everybody in is not known yet';
  }

  #reason(): string | undefined {
    if (this.#closing.signal.aborted) return 'the server is shutting down';
    if (!this.connected) return this.#link?.problem ?? 'the connection is being made';
    return this.#refusal() ?? this.#backendsProblem();
  }

  #backendsProblem(): string | undefined {
    if (this.#backends.length === 0) return 'the server is starting';
    return this.#backends.some(({ serving }) => serving)
      ? undefined
      : 'the NATS server does not let us subscribe to the requests of hosts: see the log';
  }

  /** A backend of its own for each connection: one that is made again keeps what was subscribed to. */
  #begin(): void {
    const connection = this.#link?.connection;
    if (!this.#serve || !connection || this.#refusal() !== undefined) return;
    const isServed = connection === this.#served && this.#backends.some(({ serving }) => serving);
    if (isServed || this.#closing.signal.aborted || connection.isClosed()) return;
    this.#served = connection;
    this.#backends = [...this.#backends.filter(({ inFlight }) => inFlight > 0), this.#serve(connection)];
    this.#note();
    void this.#watch(connection);
  }

  /** What NATS does not let us subscribe to now it may later: permissions change while we are connected. */
  async #watch(connection: NatsConnection): Promise<void> {
    await connection.flush().catch(() => {});
    this.#note();
    if (this.#serving) this.#options.log.info('serving over NATS');
    if (this.#backends.some(({ serving }) => serving) || connection.isClosed()) return;
    const pause = (this.#options.againMs ?? AGAIN_MS) * DENIED;
    wait(pause, undefined, { signal: this.#closing.signal, ref: false }).then(
      () => this.#begin(),
      () => {},
    );
  }
}
