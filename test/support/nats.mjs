import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, Process, TemporaryFolder } from './processes.mjs';
import { peer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in nats.d.mts.

export class NatsServer {
  static async startTwo(options = {}) {
    const routes = [await freePort(), await freePort()];
    const started = routes.map(async (route, index) => {
      const other = `nats://127.0.0.1:${routes[1 - index]}`;
      const cluster = `cluster: { name: two, host: 127.0.0.1, port: ${route}, routes: ["${other}"] }`;
      return NatsServer.start({ ...options, cluster, port: await freePort() });
    });
    const servers = await Promise.all(started);
    for (const server of servers) await server.#knows(servers.length);
    return servers;
  }

  static async start({ operator, systemAccount, accounts = {}, cluster, port = -1, config = '' } = {}) {
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
      const lines = [
        ...trust,
        // In a cluster JetStream would be all servers' together.
        cluster ?? `jetstream: { store_dir: ${JSON.stringify(folder.join('jetstream'))} }`,
      ];
      const server = new NatsServer(folder, resolverDir, lines, config);
      await server.#begin(port);
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

  get refusedLogins() {
    return this.process.output.split('\n').filter((line) => line.includes('authentication error')).length;
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
    const done = 'Reloaded server configuration|Failed to reload';
    const before = this.process.output.match(new RegExp(done, 'g'))?.length ?? 0;
    this.process.signal('SIGHUP');
    await this.process.waitFor(new RegExp(`(?:[^]*?(?:${done})){${before + 1}}`));
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

  /** Waits until it tells its clients of so many servers. */
  async #knows(count) {
    for (;;) {
      const socket = connect(this.port, '127.0.0.1');
      const [greeting] = await once(socket, 'data');
      socket.destroy();
      const { connect_urls: told = [] } = JSON.parse(greeting.toString().slice('INFO '.length));
      if (told.length === count) return;
      await sleep(20);
    }
  }

  #write(port) {
    const file = this.folder.join('server.conf');
    writeFileSync(file, ['host: 127.0.0.1', `port: ${port}`, ...this.#lines, this.#config, ''].join('\n'));
    return file;
  }
}
