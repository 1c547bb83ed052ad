import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
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

/** The file storage of a Vault is one folder, and the one key that unseals it is enough. */
const KEPT = (folder, [first, ...others]) => `
storage "file" { path = "${folder.join('data')}" }
${[first, ...others].map(({ port, tls }) => `listener "tcp" { address = "127.0.0.1:${port}", ${tls} }`).join('\n')}
disable_mlock = true
api_addr = "${first.url}"
`;

/** One of several, which agree among themselves on one that is active. */
const NODE = (folder, name, port, clusterPort) => `
storage "raft" { path = "${folder.join('data')}", node_id = "${name}" }
listener "tcp" { address = "127.0.0.1:${port}", cluster_address = "127.0.0.1:${clusterPort}", tls_disable = true }
disable_mlock = true
api_addr = "http://127.0.0.1:${port}"
cluster_addr = "https://127.0.0.1:${clusterPort}"
`;

export class KeptVault extends VaultServer {
  static async start() {
    return await KeptVault.#start(new TemporaryFolder(), [{ tls: 'tls_disable = true' }], undefined);
  }

  static async startWithTls(authority, certificates) {
    const folder = new TemporaryFolder();
    const write = (name, content) => {
      writeFileSync(folder.join(name), content, { mode: 0o600 });
      return folder.join(name);
    };
    const listeners = certificates.map(({ cert, key }, n) => ({
      tls: `tls_cert_file = "${write(`${n}.crt`, cert)}", tls_key_file = "${write(`${n}.key`, key)}"`,
    }));
    return await KeptVault.#start(folder, listeners, write('ca.pem', authority.cert));
  }

  static async #start(folder, wanted, ca) {
    const listeners = [];
    for (const { tls } of wanted) {
      const port = await freePort();
      listeners.push({ tls, port, url: `${ca ? 'https' : 'http'}://127.0.0.1:${port}` });
    }
    writeFileSync(folder.join('vault.hcl'), KEPT(folder, listeners).replaceAll(', ', '\n'));
    const [{ url }] = listeners;
    const vault = new KeptVault({ url, process: await serve(folder), folder, ca });
    vault.urls = listeners.map((listener) => listener.url);
    try {
      await vault.#init();
      return vault;
    } catch (error) {
      await vault.stop();
      throw error;
    }
  }

  static async startTwo() {
    const nodes = [];
    try {
      for (const name of ['first', 'second']) {
        const folder = new TemporaryFolder();
        const [port, clusterPort] = [await freePort(), await freePort()];
        mkdirSync(folder.join('data'));
        writeFileSync(folder.join('vault.hcl'), NODE(folder, name, port, clusterPort).replaceAll(', ', '\n'));
        nodes.push(new KeptVault({ url: `http://127.0.0.1:${port}`, process: await serve(folder), folder }));
      }
      const [first, second] = nodes;
      await first.#init();
      await second.call('PUT', 'sys/storage/raft/join', { leader_api_addr: first.url });
      second.token = first.token;
      second.#key = first.#key;
      await second.unseal('sys/health?standbyok=true');
      return nodes;
    } catch (error) {
      for (const node of nodes) await node.stop();
      throw error;
    }
  }

  #key;

  async unseal(serves = 'sys/health') {
    await this.call('PUT', 'sys/unseal', { key: this.#key });
    // It serves a moment after.
    while (!(await this.call('GET', serves).catch(() => undefined))) await delay(20);
  }

  async #init() {
    const wanted = { secret_shares: 1, secret_threshold: 1 };
    const { keys, root_token: token } = await this.call('PUT', 'sys/init', wanted);
    this.token = token;
    this.#key = keys[0];
    await this.unseal();
  }

  async seal() {
    await this.call('PUT', 'sys/seal');
  }

  async pause() {
    await this.process.kill();
  }

  async restart() {
    await this.pause();
    this.process = await serve(this.folder);
  }
}

async function serve(folder) {
  const process = new Process(peer('vault'), ['server', `-config=${folder.join('vault.hcl')}`]);
  await process.waitFor(/Vault server started!/);
  return process;
}
