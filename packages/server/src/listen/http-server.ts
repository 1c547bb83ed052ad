import {
  createServer,
  type IncomingMessage,
  type Server,
  type ServerOptions,
  type ServerResponse,
} from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { bareAnswer, type RequestListener } from './bare-answer.js';
import { createSecureServer } from './secure-server.js';

/** What one client, and all of them together, may take of the process. */
export interface ConnectionLimits {
  /** All header lines of a request together. */
  readonly headerBytes: number;
  /** Connections at one time, for each listening address; more are closed at once. */
  readonly connections: number;
  /** Of these, the most that one client's address may have (of IPv6: its first 64 bits). */
  readonly connectionsPerAddress: number;
  /** A request's head must be here within this time. */
  readonly headersSeconds: number;
  /** The whole request must be here within this time. */
  readonly requestSeconds: number;
  /** A connection without a request stays open this long. */
  readonly idleSeconds: number;
}

const TEXT = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };

/** How often node looks for clients that are too slow. */
const CHECK_MS = 500;

/** A node:http server that no client can hold up: slow and oversized ones are answered 408, 431 or 400 and cut. */
export function createHttpServer(listener: RequestListener, limits: ConnectionLimits): Server {
  return limited(createServer(options(limits), listener), listener, limits);
}

/** The same over TLS. It needs a certificate before it listens. */
export function createHttpsServer(listener: RequestListener, limits: ConnectionLimits): SecureServer {
  return limited(
    createSecureServer(options(limits), listener, limits.headersSeconds * 1000),
    listener,
    limits,
  );
}

function options(limits: ConnectionLimits): ServerOptions {
  return {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersSeconds * 1000,
    requestTimeout: limits.requestSeconds * 1000,
    keepAliveTimeout: limits.idleSeconds * 1000,
    connectionsCheckingInterval: Math.min(CHECK_MS, limits.headersSeconds * 500),
  };
}

function limited<S extends Server | SecureServer>(
  server: S,
  listener: RequestListener,
  limits: ConnectionLimits,
): S {
  server.maxConnections = limits.connections;
  // Neither a byte read nor written: a client that does not take its answer is cut as well.
  server.setTimeout((limits.requestSeconds + limits.idleSeconds) * 1000);
  // The body is asked for by whoever reads it, once the caller is known.
  server.on('checkContinue', listener);
  server.on('clientError', refuseClient);
  return server;
}

/** For the event `checkExpectation`. */
export function refuseExpectation(_incoming: IncomingMessage, outgoing: ServerResponse): void {
  const text = 'the server can meet no expectation but 100-continue\n';
  outgoing.writeHead(417, {
    ...TEXT,
    'Coffer-Error': 'bad_request',
    'Content-Length': text.length,
    Connection: 'close',
  });
  outgoing.end(text);
}

function refuseClient(error: NodeJS.ErrnoException, socket: Socket): void {
  const { _httpMessage: answer } = socket as { _httpMessage?: ServerResponse };
  if (!socket.writable || answer?.headersSent) {
    socket.destroy();
    return;
  }
  socket.end(bareAnswer(...describeClientError(error.code)), () => socket.destroy());
}

function describeClientError(code: string | undefined): [status: string, code: string, text: string] {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return ['431 Request Header Fields Too Large', 'too_large', 'the request headers are too large'];
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return ['408 Request Timeout', 'bad_request', 'the request took too long to arrive'];
    default:
      return ['400 Bad Request', 'bad_request', 'bad request'];
  }
}
