/** What the pages on wasmCloud say, done: the set-up on a NATS server that asks who comes, the manifest, the configuration. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createKeyPair, encodeWascap, type KeyPair, openContext } from '@coffer/identity';
import { SecretsClient } from '@coffer/wasmcloud';
import { connect, credsAuthenticator } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { canary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';
import { CofferBackend, secretsNatsKv, WasmcloudClient } from '../support/wasmcloud.mjs';

const page = (name: string): string =>
  readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
/** The blocks of a page in one language. */
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))].map(
    ([, block = '']) => block,
  );
const [configuration = '', policy = '', manifest = ''] = blocks(page('wasmcloud'), 'yaml');

const signer = createKeyPair('account');
const component = createKeyPair('component');
const provider = createKeyPair('provider');
const host = createKeyPair('server');
const tokenOf = (about: KeyPair, by = signer) =>
  encodeWascap({ sub: about.publicKey, wascap: { name: 'docs' } }, by);
const host_jwt = tokenOf(host, createKeyPair('account'));

const folder = new TemporaryFolder();
let nats: NatsServer;
let backend: CofferBackend;
let client: WasmcloudClient;
let creds: Readonly<Record<'host' | 'admin' | 'backend', string>>;

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await coffer(args, { env: { HOME: folder.path } });
  expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
  return stdout.toString();
}

const over = () => ({ url: nats.url, transitSeed: backend.seeds.transit, creds: creds.admin });
const asAdmin = () => ['--nats-address', nats.url, '--nats-creds-file', creds.admin];

beforeAll(async () => {
  await ok('identity', 'add', 'operator', 'acme', '--sys');
  const made = JSON.parse(await ok('wasmcloud', 'permissions', '--json'));
  const users = made.users as Record<'host' | 'admin' | 'backend', { creds: string }>;
  creds = { host: users.host.creds, admin: users.admin.creds, backend: users.backend.creds };
  const { store } = openContext({ env: {}, cwd: folder.path, home: folder.path });
  const operator = store.operator();
  nats = await NatsServer.start({
    operator: operator.text,
    systemAccount: operator.claims.nats.system_account ?? '',
    accounts: Object.fromEntries(store.accounts().map(({ jwt }) => [jwt.claims.sub, jwt.text])),
  });
  backend = await CofferBackend.start({
    nats,
    args: ['--trusted-account', signer.publicKey, '--nats-creds-file', creds.backend],
  });
  client = new WasmcloudClient(nats.url, { creds: creds.host });
});

afterAll(async () => {
  await client?.[Symbol.asyncDispose]();
  await backend?.stop();
  await nats?.stop();
  folder[Symbol.dispose]();
});

