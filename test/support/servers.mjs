import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expectNoCanary } from './canary.mjs';
import { Authority } from './certificates.mjs';
import { Process, run, TemporaryFolder } from './processes.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in servers.d.mts.

const COFFER = fileURLToPath(new URL('../../packages/cli/bin/coffer.js', import.meta.url));

export function peer(name) {
  const cache =
    process.env.COFFER_CACHE || join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'coffer');
  const path = join(cache, 'peers', 'bin', name);
  if (!existsSync(path))
    throw new Error(`${name} is not installed: run test/peers/install.sh, as .ci/run does`);
  return path;
}

export const cofferCommand = (...args) => [process.execPath, [COFFER, ...args]];

export async function coffer(args, options) {
  return await run(...cofferCommand(...args), options);
}

export class CofferServer {
  /** Opens a new folder, or `folder`, which outlives the server, so that another one can go on with it. */
  static async start({ dev = false, tls = false, folder, args = [], env = {}, timeoutMs } = {}) {
    const own = folder === undefined ? new TemporaryFolder() : undefined;
    const home = folder ?? own;
    const mode = dev ? ['--dev'] : ['--root-key', `file:${home.join('root.key')}`];
    const command = [
      'server',
      ...mode,
      '--listen',
      '127.0.0.1:0',
      '--state-dir',
      home.join('state'),
      ...(tls ? certificateArguments(home) : []),
      ...args,
    ];
    const process = new Process(...cofferCommand(...command), { env });
    try {
      const [url] = await process.waitFor(/https?:\/\/127\.0\.0\.1:\d+(?=\s)/, { timeoutMs });
      return new CofferServer(url, process, home, own);
    } catch (error) {
      await process.kill().catch(() => {});
      own?.[Symbol.dispose]();
      throw error;
    }
  }

  #own;

  constructor(url, process, folder, own) {
    this.url = url;
    this.process = process;
    this.folder = folder;
    this.stateDir = folder.join('state');
    this.socket = `unix:${join(this.stateDir, 'admin.sock')}`;
    this.ca = folder.join('ca.pem');
    this.#own = own;
  }

  async createToken(name) {
    const { id, token } = JSON.parse(await this.#admin('token', 'create', name, '--json'));
    return { token, principal: `token:${id}` };
  }

  async applyPolicy(grants) {
    const file = this.folder.join('policy.json');
    writeFileSync(file, JSON.stringify({ grants }));
    await this.#admin('policy', 'apply', file);
  }

  /** Begins the re-encryption of all records under a new data key. */
  async rotateDataKey() {
    await this.#admin('keys', 'rotate', '--no-wait');
  }

  /** Over the admin socket, at no cost: no process, and no count of records. */
  async isRotating() {
    const socketPath = join(this.stateDir, 'admin.sock');
    const headers = { 'Sec-X-Tailscale-No-Browsers': 'setec' };
    const [answer] = await once(get({ socketPath, path: '/api/admin/keys/rotation', headers }), 'response');
    return JSON.parse(await text(answer)).rotation !== null;
  }

  async stop() {
    const exit = await this.process.stop();
    this.#own?.[Symbol.dispose]();
    expectNoCanary(this.process.output, "the server's output");
    return exit;
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }

  async #admin(...args) {
    const { code, stdout, stderr } = await coffer([...args, '-s', this.socket]);
    if (code !== 0) throw new Error(`coffer ${args.join(' ')} failed: ${stderr}`);
    return stdout.toString();
  }
}

function certificateArguments(folder) {
  const [ca, cert, key] = ['ca.pem', 'tls.crt', 'tls.key'].map((name) => folder.join(name));
  const authority = new Authority();
  const issued = authority.issue();
  writeFileSync(ca, authority.cert);
  writeFileSync(cert, issued.cert);
  writeFileSync(key, issued.key, { mode: 0o600 });
  return ['--tls-cert', cert, '--tls-key', key];
}

export class SetecServer {
  static async start({ preload = 0, limited = [] } = {}) {
    const folder = new TemporaryFolder();
    const options = [
      '-dir',
      folder.join('state'),
      '-preload',
      String(preload),
      '-limited',
      JSON.stringify(limited),
    ];
    const process = new Process(peer('setec-server'), options);
    try {
      const [, opened] = await process.waitFor(/opened in (\S+) ms\n/);
      const [, url] = await process.waitFor(/listening (\S+)\n/);
      const [, limitedUrl] = await process.waitFor(/limited (\S+)\n/);
      return new SetecServer({ url, limitedUrl, openMilliseconds: Number(opened), process }, folder);
    } catch (error) {
      await process.kill().catch(() => {});
      folder[Symbol.dispose]();
      throw error;
    }
  }

  #folder;

  constructor(facts, folder) {
    Object.assign(this, facts);
    this.#folder = folder;
  }

  async stop() {
    await this.process.stop();
    this.#folder[Symbol.dispose]();
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

export function withPassword(url, token) {
  return url.replace('://', `://x:${token}@`);
}
