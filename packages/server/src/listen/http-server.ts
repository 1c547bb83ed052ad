import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** What one client, and all of them together, may take of the process. */
export interface ConnectionLimits {
  /** All header lines of a request together. */
  readonly headerBytes: number;
  /** Connections at one time, for each listening address; more are closed at once. */
  readonly connections: number;
  /** A request's head must be here within this time. */
  readonly headersSeconds: number;
  /** The whole request must be here within this time. */
  readonly requestSeconds: number;
  /** A connection without a request stays open this long. */
  readonly idleSeconds: number;
}

export type RequestListener = (incoming: IncomingMessage, outgoing: ServerResponse) => void;

const TEXT = { 'Content-Type': 'text/plain; charset=utf-8', 'X-Content-Type-Options': 'nosniff' };

/** How often node looks for clients that are too slow. */
const CHECK_MS = 500;

/** A node:http server that no client can hold up: slow and oversized ones are answered 408, 431 or 400 and cut. */
export function createHttpServer(listener: RequestListener, limits: ConnectionLimits): Server {
  const server = createServer(
    {
      maxHeaderSize: limits.headerBytes,
      headersTimeout: limits.headersSeconds * 1000,
      requestTimeout: limits.requestSeconds * 1000,
      keepAliveTimeout: limits.idleSeconds * 1000,
      connectionsCheckingInterval: Math.min(CHECK_MS, limits.headersSeconds * 500),
    },
    listener,
  );
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
  const [status, code, text] = describeClientError(error.code);
  const body = `${text}\n`;
  socket.end(
    `HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n` +
      `X-Content-Type-Options: nosniff\r\nCoffer-Error: ${code}\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    () => socket.destroy(),
  );
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
