import { Process, run } from './processes.mjs';
import { peer } from './servers.mjs';

// Plain JavaScript, since bench/ runs without a build; the contract stands in wasmcloud.d.mts.

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
  static async start({ url, transitSeed, encryptionSeed }) {
    const env = { TRANSIT_XKEY_SEED: transitSeed, ENCRYPTION_XKEY_SEED: encryptionSeed };
    const process = new Process(peer('secrets-nats-kv'), ['run', '--nats-address', url], { env });
    await process.waitFor(/Starting secrets backend/);
    return new SecretsNatsKvServer(process);
  }

  constructor(process) {
    this.process = process;
  }

  async [Symbol.asyncDispose]() {
    await this.process.stop();
  }
}
