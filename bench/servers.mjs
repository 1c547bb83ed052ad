import { TemporaryFolder } from '../test/support/processes.mjs';
import { CofferServer, SetecServer } from '../test/support/servers.mjs';
import { fill } from './load.mjs';

/**
 * The servers under measurement, each started when it is first asked for, with its secrets in it. Coffer runs in
 * production mode; its clients' token has every right.
 */
export class Servers {
  #started = new Map();

  /**
   * Filled over HTTP, then started again: like setec's, it is measured on a store that it has opened, without what
   * filling left in its memory.
   *
   * @returns `{name: 'coffer', url, token, server, folder}`
   */
  coffer(secrets) {
    return this.#once(`coffer ${secrets}`, async () => {
      const folder = new TemporaryFolder();
      const token = await fillStore(folder, secrets);
      const server = await CofferServer.start({ folder });
      return { name: 'coffer', url: server.url, token, server, folder };
    });
  }

  /** @returns `{name: 'setec', url, server}` */
  setec(secrets) {
    return this.#once(`setec ${secrets}`, async () => {
      const server = await SetecServer.start({ preload: secrets });
      return { name: 'setec', url: server.url, server };
    });
  }

  async stop() {
    for (const { server, folder } of this.#started.values()) {
      await server.stop();
      folder?.[Symbol.dispose]();
    }
    this.#started.clear();
  }

  async #once(key, start) {
    if (!this.#started.has(key)) this.#started.set(key, await start());
    return this.#started.get(key);
  }
}

/** Makes a store of that many secrets in `folder`, and returns a token that may get and put each of them. */
async function fillStore(folder, secrets) {
  const server = await CofferServer.start({ folder });
  try {
    const { token, principal } = await server.createToken('bench');
    await server.applyPolicy([{ to: [principal], actions: ['get', 'put'], secrets: ['*'] }]);
    await fill(server.url, token, secrets);
    return token;
  } finally {
    await server.stop();
  }
}
