import { readFileSync, writeFileSync } from 'node:fs';
import {
  createKeyPair,
  createProof,
  encodeJwt,
  type KeyPair,
  keyPairFromSeed,
  newUser,
} from '@coffer/identity';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer } from '../support/servers.mjs';

/**
 * docs/leak-drill.md as a test, from the outside: the commands that people type, and a server that runs. Only what an attacker
 * does with a key that is not its own, no command of ours does.
 */

const HONEST = ['alice', 'bob', 'carol'] as const;
const folder = new TemporaryFolder();
const identities = folder.join('identities');
const accountFile = folder.join('identities', 'coffer', 'accounts', 'main', 'main.jwt');
const secretOf = (user: string) => `prod/${user}/password`;
const credsOf = (user: string, account = user === 'carol' ? 'other' : 'main') =>
  folder.join('identities', 'creds', 'coffer', account, `${user}.creds`);

let server: CofferServer;
let store: string;
let output = '';
/** Public keys. */
let account: string;
let signingKey: string;
let leaked: KeyPair;

async function type(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await coffer(args, { env: { HOME: folder.path } });
  output += stderr;
  expect({ args, code, stderr: code === 0 ? '' : stderr.toString() }).toEqual({ args, code: 0, stderr: '' });
  return stdout.toString();
}

const identity = (...args: string[]) => type('identity', ...args, '--all-dirs', identities);

const as = (creds: string, ...args: string[]) => type(...args, '-s', server.url, '--creds', creds);

async function claimsOf(name: string): Promise<{ sub: string; nats: { signing_keys: string[] } }> {
  return JSON.parse(await identity('describe', 'account', name, '--json'));
}

/** A user whom nobody of the account knows, made with a key that leaked. */
class Stranger {
  readonly keys = createKeyPair('user');
  readonly jwt: string;

  constructor() {
    const claims = newUser(this.keys.publicKey, 'alice');
    const nats = { ...claims.nats, issuer_account: account, tags: ['ops'] };
    this.jwt = encodeJwt({ ...claims, nats }, leaked);
  }