describe('on a NATS server that asks who comes', () => {
  it("secrets-nats-kv's commands administer by the permission to publish, and hosts get what is mapped", async () => {
    const put = await secretsNatsKv(['put', 'db-password', '--string', canary('db')], over());
    expect(put.code, put.stderr.toString()).toBe(0);
    await secretsNatsKv(['add-mapping', component.publicKey, '--secret', 'db-password'], over());
    const request = { key: 'db-password', entity_jwt: tokenOf(component), host_jwt };
    expect(await client.get(request)).toHaveProperty('secret.string', canary('db'));
    await ok('wasmcloud', 'remove-mapping', component.publicKey, '--secret', 'db-password', ...asAdmin());
    expect(await client.get(request)).toHaveProperty('error.text', 'Error fetching secret: unauthorized');
  });

  it('a host can administer nothing', async () => {
    const mapped = await coffer([
      ...['wasmcloud', 'add-mapping', component.publicKey, '--secret', 'db-password'],
      ...['--nats-address', nats.url, '--nats-creds-file', creds.host],
    ]);
    expect(mapped.code).not.toBe(0);
  });

  it('the manifest is one of wadm’s, and hosts get every secret in it', async () => {
    const { failures, secrets = [] } = await client.manifest(manifest);
    expect(failures).toEqual([]);
    expect(secrets.map(({ of, name, backend: by }) => [of, name, by])).toEqual([
      ['orders', 'api-token', 'nats-kv'],
      ['orders', 'smtp-password', 'nats-kv'],
      ['kvredis', 'redis-password', 'nats-kv'],
      ['kvredis', 'default-redis-password', 'nats-kv'],
    ]);
    const values = {
      'shop/api-token': canary('api'),
      'shop/smtp': JSON.stringify({ user: 'shop', password: canary('smtp') }),
      'shop/redis': canary('redis'),
    };
    for (const [name, value] of Object.entries(values)) {
      await secretsNatsKv(['put', name, '--string', value], over());
    }
    const map = (entity: KeyPair, ...names: string[]) =>
      ok(
        ...['wasmcloud', 'add-mapping', entity.publicKey],
        ...names.flatMap((name) => ['--secret', name]),
        ...asAdmin(),
      );
    await map(component, 'shop/api-token', 'shop/smtp');
    await map(provider, 'shop/redis');
    const got = [];
    for (const { of, name: _, field, version, ...request } of secrets) {
      const entity_jwt = tokenOf(of === 'orders' ? component : provider);
      const more = { ...(field && { field }), ...(version && { version }) };
      const answer = await client.get({ ...request, ...more, entity_jwt, host_jwt });
      got.push('secret' in answer ? answer.secret.string : answer.error);
    }
    expect(got).toEqual([canary('api'), canary('smtp'), canary('redis'), canary('redis')]);
  });

  it('the grant with conditions is one that a server takes', async () => {
    const file = folder.join('policy.yaml');
    writeFileSync(file, policy);
    expect(await ok('policy', 'apply', '--dry-run', file, '-s', backend.socket)).toContain('1 added');
  });

  it('a program of one’s own gets secrets as a host', async () => {
    const connection = await connect({
      servers: nats.url,
      authenticator: credsAuthenticator(readFileSync(creds.host)),
    });
    try {
      const secrets = new SecretsClient({ nats: connection });
      const { kind, value } = await secrets.get({
        backend: 'nats-kv',
        key: 'shop/redis',
        entityJwt: tokenOf(provider),
        hostJwt: host_jwt,
        application: { name: 'shop' },
      });
      expect([kind, Buffer.from(value).toString()]).toEqual(['string', canary('redis')]);
    } finally {
      await connection.close();
    }
  });

  it('the transit key is rotated under a host that runs, and ends when it is retired', async () => {
    const request = { key: 'shop/redis', entity_jwt: tokenOf(provider), host_jwt };
    const keys = async () => {
      const text = await ok('wasmcloud', 'transit-keys', '--json', '--server', backend.socket);
      return (JSON.parse(text) as { keys: { publicKey: string; current: boolean }[] }).keys;
    };
    const [old] = await keys();
    await ok('wasmcloud', 'rotate-transit', '--server', backend.socket);
    expect(await keys()).toMatchObject([{ current: true }, { ...old, current: false }]);
    expect(await client.get(request)).toHaveProperty('secret');
    await ok('wasmcloud', 'retire-transit', old?.publicKey ?? '', '--yes', '--server', backend.socket);
    expect(await client.get(request)).toHaveProperty('error.text', 'Error decrypting secret');
    await client.forget();
    expect(await client.get(request)).toHaveProperty('secret');
  });
});

describe('the configuration', () => {
  it('has nothing wrong with it but what is not there', async () => {
    const file = folder.join('coffer.yaml');
    writeFileSync(file, configuration);
    expect(parse(configuration)).toHaveProperty('listen', 'none');
    const { stdout } = await coffer(['config', 'check', '--json', file]);
    const { findings } = JSON.parse(stdout.toString()) as { findings: { subject: string; level: string }[] };
    expect(findings.filter(({ subject }) => subject === 'configuration')).toMatchObject([{ level: 'ok' }]);
  });
});
