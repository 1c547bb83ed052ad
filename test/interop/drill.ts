import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createKeyPair,
  createProof,
  encodeJwt,
  type KeyPair,
  keyPairFromSeed,
  newUser,
} from '@coffer/identity';
import { expect } from 'vitest';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer } from '../support/servers.mjs';

/** Users who have done nothing wrong. */
const HONEST = ['alice', 'bob', 'carol'] as const;
export const secretOf = (user: string) => `prod/${user}/password`;

/**
 * An installation as docs/identities.md has it, by the commands that people type: two accounts with their users, a server, and
 * a secret for each user. A signing key of the account `main` has signed alice and bob.
 */
export class Installation {
  readonly folder = new TemporaryFolder();
  readonly identities = this.folder.join('identities');
  readonly store = join(this.identities, 'coffer');
  readonly accountFile = join(this.store, 'accounts', 'main', 'main.jwt');
  /** Public keys. */
  account = '';
  signingKey = '';
  #server: CofferServer | undefined;
  #said = '';

  /** Makes the identities. */
  async prepare(): Promise<void> {
    await this.type(
      ...['server', 'init', '--identity-dir', this.identities, '--config', this.folder.join('init.yaml')],
      ...['--state-dir', this.folder.join('state'), '--root-key', `file:${this.folder.join('root.key')}`],
    );
    const { sub, nats } = await this.claimsOf('main');
    this.account = sub;
    this.signingKey = nats.signing_keys[0] ?? '';
    await this.identity('add', 'account', '--name', 'other');
    const signed = ['-K', this.signingKey];
    await this.identity('add', 'user', '--account', 'main', '--name', 'alice', ...signed);
    await this.identity('add', 'user', '--account', 'main', '--name', 'bob', '--tag', 'team', ...signed);
    await this.identity('add', 'user', '--account', 'other', '--name', 'carol');
  }

  /** Starts the server with its trust, or starts it anew. */
  async start(...trust: string[]): Promise<void> {
    await this.#server?.stop();
    this.#server = await CofferServer.start({ folder: this.folder, args: trust });
  }

  /** Gives each user a secret of its own, and the right to it; and to who has the tag `ops`, everything. */
  async fill(): Promise<void> {
    const policy = this.folder.join('policy.yaml');
    writeFileSync(
      policy,
      `grants:
  - {to: ["nats:main/admin"], actions: [get, info, put, admin], secrets: ["*"]}
  - {to: ["nats:main/alice"], actions: [get], secrets: ["prod/alice/*"]}
  - {to: ["nats-tag:main:team"], actions: [get], secrets: ["prod/bob/*"]}
  - {to: ["nats:other/carol"], actions: [get], secrets: ["prod/carol/*"]}
  - {to: ["nats-tag:main:ops"], actions: [get, info], secrets: ["prod/*"]}
`,
    );
    await this.as('admin', 'policy', 'apply', policy, '--identity-dir', this.identities);
    for (const user of HONEST) {
      const value = this.folder.join(`${user}.value`);
      writeFileSync(value, canary(user));
      await this.as('admin', 'put', '--from-file', value, secretOf(user));
    }
  }

  get server(): CofferServer {
    if (this.#server === undefined) throw new Error('there is no server yet');
    return this.#server;
  }

  /** Runs a command that must succeed. */
  async type(...args: string[]): Promise<string> {
    const { code, stdout, stderr } = await coffer(args, { env: { HOME: this.folder.path } });
    this.#said += stderr;
    if (code !== 0) throw new Error(`coffer ${args.join(' ')} failed: ${stderr}`);
    return stdout.toString();
  }

  identity(...args: string[]): Promise<string> {
    return this.type('identity', ...args, '--all-dirs', this.identities);
  }

  as(user: string, ...args: string[]): Promise<string> {
    return this.type(...args, '-s', this.server.url, '--creds', this.credsOf(user));
  }

  /** True if the server knows this user. */
  async knows(user: string): Promise<boolean> {
    const { code } = await coffer(['whoami', '-s', this.server.url, '--creds', this.credsOf(user)]);
    return code === 0;
  }

  credsOf(user: string, account = user === 'carol' ? 'other' : 'main'): string {
    return join(this.identities, 'creds', 'coffer', account, `${user}.creds`);
  }

  async claimsOf(account: string): Promise<{ sub: string; nats: { signing_keys: string[] } }> {
    return JSON.parse(await this.identity('describe', 'account', account, '--json'));
  }

  /** The pair of the signing key, as somebody has it who copied its file. */
  leak(): KeyPair {
    const shard = this.signingKey.slice(1, 3);
    return keyPairFromSeed(readFileSync(join(this.identities, 'keys', 'A', shard, `${this.signingKey}.nk`)));
  }

  async everybodyGetsTheirs(): Promise<void> {
    for (const user of HONEST) expect(await this.as(user, 'get', secretOf(user))).toBe(canary(user));
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
    expectNoCanary(this.#said, 'what the commands said');
    this.folder[Symbol.dispose]();
  }
}

/** A user whom nobody of the account has made, with a token that a key of the account has signed. */
export class Stranger {
  readonly #keys = createKeyPair('user');
  readonly #jwt: string;
  readonly #installation: Installation;

  constructor(installation: Installation, signer: KeyPair) {
    const claims = newUser(this.#keys.publicKey, 'alice');
    const nats = { ...claims.nats, issuer_account: installation.account, tags: ['ops'] };
    this.#jwt = encodeJwt({ ...claims, nats }, signer);
    this.#installation = installation;
  }

  async steal(name: string): Promise<{ readonly status: number; readonly body: string }> {
    const answer = await fetch(`${this.#installation.server.url}/api/get`, {
      method: 'POST',
      headers: { ...this.#headers(), 'Content-Type': 'application/json' },
      body: JSON.stringify({ Name: name }),
    });
    return { status: answer.status, body: await answer.text() };
  }

  /** A watch that is open, and all that it is told until it ends. */
  async watch(): Promise<{ readonly told: Promise<string> }> {
    const answer = await fetch(`${this.#installation.server.url}/api/watch`, { headers: this.#headers() });
    expect(answer.status).toBe(200);
    return { told: answer.text() };
  }

  #headers() {
    const audience = this.#installation.server.url;
    const proof = createProof({ jwt: this.#jwt, keyPair: this.#keys, audience });
    return { 'Sec-X-Tailscale-No-Browsers': 'setec', Authorization: `Bearer ${proof}` };
  }
}

/** Waits until the stranger is refused, and tells how long that took, in milliseconds. */
export async function untilRefused(stranger: Stranger): Promise<number> {
  const began = performance.now();
  const status = async () => (await stranger.steal(secretOf('alice'))).status;
  await expect.poll(status, { interval: 20, timeout: 5_000 }).toBe(401);
  return performance.now() - began;
}