  async steal(name: string): Promise<{ status: number; body: string }> {
    const answer = await fetch(`${server.url}/api/get`, {
      method: 'POST',
      headers: { ...this.#headers(), 'Content-Type': 'application/json' },
      body: JSON.stringify({ Name: name }),
    });
    return { status: answer.status, body: await answer.text() };
  }

  /** A watch that is open, and all that it is told until it ends. */
  async watch(): Promise<{ readonly told: Promise<string> }> {
    const answer = await fetch(`${server.url}/api/watch`, { headers: this.#headers() });
    expect(answer.status).toBe(200);
    return { told: answer.text() };
  }

  #headers() {
    const proof = createProof({ jwt: this.jwt, keyPair: this.keys, audience: server.url });
    return { 'Sec-X-Tailscale-No-Browsers': 'setec', Authorization: `Bearer ${proof}` };
  }
}

async function start(): Promise<void> {
  server = await CofferServer.start({ folder, args: ['--trust-store', store] });
}

beforeAll(async () => {
  const made = JSON.parse(
    await type(
      ...['server', 'init', '--json', '--identity-dir', identities, '--config', folder.join('coffer.yaml')],
      ...['--state-dir', folder.join('state'), '--root-key', `file:${folder.join('root.key')}`],
    ),
  );
  const { sub, nats } = await claimsOf('main');
  account = sub;
  signingKey = nats.signing_keys[0] ?? '';
  await identity('add', 'account', '--name', 'other');
  for (const [user, of, ...more] of [
    ['alice', 'main', '-K', signingKey],
    ['bob', 'main', '-K', signingKey, '--tag', 'team'],
    ['carol', 'other'],
  ] as const) {
    await identity('add', 'user', '--account', of, '--name', user, ...more);
  }
  store = made.store;
  await start();
  const policy = folder.join('policy.yaml');
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
  await as(credsOf('admin'), 'policy', 'apply', policy, '--identity-dir', identities);
  for (const user of HONEST) {
    const value = folder.join(`${user}.value`);
    writeFileSync(value, canary(user));
    await as(credsOf('admin'), 'put', '--from-file', value, secretOf(user));
  }
  const seed = folder.join('identities', 'keys', 'A', signingKey.slice(1, 3), `${signingKey}.nk`);
  leaked = keyPairFromSeed(readFileSync(seed));
});

afterAll(async () => {
  leaked?.wipe();
  await server?.stop();
  expectNoCanary(output, 'what the commands said');
  folder[Symbol.dispose]();
});

const everybodyGetsTheirs = async () => {
  for (const user of HONEST) {
    expect(await as(credsOf(user), 'get', secretOf(user))).toBe(canary(user));
  }
};

describe('when a signing key has leaked', () => {
  let before: Buffer;

  it('a stranger gets in with it', async () => {
    await everybodyGetsTheirs();
    const { status, body } = await new Stranger().steal(secretOf('alice'));
    expect(status).toBe(200);
    expect(JSON.parse(body).Value).toBe(Buffer.from(canary('alice')).toString('base64'));
  });

  it('it is known what it has signed, and a dry run of its rotation changes nothing', async () => {
    before = readFileSync(accountFile);
    const signed = await identity('issued-by', signingKey);
    for (const user of ['alice', 'bob']) expect(signed).toContain(user);
    expect(signed).not.toContain('carol');
    const dry = await identity('rotate-signing-key', '--account', 'main', '--old', signingKey, '--dry-run');
    for (const each of [signingKey, 'alice', 'bob']) expect(dry).toContain(each);
    expect(readFileSync(accountFile)).toEqual(before);
  });

  it('the rotation shuts the stranger out within a second, and everybody else gets their secret', async () => {
    const stranger = new Stranger();
    const status = async () => (await stranger.steal(secretOf('alice'))).status;
    const { told } = await stranger.watch();
    expect(await status()).toBe(200);

    await identity('rotate-signing-key', '--account', 'main', '--old', signingKey);
    const done = performance.now();
    await expect.poll(status, { interval: 20, timeout: 3_000 }).toBe(401);
    expect(performance.now() - done).toBeLessThan(1_000);
    expect(await told).toContain('unauthenticated');

    const { body } = await stranger.steal(secretOf('alice'));
    expect(body).toContain(signingKey);
    expect((await new Stranger().steal(secretOf('bob'))).status).toBe(401);
    await everybodyGetsTheirs();
    await as(credsOf('admin'), 'list');
    expect((await claimsOf('main')).nats.signing_keys).not.toContain(signingKey);
  });

  it('the account’s token of before, put back, does not bring it back', async () => {
    const after = readFileSync(accountFile);
    const stranger = new Stranger();
    const honest = async () => (await coffer(['list', '-s', server.url, '--creds', credsOf('admin')])).code;
    writeFileSync(accountFile, before);
    // Whoever is refused: the token is older than one that was seen, and counts for nobody.
    await expect.poll(honest, { timeout: 5_000 }).toBe(1);
    expect((await stranger.steal(secretOf('alice'))).status).toBe(401);
    writeFileSync(accountFile, after);
    await expect.poll(honest, { timeout: 5_000 }).toBe(0);
    expect((await stranger.steal(secretOf('alice'))).status).toBe(401);
  });

  it('a server that starts anew has not forgotten it', async () => {
    const after = readFileSync(accountFile);
    await server.stop();
    writeFileSync(accountFile, before);
    await start();
    expect((await new Stranger().steal(secretOf('alice'))).status).toBe(401);
    writeFileSync(accountFile, after);
    const everybody = async () => (await coffer(['get', secretOf('bob'), ...bob()])).code;
    const bob = () => ['-s', server.url, '--creds', credsOf('bob')];
    await expect.poll(everybody, { timeout: 5_000 }).toBe(0);
  });

  it('the audit log has what was done with it, by the stranger’s own key', async () => {
    const log = await type('audit', 'query', '--json', '-s', server.socket);
    const lines = log.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]));
    const strangers = lines.filter(({ principal }) => principal.also?.includes(`nats-tag:${account}:ops`));
    expect(strangers.filter(({ action }) => action === 'get').length).toBeGreaterThan(1);
  });
});
