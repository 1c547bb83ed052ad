import { setMaxListeners } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Certificate } from '../tls/certificate.js';
import type { ListenAddress } from './address.js';
import type { RequestListener } from './bare-answer.js';
import { listenTcp, listenUnix } from './bind.js';
import { type ConnectionCounts, Connections, type Door, interceptConnections } from './connections.js';
import {
  type ConnectionLimits,
  createHttpServer,
  createHttpsServer,
  refuseExpectation,
} from './http-server.js';

/** A connection with more requests waiting than this is cut. */
const MAX_WAITING = 64;

/** Starts what waits behind a connection's earlier request. */
type Start = () => void;

/**
 * The listening sockets of a process, and the requests that are under way on them.
 *
 * Life: `listenTcp` and `listenUnix`, then `close`.
 */
export class Doors {
  readonly #limits: ConnectionLimits;
  readonly #servers: (Server | SecureServer)[] = [];
  readonly #connections: Connections[] = [];
  readonly #counts: (() => ConnectionCounts)[] = [];
  readonly #underWay = new Map<Socket, ServerResponse>();
  /** Of connections that send requests before they have the answers to earlier ones; of others nothing. */
  readonly #waiting = new Map<Socket, Start[]>();
  /** Connections that had a request started in this turn of the event loop. */
  #served = new Set<Socket>();
  readonly #closing = new AbortController();
  #onQuiet: () => void = () => {};

  constructor(limits: ConnectionLimits) {
    // Every answer without an end of its own listens, and that is no leak.
    setMaxListeners(0, this.#closing.signal);
    this.#limits = limits;
  }

  /** True from the moment that {@link close} is called. */
  get closing(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Aborted when {@link close} is called: answers that have no end of their own end then. */
  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  /** Of each listening server. */
  connections(): ConnectionCounts[] {
    return this.#counts.map((count) => count());
  }

  /** With a certificate over TLS. */
  async listenTcp(
    address: ListenAddress,
    listener: RequestListener,
    certificate?: Certificate,
  ): Promise<ListenAddress> {
    const serve = this.#server(listener);
    if (certificate === undefined)
      return listenTcp(this.#open('tcp', createHttpServer(serve, this.#limits)), address);
    const server = createHttpsServer(serve, this.#limits);
    certificate.serve(server);
    return listenTcp(this.#open('tcp', server), address);
  }

  async listenUnix(path: string, listener: RequestListener): Promise<void> {
    await listenUnix(this.#open('socket', createHttpServer(this.#server(listener), this.#limits)), path);
  }

  /**
   * Accepts nothing more, lets the requests that are under way end, for at most `graceMs`, and closes every
   * connection. Answers given meanwhile tell their clients to connect anew.
   */
  async close(graceMs: number): Promise<void> {
    for (const outgoing of this.#underWay.values()) askToConnectAnew(outgoing);
    this.#closing.abort();
    const closed = this.#servers.filter((server) => server.listening).map(closeServer);
    for (const server of this.#servers) server.closeIdleConnections();
    await this.#quiet(graceMs);
    for (const connections of this.#connections) connections.closeAll();
    await Promise.all(closed);
  }

  #server(listener: RequestListener): RequestListener {
    return (incoming, outgoing) => this.#serve(listener, incoming, outgoing);
  }

  #open<S extends Server | SecureServer>(door: Door, server: S): S {
    const connections = new Connections(this.#limits.connectionsPerAddress);
    interceptConnections(server, (socket, proceed) => {
      if (connections.admit(socket)) proceed();
    });
    server.on('checkExpectation', this.#server(refuseExpectation));
    this.#servers.push(server);
    this.#connections.push(connections);
    let dropped = 0;
    server.on('drop', () => {
      dropped++;
    });
    this.#counts.push(() => ({
      door,
      open: connections.count,
      most: this.#limits.connections,
      refused: { all: dropped, address: connections.refused },
    }));
    return server;
  }

  /**
   * One request of a connection at a time: the answers to many at once would all be held in memory. And one in a turn of the
   * event loop, which reads up to two megabytes of a connection before it looks at the next one.
   */
  #serve(listener: RequestListener, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming;
    if (this.#underWay.has(socket) || this.#served.has(socket))
      this.#wait(socket, () => this.#start(listener, incoming, outgoing));
    else this.#start(listener, incoming, outgoing);
  }

  #wait(socket: Socket, start: Start): void {
    // Node goes on parsing what it has read when a connection is already cut.
    if (socket.destroyed) return;
    const waiting = this.#waiting.get(socket) ?? [];
    if (waiting.length === MAX_WAITING) {
      this.#waiting.delete(socket);
      socket.destroy();
      return;
    }
    waiting.push(start);
    this.#waiting.set(socket, waiting);
  }

  #nextTurn(): void {
    const served = this.#served;
    this.#served = new Set();
    if (this.#waiting.size === 0) return;
    for (const socket of served) if (!this.#underWay.has(socket)) this.#startNext(socket);
  }

  #startNext(socket: Socket): void {
    const waiting = this.#waiting.get(socket);
    const start = waiting?.shift();
    // Nothing is done for a request that cannot be answered any more.
    if (waiting?.length === 0 || !socket.writable) this.#waiting.delete(socket);
    if (socket.writable) start?.();
  }

  #start(listener: RequestListener, incoming: IncomingMessage, outgoing: ServerResponse): void {
    const { socket } = incoming;
    this.#underWay.set(socket, outgoing);
    if (this.#served.size === 0) setImmediate(() => this.#nextTurn());
    this.#served.add(socket);
    outgoing.on('close', () => {
      this.#underWay.delete(socket);
      if (this.#waiting.size > 0 && !this.#served.has(socket)) this.#startNext(socket);
      if (this.#underWay.size === 0) this.#onQuiet();
    });
    // Node's parser reads nothing more after a request that asks to change the protocol, which we never do.
    if (this.closing || incoming.headers.upgrade !== undefined) askToConnectAnew(outgoing);
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
