import type { ServerOptions } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { bareAnswer, type RequestListener } from './bare-answer.js';
import { interceptConnections } from './connections.js';

/** The first byte of a TLS connection: a record that is a handshake (RFC 8446, 5.1). */
const HANDSHAKE = 0x16;

const SPEAKS_TLS = bareAnswer(
  '400 Bad Request',
  'bad_request',
  'this port speaks TLS: write https:// in place of http://',
);

/**
 * A node:https server without a certificate yet. Whoever speaks plain HTTP to it is told so in plain HTTP; of what is
 * neither the connection is closed.
 *
 * @param handshakeMs a client's first byte must be here within this time, and the handshake within it again
 */
export function createSecureServer(
  options: ServerOptions,
  listener: RequestListener,
  handshakeMs: number,
): Server {
  const server = createServer({ ...options, handshakeTimeout: handshakeMs }, listener);
  // node takes a failed handshake for a client's error like any other, and would have it answered.
  server.removeAllListeners('tlsClientError');
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  interceptConnections(server, (socket, shakeHands) => {
    firstByte(socket, handshakeMs, (byte) => {
      if (byte === HANDSHAKE) shakeHands();
      else if (isLetter(byte)) socket.end(SPEAKS_TLS, () => socket.destroy());
      else socket.destroy();
    });
  });
  return server;
}

/** Looks at the first byte that the client sends; it is still there to be read afterwards. */
function firstByte(socket: Socket, timeoutMs: number, use: (byte: number) => void): void {
  const stop = () => socket.destroy();
  const timer = setTimeout(stop, timeoutMs);
  socket.on('error', stop);
  socket.once('close', () => clearTimeout(timer));
  socket.once('readable', () => {
    const first: Buffer | null = socket.read();
    if (first === null) return stop();
    clearTimeout(timer);
    socket.unshift(first);
    use(first[0] as number);
  });
}

/** Every method of HTTP begins with one. */
function isLetter(byte: number): boolean {
  return (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a);
}
