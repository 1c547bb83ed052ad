import { createServer, type Server } from 'node:http';
import type { ListenAddress } from '../listen/address.js';
import { listenTcp } from '../listen/bind.js';

const CONNECTIONS = 256;
const REQUEST_MS = 5_000;

/**
 * Shows the public keys of what is signed here, and nothing else, on an address of its own: for a Vault that should not reach the
 * API, or a server without one. In clear.
 *
 * Life: `open`, then `close`.
 */
export class KeysListener {
  readonly address: ListenAddress;
  readonly #server: Server;

  /** @param publicKeys JWKs @throws CofferError for an address that cannot be listened on */
  static async open(address: ListenAddress, publicKeys: () => readonly object[]): Promise<KeysListener> {
    const options = {
      requestTimeout: REQUEST_MS,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
    };
    const server = createServer(options, ({ method, url }, response) => {
      const isAsked =
        /^\/\.well-known\/keys(\?|$)/.test(url ?? '') && (method === 'GET' || method === 'HEAD');
      response.setHeader('Content-Type', isAsked ? 'application/json' : 'text/plain; charset=utf-8');
      response.statusCode = isAsked ? 200 : 404;
      response.end(isAsked ? JSON.stringify({ keys: publicKeys() }) : 'not found\n');
    });
    server.maxConnections = CONNECTIONS;
    return new KeysListener(server, await listenTcp(server, address));
  }

  private constructor(server: Server, address: ListenAddress) {
    this.#server = server;
    this.address = address;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
