import { createServer, type Server } from 'node:http';
import type { Engine } from '@coffer/engine';
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
  static async open(
    address: ListenAddress,
    { keySets, engine }: { readonly keySets: KeySets; readonly engine: Pick<Engine, 'stale'> },
  ): Promise<KeysListener> {
    const options = {
      requestTimeout: REQUEST_MS,
      headersTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1_000,
    };
    const server = createServer(options, ({ method = '', url = '' }, response) => {
      const keys = ['GET', 'HEAD'].includes(method) ? keysAt(pathOf(url), keySets) : undefined;
      const shown = engine.stale ? undefined : keys;
      response.setHeader('Content-Type', shown ? 'application/json' : 'text/plain; charset=utf-8');
      // Among those here may be one that was retired: whoever asks next comes to another instance, if there is one.
      if (engine.stale) response.setHeader('Connection', 'close');
      response.statusCode = shown ? 200 : engine.stale ? 503 : 404;
      response.end(shown ?? (engine.stale ? `${engine.stale.message}\n` : 'not found\n'));
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
