import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { encodeWascap, type KeyPair, keyPairFromSeed, parseCreds } from '@coffer/identity';
import { AdminClient, type AdminClientOptions, type HostRequest, SecretsClient } from '@coffer/wasmcloud';
import { type ConnectionOptions, connect, type NatsConnection } from '@nats-io/transport-node';
import { onTestFinished } from 'vitest';
import type { NatsServer } from '../../../test/support/nats.mjs';
import {
  completeWasmcloud,
  type NatsConfig,
  type RunningServer,
  type ServerConfig,
  type StartOptions,
  type WasmcloudConfig,
} from '../src/index.js';
import { asUser, CLOSED, newKeys, readableLog, startNats } from './nats-world.js';
import { type Changes, call, SETEC_HEADERS, send, startTestServer, testConfig } from './support.js';

export type WasmChanges = Omit<Changes, 'wasmcloud' | 'nats'> & {
  readonly nats?: Partial<NatsConfig>;
  readonly wasmcloud?: Partial<WasmcloudConfig>;
};

/** A server with a NATS door, and what asks there: a host with a component, signed by a trusted account. */
export class WasmWorld {
  readonly account: KeyPair;
  readonly component = newKeys('component');
  readonly host = newKeys('server');
  readonly log = readableLog('debug');
  config!: ServerConfig;
  server!: RunningServer;
  nats!: NatsServer;

  private constructor(account: KeyPair) {
    this.account = account;
  }

  static async start(
    changes: WasmChanges = {},
    {
      natsServer,
      account = newKeys('account'),
      options,
    }: { natsServer?: NatsServer; account?: KeyPair; options?: StartOptions } = {},
  ): Promise<WasmWorld> {
    const world = new WasmWorld(account);
    world.nats = natsServer ?? (await startNats({ config: CLOSED }));
    const { nats, wasmcloud, ...rest } = changes;
    world.config = await testConfig({
      dev: false,
      listen: 'none',
      trust: trustingAccounts(account.publicKey),
      nats: { ...asUser(world.nats), ...nats },
      wasmcloud: { ...completeWasmcloud(), ...wasmcloud },
      ...rest,
    });
    world.server = await startTestServer(world.config, { log: world.log.log, ...options });
    return world;
  }

  get principal(): string {
    return `component:${this.account.publicKey}/${this.component.publicKey}`;
  }

  /** As the user of a closed server, unless told otherwise. */
  async connect(options: ConnectionOptions = {}): Promise<NatsConnection> {
    const connection = await connect({
      servers: `127.0.0.1:${this.nats.port}`,
      ...(options.authenticator ? {} : { user: 'coffer', pass: 'hello' }),
      ...options,
    });
    onTestFinished(() => connection.close());
    return connection;
  }

  token(sub = this.component, signer = this.account, claims: object = {}): string {
    return encodeWascap({ sub: sub.publicKey, wascap: { name: 'hello' }, ...claims }, signer);
  }

  request(key: string, more: Partial<HostRequest> = {}): HostRequest {
    const hostJwt = this.token(this.host, this.host);
    return { backend: 'nats-kv', key, entityJwt: this.token(), hostJwt, ...more };
  }

  /** Asks as a host does. */
  async get(key: string, more: Partial<HostRequest> = {}): Promise<string> {
    this.#hosts ??= this.connect().then((nats) => new SecretsClient({ nats }));
    const { kind, version, value } = await (await this.#hosts).get(this.request(key, more));
    return `${kind} ${version} ${Buffer.from(value).toString(kind === 'string' ? 'utf8' : 'hex')}`;
  }
  #hosts: Promise<SecretsClient> | undefined;

  /** Why a request is refused. */
  refusal(key: string, more: Partial<HostRequest> = {}): Promise<string> {
    return this.get(key, more).then(
      (got) => `got ${got}`,
      (error: Error) => error.message,
    );
  }

  async admin(options: Partial<AdminClientOptions> = {}): Promise<AdminClient> {
    return new AdminClient({ name: 'nats-kv', nats: options.nats ?? (await this.connect()), ...options });
  }

  async put(name: string, value: string | Buffer): Promise<void> {
    const Value = Buffer.from(value).toString('base64');
    const { status, body } = await call(this.server, 'put', { Name: name, Value }, { socket: true });
    if (status !== 200) throw new Error(body);
  }

  async grant(...grants: object[]): Promise<void> {
    await this.post('policy', { grants });
  }

  async post(path: string, content: object): Promise<void> {
    const body = JSON.stringify(content);
    const sent = { method: 'POST', headers: SETEC_HEADERS, body, socket: true };
    const answer = await send(this.server, `/api/admin/${path}`, sent);
    if (answer.status !== 200) throw new Error(answer.body);
  }

  /** Lets the component get everything. */
  async open(): Promise<void> {
    await this.grant({ to: [this.principal], actions: ['get'], secrets: ['*'] });
  }

  /** All lines of the audit log. */
  audit(): { action: string; authorized: boolean; secret?: string; principal: Record<string, unknown> }[] {
    const path = join(this.server.socketPath, '..', 'audit', 'audit.log');
    return readFileSync(path, 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  }

  async metrics(): Promise<string> {
    return (await send(this.server, '/metrics', { socket: true })).body;
  }
}

export const trustingAccounts = (...accounts: string[]) => ({
  operators: [],
  accounts,
  resolver: undefined,
  audiences: [],
  clockSkewSeconds: 5,
  maxAgeSeconds: 300,
});

/** How nats.js comes with creds. */
export function comingWith(creds: string, nkey?: string): Pick<ConnectionOptions, 'authenticator'> {
  const { jwt, seed } = parseCreds(readFileSync(creds));
  const keys = keyPairFromSeed(seed);
  return {
    authenticator: (nonce) => ({
      jwt,
      nkey: nkey ?? keys.publicKey,
      sig: Buffer.from(keys.sign(Buffer.from(nonce ?? ''))).toString('base64url'),
    }),
  };
}
