import {
  createKeyPair,
  encodeWascap,
  type KeyPair,
  memoryResolver,
  memoryRevocations,
  open,
  seal,
  Verifier,
} from '@coffer/identity';
import { connect, headers, type Msg, type NatsConnection } from '@nats-io/transport-node';
import { NatsServer } from '../../../test/support/nats.mjs';
import {
  type Answered,
  type Application,
  type BackendOptions,
  HOST_XKEY,
  operationSubject,
  RESPONSE_XKEY,
  type Secret,
  SecretsError,
  type ServedBackend,
  serveBackend,
} from '../src/index.js';

export const NAME = 'nats-kv';

/** Waits for a condition, and fails when it does not come true. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 10_000;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited for ${what} in vain`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A nats-server with a backend on it, whose secrets are in memory, and a caller. */
export class World {
  static async start(options: Partial<BackendOptions> & { readonly config?: string } = {}): Promise<World> {
    const { config = '', ...told } = options;
    const server = await NatsServer.start({ config });
    const connected = await Promise.all([connect({ servers: server.url }), connect({ servers: server.url })]);
    const world = new World(server, ...connected);
    world.serve(told);
    await world.backendNats.flush();
    return world;
  }

  readonly account = createKeyPair('account');
  readonly component = createKeyPair('component');
  readonly host = createKeyPair('server');
  readonly transit: KeyPair[] = [createKeyPair('curve')];
  readonly used: string[] = [];
  readonly secrets = new Map<string, Omit<Secret, 'value'> & { readonly value: string | Uint8Array }>();
  /** For which secrets were asked for, the newest last. */
  readonly applications: Application[] = [];
  readonly revocations = memoryRevocations();
  readonly answered: Answered[] = [];
  readonly errors: unknown[] = [];
  readonly backends: ServedBackend[] = [];
  readonly verifier: Verifier;

  private constructor(
    readonly server: NatsServer,
    readonly backendNats: NatsConnection,
    readonly nats: NatsConnection,
  ) {
    this.verifier = new Verifier({
      operators: () => [],
      accounts: [this.account.publicKey],
      resolver: memoryResolver([]),
      revocations: this.revocations,
    });
  }

  serve(options: Partial<BackendOptions> = {}): ServedBackend {
    const backend = serveBackend({
      name: NAME,
      nats: this.backendNats,
      transitKeys: { keys: () => this.transit, used: (key) => void this.used.push(key) },
      trust: { verifier: this.verifier },
      fetch: async ({ key, version }, { application }) => {
        this.applications.push(application);
        return this.find(key, version);
      },
      onAnswered: (answered) => void this.answered.push(answered),
      onError: (error) => void this.errors.push(error),
      ...options,
    });
    this.backends.push(backend);
    return backend;
  }

  /** A copy, since a backend wipes what it is given. */
  find(key: string, version?: string): Secret {
    const secret = this.secrets.get(key);
    if (!secret || (version !== undefined && version !== secret.version)) {
      throw new SecretsError('SecretNotFound');
    }
    const value = typeof secret.value === 'string' ? Buffer.from(secret.value) : Buffer.from(secret.value);
    return { ...secret, value: new Uint8Array(value) };
  }

  get entityJwt(): string {
    return this.token(this.component.publicKey, this.account);
  }

  get hostJwt(): string {
    return this.token(this.host.publicKey, this.host);
  }

  token(sub: string, signer: KeyPair, claims: { exp?: number; nbf?: number } = {}): string {
    return encodeWascap({ sub, wascap: { name: 'W' }, ...claims }, signer);
  }

  /** A `SecretRequest`, as far as a test does not say otherwise. */
  secretRequest(key: string, more: object = {}, context: object = {}): object {
    return {
      key,
      field: null,
      version: null,
      context: {
        entity_jwt: this.entityJwt,
        host_jwt: this.hostJwt,
        application: { name: null, policy: '' },
        ...context,
      },
      ...more,
    };
  }

  /** Sends bytes as they are. */
  async send(
    operation: string,
    payload: Uint8Array | string,
    told: Record<string, string> | null = {},
  ): Promise<Msg> {
    const hdrs = headers();
    for (const [name, value] of Object.entries(told ?? {})) hdrs.set(name, value);
    const subject = `${operationSubject({ name: NAME }, 'get').slice(0, -'get'.length)}${operation}`;
    return await this.nats.request(subject, payload, {
      timeout: 10_000,
      ...(told !== null && { headers: hdrs }),
    });
  }

  /** Seals a message, sends it, opens the answer if it is sealed, and reads its JSON. */
  async ask(operation: string, message: unknown, more: Record<string, string> = {}): Promise<unknown> {
    const { plaintext } = await this.exchange(operation, message, more);
    return JSON.parse(plaintext);
  }

  async exchange(operation: string, message: unknown, more: Record<string, string> = {}) {
    using own = createKeyPair('curve');
    const text = typeof message === 'string' ? message : JSON.stringify(message);
    const box = seal(Buffer.from(text), own, (this.transit[0] as KeyPair).publicKey);
    const answer = await this.send(operation, box, { [HOST_XKEY]: own.publicKey, ...more });
    const responseXkey = answer.headers?.get(RESPONSE_XKEY);
    const plaintext = Buffer.from(
      responseXkey ? open(answer.data, own, responseXkey) : answer.data,
    ).toString();
    return { plaintext, responseXkey };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.backends.map((backend) => backend.drain()));
    await Promise.all([this.nats.close(), this.backendNats.close()]);
    this.verifier.close();
    await this.server.stop();
  }
}
