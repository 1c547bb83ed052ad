import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { Process, TemporaryFolder } from './processes.mjs';
import { peer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in nats.d.mts.

export class NatsServer {
  static async start({ operator, systemAccount, accounts = {}, config = '' } = {}) {
    const folder = new TemporaryFolder();
    try {
      const resolverDir = folder.join('accounts');
      await mkdir(resolverDir);
      for (const [key, token] of Object.entries(accounts)) {
        writeFileSync(folder.join('accounts', `${key}.jwt`), token);
      }
      const trust =
        operator === undefined
          ? []
          : [
              `operator: ${operator}`,
              `system_account: ${systemAccount}`,
              `resolver: { type: full, dir: ${JSON.stringify(resolverDir)}, allow_delete: true, interval: "2m" }`,
            ];
      const lines = [...trust, `jetstream: { store_dir: ${JSON.stringify(folder.join('jetstream'))} }`];
      const server = new NatsServer(folder, resolverDir, lines, config);
      await server.#begin(-1);
      return server;
    } catch (error) {
      folder[Symbol.dispose]();
      throw error;
    }
  }

  #lines;
  #config;

  constructor(folder, resolverDir, lines, config) {
    this.folder = folder;
    this.resolverDir = resolverDir;
    this.#lines = lines;
    this.#config = config;
  }

  get url() {
    return `nats://127.0.0.1:${this.port}`;
  }

  async pause() {
    await this.process.stop();
  }

  async restart({ config = this.#config } = {}) {
    if (this.process.running) await this.process.stop();
    this.#config = config;
    await this.#begin(this.port);
  }

  async reload({ config = this.#config } = {}) {
    this.#config = config;
    this.#write(this.port);
    this.process.signal('SIGHUP');
    await this.process.waitFor(/Reloaded server configuration|Failed to reload/);
  }

  async stop() {
    const exit = this.process.running ? await this.process.stop() : await this.process.exited;
    this.folder[Symbol.dispose]();
    return exit;
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }

  async #begin(port) {
    this.process = new Process(peer('nats-server'), ['-c', this.#write(port)]);
    try {
      const [, found] = await this.process.waitFor(/Listening for client connections on 127\.0\.0\.1:(\d+)/);
      await this.process.waitFor(/Server is ready/);
      this.port = Number(found);
    } catch (error) {
      await this.process.kill().catch(() => {});
      throw error;
    }
  }

  #write(port) {
    const file = this.folder.join('server.conf');
    writeFileSync(file, ['host: 127.0.0.1', `port: ${port}`, ...this.#lines, this.#config, ''].join('\n'));
    return file;
  }
}
