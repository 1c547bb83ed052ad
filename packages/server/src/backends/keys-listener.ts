import { createServer, type Server } from 'node:http';
import { type KeySets, keysAt } from '../http/keys.js';
import { pathOf } from '../http/target.js';
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

  /** @throws CofferError for an address that cannot be listened on */
  static async open(address: ListenAddress, keySets: KeySets): Promise<KeysListener> {
    const options = {
      requestTimeout: REQUEST_MS,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
    };
    const server = createServer(options, ({ method = '', url = '' }, response) => {
      const keys = ['GET', 'HEAD'].includes(method) ? keysAt(pathOf(url), keySets) : undefined;
      const isThere = keys !== undefined;
      response.setHeader('Content-Type', isThere ? 'application/json' : 'text/plain; charset=utf-8');
      response.statusCode = isThere ? 200 : 404;
      response.end(keys ?? 'not found\n');
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
