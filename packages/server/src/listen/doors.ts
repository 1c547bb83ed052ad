import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { ListenAddress } from './address.js';
import { listenTcp, listenUnix } from './bind.js';
import { type ConnectionLimits, createHttpServer, type RequestListener } from './http-server.js';

/**
 * The listening sockets of a process, and the requests that are under way on them.
 *
 * Life: `listenTcp` and `listenUnix`, then `close`.
 */
export class Doors {
  readonly #limits: ConnectionLimits;
  readonly #servers: Server[] = [];
  readonly #underWay = new Set<ServerResponse>();
  #closing = false;
  #onQuiet: () => void = () => {};

  constructor(limits: ConnectionLimits) {
    this.#limits = limits;
  }

  /** True from the moment that {@link close} is called. */
  get closing(): boolean {
    return this.#closing;
  }

  async listenTcp(address: ListenAddress, listener: RequestListener): Promise<ListenAddress> {
    return listenTcp(this.#open(listener), address);
  }

  async listenUnix(path: string, listener: RequestListener): Promise<void> {
    await listenUnix(this.#open(listener), path);
  }

  /**
   * Accepts nothing more, lets the requests that are under way end, for at most `graceMs`, and closes every
   * connection. Answers given meanwhile tell their clients to connect anew.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const outgoing of this.#underWay) askToConnectAnew(outgoing);
    const closed = this.#servers.filter((server) => server.listening).map(closeServer);
    for (const server of this.#servers) server.closeIdleConnections();
    await this.#quiet(graceMs);
    for (const server of this.#servers) server.closeAllConnections();
    await Promise.all(closed);
  }

  #open(listener: RequestListener): Server {
    const server = createHttpServer(
      (incoming, outgoing) => this.#serve(listener, incoming, outgoing),
      this.#limits,
    );
    this.#servers.push(server);
    return server;
  }

  #serve(listener: RequestListener, incoming: IncomingMessage, outgoing: ServerResponse): void {
    this.#underWay.add(outgoing);
    outgoing.on('close', () => {
      this.#underWay.delete(outgoing);
      if (this.#underWay.size === 0) this.#onQuiet();
    });
    // Node's parser reads nothing more after a request that asks to change the protocol, which we never do.
    if (this.#closing || incoming.headers.upgrade !== undefined) askToConnectAnew(outgoing);
    listener(incoming, outgoing);
  }

  #quiet(graceMs: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#underWay.size === 0) return resolve();
      const timer = setTimeout(resolve, graceMs);
      this.#onQuiet = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** The answer will say `Connection: close`. */
function askToConnectAnew(outgoing: ServerResponse): void {
  outgoing.shouldKeepAlive = false;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}
