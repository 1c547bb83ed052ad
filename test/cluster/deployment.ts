import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';
import { NatsCluster } from '../support/cluster.mjs';
import { CofferInstance } from '../support/instances.mjs';
import { coffer } from '../support/servers.mjs';
import type { AuditLine } from './checker/check.js';
import { Requests } from './workload/requests.js';
import type { Place } from './workload/workload.js';

/** How long an instance may take to hear of what was set up. */
const KNOWN_MS = 20_000;

export interface DeploymentOptions {
  /** Default 3. */
  readonly instances?: number;
  /** Of NATS; default 3. */
  readonly servers?: number;
  /** Of `storage` in the configuration of each instance. */
  readonly storage?: Readonly<Record<string, unknown>>;
  /** More of the configuration of each instance. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** JetStream's `sync_interval`. */
  readonly sync?: string;
  /** Past all links, for measurements. */
  readonly direct?: boolean;
  /** All instances are started at one moment, on a bucket that none of them has made yet. */
  readonly together?: boolean;
}

/** Several coffer instances, `a`, `b`, …, on one cluster of nats-servers, and a token that may do everything with secrets. */
export class Deployment implements AsyncDisposable {
  static async start(options: DeploymentOptions = {}): Promise<Deployment> {
    const {
      instances = 3,
      servers = 3,
      storage = {},
      config = {},
      sync = 'always',
      direct = false,
      together = false,
    } = options;
    const cluster = await NatsCluster.start({ size: servers, auth: 'operator', sync, direct });
    const deployment = new Deployment(cluster);
    try {
      for (const name of 'abcdefgh'.slice(0, instances)) {
        const [like] = deployment.instances;
        const instance = await CofferInstance.prepare({ cluster, name, like, storage, config, direct });
        deployment.instances.push(instance);
        if (!together) await instance.start();
        else if (!like) makeRootKey(instance);
      }
      if (together) await Promise.all(deployment.instances.map((instance) => instance.start()));
      const { server } = deployment.instance('a');
      const { token, principal } = await server.createToken('clients');
      const actions = ['get', 'info', 'put', 'activate', 'delete'];
      await server.applyPolicy([{ to: [principal], actions, secrets: ['*'] }]);
      deployment.token = token;
      await deployment.#knowToken();
      return deployment;
    } catch (error) {
      await deployment[Symbol.asyncDispose]();
      throw error;
    }
  }

  readonly cluster: NatsCluster;
  readonly instances: CofferInstance[] = [];
  token = '';

  private constructor(cluster: NatsCluster) {
    this.cluster = cluster;
  }

  instance(name: string): CofferInstance {
    const found = this.instances.find((instance) => instance.name === name);
    if (!found) throw new Error(`there is no instance ${name}`);
    return found;
  }

  get places(): Place[] {
    return this.instances.map(({ name, url }) => ({ name, url }));
  }

  /** All servers and instances run, nothing is cut, and every instance says that it is ready. */
  async resume({ timeoutMs = 60_000 } = {}): Promise<void> {
    await this.cluster.resume();
    for (const instance of this.instances) {
      if (instance.paused) instance.resume();
      if (!instance.running) await instance.start();
    }
    const end = performance.now() + timeoutMs;
    for (const instance of this.instances) {
      for (;;) {
        const { status, body } = await readiness(instance).catch((error) => ({
          status: 0,
          body: String(error),
        }));
        if (status === 200) break;
        if (performance.now() > end) throw new Error(`${instance.name} is not ready: ${body}`);
        await sleep(50);
      }
    }
  }

  /** Waits until every instance lets the token in: none is behind what was set up. */
  async #knowToken(): Promise<void> {
    const requests = new Requests();
    const end = performance.now() + KNOWN_MS;
    for (const { url, name } of this.instances) {
      for (;;) {
        const asked = { method: 'get', body: { Name: 'none' } };
        const { code } = await requests.ask({ url, token: this.token }, asked);
        if (code === 'not_found') break;
        if (performance.now() > end) throw new Error(`${name} does not let the token in: ${code}`);
        await sleep(50);
      }
    }
    requests.close();
  }

  /** Runs a command of the CLI at the admin socket of an instance. */
  async admin(name: string, ...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await coffer([...args, '-s', this.instance(name).server.socket]);
    if (code !== 0) throw new Error(`coffer ${args.join(' ')} at ${name}: ${stderr}${stdout}`);
    return stdout.toString();
  }

  /** The lines that each instance has written itself, or with a name all that this one knows of. */
  async auditLines(at?: string): Promise<AuditLine[]> {
    const sources = at
      ? [['-s', this.instance(at).server.socket]]
      : this.instances.map(({ server }) => ['--state-dir', server.stateDir]);
    const all = sources.map(async (source) => {
      const { code, stdout, stderr } = await coffer(['audit', 'query', '--json', ...source], {});
      if (code !== 0) throw new Error(`coffer audit query: ${stderr}`);
      const lines = stdout.toString().split('\n').filter(Boolean);
      return lines.map((line) => JSON.parse(line) as AuditLine);
    });
    return (await Promise.all(all)).flat();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const instance of this.instances) await instance[Symbol.asyncDispose]();
    await this.cluster.stop();
  }
}

/** As an operator would who starts several at once. */
function makeRootKey({ folder }: CofferInstance): void {
  const key = `coffer-root-key-v1:${randomBytes(32).toString('base64')}\n`;
  writeFileSync(folder.join('root.key'), key, { mode: 0o600 });
}

/** What `/readyz` says. */
export async function readiness(instance: CofferInstance): Promise<{ status: number; body: string }> {
  const signal = AbortSignal.timeout(5_000);
  return new Promise((resolve, reject) => {
    const asked = get(`${instance.url}/readyz`, { agent: false, signal }, (response) => {
      const { statusCode: status = 0 } = response;
      text(response).then((body) => resolve({ status, body }), reject);
    });
    asked.on('error', reject);
  });
}
