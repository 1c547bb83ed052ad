import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createKeyPair,
  encodeJwt,
  formatCreds,
  type KeyPair,
  newAccount,
  newOperator,
  newUser,
  type UserClaims,
} from '@coffer/identity';
import type { Msg, NatsConnection } from '@nats-io/transport-node';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import { NatsServer } from '../../../test/support/nats.mjs';
import { completeWasmcloud, type NatsConfig } from '../src/index.js';
import { NatsDoor } from '../src/nats/door.js';
import { temporaryFolder } from './support.js';

/** A log that a test can read. */
export function readableLog(level = 'info') {
  const lines: { readonly level: number; readonly msg: string; readonly reason?: string }[] = [];
  const log = pino({ level }, { write: (line: string) => void lines.push(JSON.parse(line)) });
  return { log, lines, says: (part: string) => lines.filter(({ msg }) => msg.includes(part)) };
}

/** Waits for a condition, and fails when it does not come true. */
export async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited for ${what} in vain`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** A nats-server, stopped at the end of the test. */
export async function startNats(options: Parameters<typeof NatsServer.start>[0] = {}): Promise<NatsServer> {
  const server = await NatsServer.start(options);
  onTestFinished(async () => void (await server.stop()));
  return server;
}

/** Two in a cluster that tell of each other, stopped at the end of the test. */
export async function startTwoNats(
  options: Parameters<typeof NatsServer.startTwo>[0],
): Promise<NatsServer[]> {
  const servers = await NatsServer.startTwo(options);
  onTestFinished(async () => void (await Promise.all(servers.map((server) => server.stop()))));
  return servers;
}

/** Lets in one user by its password. */
export const CLOSED = 'authorization: { user: coffer, password: hello }';

/** The same server with the user that {@link CLOSED} lets in. */
export const asUser = ({ port }: { readonly port: number }): NatsConfig => ({
  servers: [`nats://coffer:hello@127.0.0.1:${port}`],
  allowOpen: false,
});

export const withoutCredentials = ({ url }: { readonly url: string }): NatsConfig => ({
  servers: [url],
  allowOpen: false,
});

/** Of the subjects of the backend that is served by default. */
export const BASE = 'wasmcloud.secrets.v1alpha1.nats-kv';
const served = { inFlight: 0, serving: true, drain: async () => {} };

/** A NATS door that serves. @param answers whether requests of hosts are answered there, with a word */
export async function openDoor(config: NatsConfig, { everyMs = 60_000, answers = false } = {}) {
  const { log, lines, says } = readableLog();
  const door = await NatsDoor.open(config, { log, againMs: 50, everyMs, backends: [completeWasmcloud()] });
  onTestFinished(() => door.close(0));
  const serve = (connection: NatsConnection) => {
    const callback = (_: unknown, message: Msg) => void message.respond('here');
    if (answers) connection.subscribe(`${BASE}.>`, { queue: 'q', callback });
    return served;
  };
  await door.serve([{ name: 'nats-kv', serve }]);
  return { door, lines, says };
}

export function newKeys(kind: Parameters<typeof createKeyPair>[0]): KeyPair {
  const keys = createKeyPair(kind);
  onTestFinished(() => keys.wipe());
  return keys;
}

/** An operator whose accounts a nats-server knows, and users of them. */
export class NatsOperator {
  readonly keys = newKeys('operator');
  readonly system = newKeys('account');
  readonly token: string;
  readonly #accounts: Record<string, string> = {};

  constructor() {
    this.token = encodeJwt(
      {
        ...newOperator(this.keys.publicKey, 'O'),
        nats: { ...newOperator(this.keys.publicKey, 'O').nats, system_account: this.system.publicKey },
      },
      this.keys,
    );
    this.account('SYS', {}, this.system);
  }

  account(name: string, nats: object = {}, keys = newKeys('account')): KeyPair {
    const claims = newAccount(keys.publicKey, name);
    this.#accounts[keys.publicKey] = encodeJwt({ ...claims, nats: { ...claims.nats, ...nats } }, this.keys);
    return keys;
  }

  start(config = ''): Promise<NatsServer> {
    return startNats({
      operator: this.token,
      systemAccount: this.system.publicKey,
      accounts: this.#accounts,
      config,
    });
  }
}

export interface NatsUser {
  readonly keys: KeyPair;
  readonly jwt: string;
  /** The path of its creds file. */
  readonly creds: string;
}

export async function natsUser(
  account: KeyPair,
  nats: Partial<UserClaims['nats']> = {},
  claims: { readonly exp?: number } = {},
): Promise<NatsUser> {
  const keys = newKeys('user');
  const base = newUser(keys.publicKey, 'U');
  const jwt = encodeJwt({ ...base, ...claims, nats: { ...base.nats, ...nats } }, account);
  const creds = join(await temporaryFolder(), 'user.creds');
  const seed = keys.seed();
  writeFileSync(creds, formatCreds(jwt, seed), { mode: 0o600 });
  return { keys, jwt, creds };
}
