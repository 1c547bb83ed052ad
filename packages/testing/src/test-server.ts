import { ACTIONS, type Caller, type Engine, type Grant, type SecretInfo } from '@coffer/engine';
import {
  completeLimits,
  completeWasmcloud,
  type FileConfig,
  type RunningServer,
  type ServerConfig,
  startServer,
} from '@coffer/server';
import { pino } from 'pino';
import { StateFolder } from './state-folder.js';

/** What a test server starts with; everything may be left out. */
export interface TestServerOptions {
  /** Secrets that it has from the beginning, each with version 1. */
  readonly secrets?: Readonly<Record<string, string | Uint8Array>> | undefined;
  /** Default: a free one. */
  readonly port?: number | undefined;
  /** In place of a server's defaults, as under `limits` in its configuration file. */
  readonly limits?: FileConfig['limits'] | undefined;
  /** Whatever else of its configuration is to be another, such as `publicUrl`, `tls` or `trust`. */
  readonly config?: Partial<Omit<ServerConfig, 'listen' | 'stateDir' | 'rootKey' | 'limits'>> | undefined;
}

/** What a caller may do: `actions` on the secrets whose names match `secrets`, in which `*` stands for any characters. */
export type TestGrant = Pick<Grant, 'actions' | 'secrets'>;

/** A caller of its own. */
export interface TestToken {
  /** What it shows: the `token` of a `Client`. */
  readonly token: string;
  /** Who it is, in grants and in the audit log: `token:<id>`. */
  readonly principal: string;
  readonly id: string;
}

/** As who opens the admin socket. */
const OPERATOR: Caller = { principals: [{ id: 'socket', kind: 'socket' }], address: 'unix' };

/** How long the port may be another's when a server starts again. */
const PORT_MS = 5_000;

/**
 * Starts a coffer server in this process, on a free port of 127.0.0.1. Close it when the test is over:
 *
 * ```ts
 * await using server = await startTestServer({ secrets: { 'db/password': 'swordfish' } });
 * const client = new Client({ server: server.url, token: server.token });
 * ```
 *
 * It is the server of production: its engine with the store, the encryption, grants and audit log, and its HTTP door on TCP and
 * on the admin socket. What is not as in production: its state is in memory where the machine has a folder there (`/dev/shm`), else
 * in the temporary folder, and is gone afterwards; the root key lies in a file beside it; it writes no log; it talks without TLS unless
 * `config.tls` says otherwise.
 *
 * Any number may run side by side. A process that ends without `close` leaves nothing behind; what one that was killed leaves
 * is removed by the next test server that starts, a minute later or more.
 *
 * @throws CofferError for a port that is taken, and for what the server cannot start with. The options are taken as they are: what
 *   a configuration file may not say, such as a limit below 0, is not refused
 */
export async function startTestServer(options: TestServerOptions = {}): Promise<TestServer> {
  return TestServer.start(options);
}

