import { setTimeout as wait } from 'node:timers/promises';
import { CofferError } from '@coffer/engine';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from 'pino';
import type { NatsConfig, WasmcloudConfig } from '../config/nats.js';
import { NatsLink } from './connection.js';
import { checkNatsFiles } from './credentials.js';
import { AGAIN_MS, OpennessWatch } from './openness-watch.js';
import { Post, type Service } from './post.js';

/** So many times as long until what was not allowed is tried again. */
const DENIED = 5;

export interface NatsDoorOptions {
  readonly log: Logger;
  /** Whose requests nobody may reach without credentials. */
  readonly backends: readonly Pick<WasmcloudConfig, 'name' | 'prefix'>[];
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
  #posts: readonly Post[] = [];
  /** What NATS did not let us subscribe to is tried again in a while. */
  #trying = false;
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
   * @throws CofferError `invalid_argument`: a stranger was seen to reach what is served, and may not
   */
  async serve(services: readonly Service[]): Promise<void> {
    this.#posts = services.map((service) => new Post(service));
    const connection = this.#link?.connection;
    if (this.connected && connection && this.#watch.needsSubscription) {
      this.#watch.starting = true;
      await this.#watch.look(connection);
      await this.#started();
    }
    if (this.#watch.refusal === undefined) this.#begin();
    if (connection && this.#isServed(connection)) await connection.flush().catch(() => {});
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

  /** NATS does not let a backend subscribe. @param says why, in a sentence; the log is told once */
  notSubscribed(name: string, says: string): void {
    const post = this.#posts.find((one) => one.name === name);
    if (post === undefined || post.denied === says) return;
    post.denied = says;
    const what = this.#posts.length === 1 ? 'nothing is' : `the backend ${name} is not`;
    this.#options.log.error(`${what} served over NATS: ${says}`);
  }

  /** Whether the requests of a backend are taken at this moment. */
  serves(name: string): boolean {
    return this.#reason() === undefined && this.#posts.some((post) => post.name === name && post.serving);
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
    return this.#posts.reduce((sum, { inFlight }) => sum + inFlight, 0);
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
      for (const post of this.#posts) void post.end();
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
    const drained = Promise.all(this.#posts.map((post) => post.end()));
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
    return this.#held ?? this.#watch.refusal ?? this.#postsProblem();
  }

  /** That some of them are not served, those say by themselves. */
  #postsProblem(): string | undefined {
    if (this.#posts.every((post) => !post.begun)) return 'the server is starting';
    if (this.#posts.some(({ serving }) => serving)) return undefined;
    const [denied] = this.#posts.flatMap((post) => post.denied ?? []);
    return denied ?? 'the NATS server does not let us subscribe to the requests of hosts: see the log';
  }

  #isServed(connection: NatsConnection): boolean {
    return this.#posts.some((post) => post.isServedOn(connection));
  }

  async #subscribe(connection: NatsConnection): Promise<boolean> {
    this.#begin();
    await connection.flush().catch(() => {});
    return this.#isServed(connection);
  }

  #begin(): void {
    const connection = this.#link?.connection;
    if (!connection || this.#held !== undefined) return;
    if (this.#closing.signal.aborted || connection.isClosed()) return;
    const begun = this.#posts.filter((post) => !post.isServedOn(connection));
    if (begun.length === 0) return;
    for (const post of begun) post.begin(connection);
    this.#note();
    void this.#follow(connection, begun);
  }

  /** What NATS does not let us subscribe to now it may later: permissions change while we are connected. */
  async #follow(connection: NatsConnection, begun: readonly Post[]): Promise<void> {
    await connection.flush().catch(() => {});
    this.#note();
    const serving = begun.filter((post) => post.isServedOn(connection));
    for (const post of serving) post.denied = undefined;
    if (this.#serving && serving.length > 0) {
      this.#options.log.info({ backends: serving.map(({ name }) => name) }, 'serving over NATS');
    }
    if (serving.length === begun.length || connection.isClosed() || this.#trying) return;
    this.#trying = true;
    const pause = (this.#options.againMs ?? AGAIN_MS) * DENIED;
    wait(pause, undefined, { signal: this.#closing.signal, ref: false }).then(
      () => {
        this.#trying = false;
        if (this.#watch.refusal === undefined) this.#begin();
      },
      () => {},
    );
  }
}
