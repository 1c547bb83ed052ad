import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { createKeyPair } from '@coffer/identity';
import { connect } from '@nats-io/transport-node';
import { expectNoCanary } from './canary.mjs';
import { Process, run, TemporaryFolder } from './processes.mjs';
import { cofferCommand, peer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in wasmcloud.d.mts.

/** What `coffer wasmcloud run` says once it answers. */
const SERVING = /coffer serves \S+ to wasmCloud/;
const ADDRESS = { prefix: 'wasmcloud.secrets', backend: 'nats-kv' };

export class WasmcloudClient {
  #asked = 0;

  constructor(url, { creds } = {}) {
    this.process = new Process(peer('wasmcloud-client'), [url, ...(creds === undefined ? [] : [creds])]);
  }

  async get(request) {
    const { id, ...answer } = await this.#ask('get', request);
    return answer;
  }

  async bench(request) {
    return (await this.#ask('bench', request)).report;
  }

  load(request) {
    const answer = this.#ask('load', request);
    return {
      stop: async () => {
        this.#send({ id: ++this.#asked, op: 'stop' });
        return (await answer).report;
      },
    };
  }

  async manifest(text) {
    const { id, ...answer } = await this.#ask('manifest', { text });
    return answer;
  }

  async forget() {
    await this.#ask('forget', {});
  }

  async [Symbol.asyncDispose]() {
    await this.process.stop();
  }

  async #ask(op, request) {
    const id = ++this.#asked;
    this.#send({ id, op, ...ADDRESS, ...request });
    const [line] = await this.process.waitFor(new RegExp(`^.*"id":${id}[,}].*\\n`, 'm'), {
      timeoutMs: 600_000,
    });
    return JSON.parse(line);
  }

  #send(line) {
    this.process.write(`${JSON.stringify(line)}\n`);
  }
}

export async function secretsNatsKv(args, { url, transitSeed, creds, env = {} }) {
  const [command, ...rest] = args;
  const address = ['--nats-address', url, ...(creds === undefined ? [] : ['--nats-creds-file', creds])];
  const seeds = transitSeed === undefined ? {} : { TRANSIT_XKEY_SEED: transitSeed };
  return await run(peer('secrets-nats-kv'), [command, ...address, ...rest], { env: { ...seeds, ...env } });
}

export class SecretsNatsKvServer {
  static async start({ url, transitSeed, encryptionSeed, args = [] }) {
    const env = { TRANSIT_XKEY_SEED: transitSeed, ENCRYPTION_XKEY_SEED: encryptionSeed };
    const process = new Process(peer('secrets-nats-kv'), ['run', '--nats-address', url, ...args], { env });
    try {
      await process.waitFor(/Starting secrets backend/);
      // It says so before it listens, and makes its buckets after that; only then it answers.
      const base = args.findIndex((arg) => arg === '-s' || arg === '--subject-base');
      await answering(url, `${base < 0 ? ADDRESS.prefix : args[base + 1]}.v1alpha1.nats-kv.server_xkey`);
      return new SecretsNatsKvServer(process);
    } catch (error) {
      await process.kill().catch(() => {});
      throw error;
    }
  }

  constructor(process) {
    this.process = process;
  }

  async [Symbol.asyncDispose]() {
    await this.process.stop();
  }
}

const LISTENING_MS = 10_000;

/** Waits until somebody answers on a subject. */
async function answering(url, subject) {
  const nats = await connect({ servers: url });
  try {
    for (const end = performance.now() + LISTENING_MS; ; ) {
      try {
        await nats.request(subject, '', { timeout: LISTENING_MS });
        return;
      } catch (error) {
        if (performance.now() > end) throw error;
        await setTimeout(20);
      }
    }
  } finally {
    await nats.close();
  }
}

export class CofferBackend {
  static async start({ nats, folder, seeds = newSeeds(), args = [], env = {} }) {
    const own = folder === undefined ? new TemporaryFolder() : undefined;
    const home = folder ?? own;
    const stateDir = home.join('state');
    const command = cofferCommand(
      ...['wasmcloud', 'run', '--nats-address', nats.url, '--state-dir', stateDir, ...args],
    );
    const process = new Process(...command, {
      env: { TRANSIT_XKEY_SEED: seeds.transit, ENCRYPTION_XKEY_SEED: seeds.encryption, ...env },
    });
    try {
      await process.waitFor(SERVING);
      return new CofferBackend({ process, folder: home, stateDir, seeds }, own);
    } catch (error) {
      await process.kill().catch(() => {});
      own?.[Symbol.dispose]();
      throw error;
    }
  }

  #own;

  constructor({ process, folder, stateDir, seeds }, own) {
    this.process = process;
    this.folder = folder;
    this.stateDir = stateDir;
    this.seeds = seeds;
    this.socket = `unix:${join(stateDir, 'admin.sock')}`;
    this.#own = own;
  }

  async stop() {
    const exit = await this.process.stop();
    this.#own?.[Symbol.dispose]();
    expectNoCanary(this.process.output, "the backend's output");
    return exit;
  }

  async [Symbol.asyncDispose]() {
    await this.stop();
  }
}

export function newSeeds() {
  const seed = () => {
    const pair = createKeyPair('curve');
    return Buffer.from(pair.seed()).toString();
  };
  return { transit: seed(), encryption: seed() };
}
