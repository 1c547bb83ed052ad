import { copyFileSync, existsSync, rmSync, writeFileSync } from 'node:fs';
import { TemporaryFolder } from './processes.mjs';
import { CofferServer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in instances.d.mts.

/** A replica of 100,000 secrets is read from the servers before it serves. */
const START_MS = 120_000;

export class CofferInstance {
  static async prepare({ cluster, name, like, direct = false, storage = {}, args = [], config = {} }) {
    const gate = direct ? undefined : await cluster.gate(name);
    const instance = new CofferInstance(name, gate, args);
    if (like !== undefined) copyFileSync(like.folder.join('root.key'), instance.folder.join('root.key'));
    instance.#write({
      ...config,
      storage: {
        kind: 'jetstream',
        servers: gate?.urls ?? cluster.urls,
        replicas: cluster.servers.length,
        ...(cluster.systemCreds === undefined
          ? { syncAlways: true }
          : { creds: cluster.appCreds, systemCreds: cluster.systemCreds }),
        ...storage,
        instanceName: name,
      },
    });
    return instance;
  }

  #args;
  #listen = '127.0.0.1:0';

  constructor(name, gate, args) {
    this.name = name;
    this.gate = gate;
    this.folder = new TemporaryFolder();
    this.paused = false;
    this.#args = args;
  }

  get url() {
    return this.server.url;
  }

  get running() {
    return this.server?.process.running === true;
  }

  async start() {
    const args = ['--config', this.folder.join('coffer.yaml'), '--listen', this.#listen, ...this.#args];
    this.server = await CofferServer.start({ folder: this.folder, args, timeoutMs: START_MS });
    this.#listen = new URL(this.server.url).host;
    this.paused = false;
  }

  async stop() {
    if (this.paused) this.resume();
    if (this.running) await this.server.stop();
  }

  async kill() {
    if (this.running) await this.server.process.kill();
    this.paused = false;
  }

  pause() {
    this.server.process.signal('SIGSTOP');
    this.paused = true;
  }

  resume() {
    this.server.process.signal('SIGCONT');
    this.paused = false;
  }

  wipe({ audit = false } = {}) {
    if (this.running) throw new Error(`${this.name} still runs`);
    const folder = audit ? this.folder.join('state') : this.folder.join('state', 'store');
    if (!existsSync(folder)) throw new Error(`there is no ${folder}`);
    rmSync(folder, { recursive: true });
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
    this.folder[Symbol.dispose]();
  }

  /** JSON is YAML. */
  #write(config) {
    writeFileSync(this.folder.join('coffer.yaml'), JSON.stringify(config, null, 2));
  }
}