/** A running server, made by {@link startTestServer}; what `must…` does, it does as who may do everything, or rejects. */
export class TestServer implements AsyncDisposable {
  /** `http://127.0.0.1:PORT`, or `https:` with `config.tls`; also while it is stopped. */
  readonly url: string;
  /** The admin socket, as `unix:PATH`: the `server` of a `Client` that may do everything without a token. */
  readonly socket: string;
  /** Of a caller that may do everything. */
  readonly token: string;
  readonly #folder: StateFolder;
  readonly #launch: () => Promise<RunningServer>;
  #running: RunningServer | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(folder: StateFolder, launch: Launch, first: RunningServer, token: string) {
    this.#folder = folder;
    this.#launch = () => launch(first.address?.port ?? 0);
    this.#running = first;
    this.url = first.url;
    this.socket = `unix:${first.socketPath}`;
    this.token = token;
  }

  /** The same as {@link startTestServer}. */
  static async start(options: TestServerOptions): Promise<TestServer> {
    const { secrets = {}, port = 0, ...launching } = options;
    const folder = await StateFolder.make();
    const launch = launcher(folder, launching);
    let first: RunningServer | undefined;
    try {
      first = await launch(port);
      const { token, info } = await first.engine.createToken(OPERATOR, { name: 'test' });
      const server = new TestServer(folder, launch, first, token);
      await server.grant(`token:${info.id}`, [{ actions: ACTIONS, secrets: ['*'] }]);
      await Promise.all(Object.entries(secrets).map(([name, value]) => server.mustPut(name, value)));
      return server;
    } catch (error) {
      await first?.close();
      await folder.remove();
      throw error;
    }
  }

  /** The engine behind the doors, for whatever else a test needs; another one after each {@link start}. Throws while stopped. */
  get engine(): Engine {
    if (this.#running) return this.#running.engine;
    throw new Error('the test server is stopped');
  }

  /** Saves a value and gives its version. Of a new name it is active, of another it waits for {@link mustActivate}. */
  async mustPut(name: string, value: string | Uint8Array): Promise<number> {
    return this.engine.put(OPERATOR, name, bytes(value));
  }

  /** Saves a value, makes it the active one, and gives its version. */
  async mustRotate(name: string, value: string | Uint8Array): Promise<number> {
    return this.engine.putAndActivate(OPERATOR, name, bytes(value));
  }

  /** Makes a version of a number that was never used, and activates it. */
  async mustCreateVersion(name: string, version: number, value: string | Uint8Array): Promise<void> {
    await this.engine.createVersion(OPERATOR, name, version, bytes(value));
  }

  /** Makes a version the active one, which programs get from then on. */
  async mustActivate(name: string, version: number): Promise<void> {
    await this.engine.activate(OPERATOR, name, version);
  }

  /** The value of a version, without one of the active one. `value.toString()` is the text. */
  async mustGet(name: string, version = 0): Promise<{ value: Buffer; version: number }> {
    const got = await this.engine.get(OPERATOR, name, version);
    return { value: Buffer.from(got.value), version: got.version };
  }

  /** A secret's versions and which is active, without values. */
  async mustInfo(name: string): Promise<SecretInfo> {
    return this.engine.info(OPERATOR, name);
  }

  /** Deletes a secret, or one version of it that is not active. */
  async mustDelete(name: string, version?: number): Promise<void> {
    if (version === undefined) await this.engine.delete(OPERATOR, name);
    else await this.engine.deleteVersion(OPERATOR, name, version);
  }

  /** Makes a caller that may do this and nothing else; without grants nothing at all. */
  async createToken(name: string, grants: readonly TestGrant[] = []): Promise<TestToken> {
    const { token, info } = await this.engine.createToken(OPERATOR, { name });
    const principal = `token:${info.id}`;
    if (grants.length > 0) await this.grant(principal, grants);
    return { token, principal, id: info.id };
  }

  /** Lets a principal do this from now on, in place of what it might do before; `[]` takes all away. */
  async grant(principal: string, grants: readonly TestGrant[]): Promise<void> {
    await this.#inTurn(async () => {
      const { grants: all, generation } = await this.engine.policy(OPERATOR);
      const others = all.filter(({ to }) => !(to.length === 1 && to[0] === principal));
      const own = grants.map(({ actions, secrets }) => ({ to: [principal], actions, secrets }));
      const options = { expectedGeneration: generation };
      await this.engine.applyPolicy(OPERATOR, [...others, ...own], options);
    });
  }

  /** The token, by its id, is known no more; its watches end. */
  async revokeToken(id: string): Promise<void> {
    await this.engine.revokeToken(OPERATOR, id);
  }

  /** An outage: connections are ended, and new ones refused, until {@link start}. What is stored stays. Twice is harmless. */
  async stop(): Promise<void> {
    await this.#inTurn(() => this.#stop());
  }

  /** Serves again, on the same port and with what was stored. Harmless while it runs. */
  async start(): Promise<void> {
    await this.#inTurn(async () => {
      if (this.#closed) throw new Error('the test server is closed');
      this.#running ??= await this.#launchAgain();
    });
  }

  /** Ends it and removes its state. Requests that are under way may end, for up to 10 s. Twice is harmless. */
  async close(): Promise<void> {
    await this.#inTurn(async () => {
      this.#closed = true;
      try {
        await this.#stop();
      } finally {
        await this.#folder.remove();
      }
    });
  }

  /** As {@link close}. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #stop(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    await running?.close();
  }

  /** Meanwhile the kernel may have given the port to somebody's outgoing connection. */
  async #launchAgain(): Promise<RunningServer> {
    const deadline = performance.now() + PORT_MS;
    for (;;) {
      try {
        return await this.#launch();
      } catch (error) {
        const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
        if (code !== 'EADDRINUSE' || performance.now() > deadline) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  /** One after the other, whatever became of those before. */
  #inTurn<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task);
    this.#turn = result.catch(() => {});
    return result;
  }
}

type Launch = (port: number) => Promise<RunningServer>;

function launcher(folder: StateFolder, { limits, config }: TestServerOptions): Launch {
  const complete = {
    stateDir: folder.stateDir,
    rootKey: `file:${folder.keyFile}`,
    dev: false,
    insecureHttp: false,
    storage: { minFreeBytes: 0 },
    wasmcloud: completeWasmcloud(),
    ...config,
    limits: completeLimits(limits),
  };
  return (port) =>
    startServer(
      { ...complete, listen: `127.0.0.1:${port}` },
      // Whatever is fatal, requests are then answered 503 with its sentence: the process is not ours to end.
      { log: pino({ level: 'silent' }), onNotice: () => {}, onFatal: () => {} },
    );
}

function bytes(value: string | Uint8Array): Uint8Array {
  return typeof value === 'string' ? Buffer.from(value) : value;
}
