/**
 * A service that keeps connections to a partner, made with a token. When another version of the token is activated, a new client
 * is built with it; the old one finishes what it began, and is closed half a minute later.
 *
 *   PARTNER_URL=http://127.0.0.1:8080 PORT=8081 node rotation.mjs
 */
import { Agent, createServer, get } from 'node:http';
import { Client, Store, Updater } from '@coffer/client';

const TOKEN = 'prod/billing/partner-token';
const PARTNER_URL = process.env.PARTNER_URL ?? 'http://127.0.0.1:8080';

class Partner {
  #agent = new Agent({ keepAlive: true });
  #headers;

  constructor(token) {
    this.#headers = { authorization: `Bearer ${token}` };
  }

  /** @returns {Promise<number>} the status of the answer */
  ask(path) {
    return new Promise((resolve, reject) => {
      const request = get(
        new URL(path, PARTNER_URL),
        { agent: this.#agent, headers: this.#headers },
        (answer) => {
          answer.resume().on('end', () => resolve(answer.statusCode ?? 0));
        },
      );
      request.on('error', reject);
    });
  }

  close() {
    this.#agent.destroy();
  }
}

const store = await Store.open({ client: Client.fromEnv(), secrets: [TOKEN] });
store.on('update', ({ name, version }) => console.log(`${name} is at version ${version}`));
store.on('error', (error) => console.error(error.message));

const partner = await Updater.open(store, TOKEN, (value) => new Partner(value.reveal()));

// Ask the updater for each request: what it gave for an earlier one may be closed.
const server = createServer(async (request, response) => {
  response.statusCode = await partner
    .get()
    .ask(request.url ?? '/')
    .catch(() => 502);
  response.end();
});
server.listen(Number(process.env.PORT ?? 8081), '127.0.0.1', () =>
  console.log('listening on', server.address()),
);
