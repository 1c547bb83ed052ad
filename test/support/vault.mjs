import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { freePort, Process, TemporaryFolder } from './processes.mjs';
import { peer } from './servers.mjs';

// Plain JavaScript beside the other helpers; the contract stands in vault.d.mts.

const ROOT_TOKEN = 'root';
/** Another program may take the port that was free a moment ago. */
const ATTEMPTS = 3;

export class VaultServer {
  static async start({ tls = false } = {}) {
    for (let attempt = 1; ; attempt++) {
      const folder = new TemporaryFolder();
      try {
        return await begin(folder, tls);
      } catch (error) {
        folder[Symbol.dispose]();
        if (attempt === ATTEMPTS || !/address already in use/.test(error.message)) throw error;
      }
    }
  }

  token = ROOT_TOKEN;

  constructor({ url, process, folder, ca }) {
    this.url = url;
    this.process = process;
    this.folder = folder;
    this.ca = ca;
  }

  async call(method, path, body) {
    const { request } = this.url.startsWith('https:') ? https : http;
    const headers = { 'X-Vault-Token': this.token };
    const ca = this.ca && readFileSync(this.ca);
    const sent = request(`${this.url}/v1/${path}`, { method, headers, ca });
    sent.end(body && JSON.stringify(body));
    const [response] = await once(sent, 'response');
    const answer = await text(response);
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${answer}`);
    return answer === '' ? {} : JSON.parse(answer);
  }

  async mount(path, version) {
    await this.call('POST', `sys/mounts/${path}`, { type: 'kv', options: { version: String(version) } });
  }

  async put(path, data, { mount = 'secret' } = {}) {
    const { data: made } = await this.call('POST', `${mount}/data/${path}`, { data });
    return made.version;
  }

  async stop() {
    const exit = await this.process.stop();
    this.folder[Symbol.dispose]();
    return exit;
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

async function begin(folder, tls) {
  const port = await freePort();
  const options = [
    ...(tls ? ['-dev-tls', `-dev-tls-cert-dir=${folder.path}`] : ['-dev']),
    '-dev-no-store-token',
    `-dev-root-token-id=${ROOT_TOKEN}`,
    `-dev-listen-address=127.0.0.1:${port}`,
  ];
  const process = new Process(peer('vault'), ['server', ...options], { cwd: folder.path });
  try {
    await process.waitFor(/Root Token: /);
    const url = `${tls ? 'https' : 'http'}://127.0.0.1:${port}`;
    const server = new VaultServer({
      url,
      process,
      folder,
      ca: tls ? folder.join('vault-ca.pem') : undefined,
    });
    // The mount of the development mode upgrades itself for a moment.
    await server.put('ready', {});
    await server.call('DELETE', 'secret/metadata/ready');
    return server;
  } catch (error) {
    await process.kill().catch(() => {});
    throw error;
  }
}
