/** `coffer import secrets-nats-kv` from the real server, what its own commands have put, mapped and read. */
import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import { createKeyPair, encodeWascap, keyPairFromSeed, seal } from '@coffer/identity';
import { connect, headers, type NatsConnection } from '@nats-io/transport-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Client } from '../../packages/client/src/index.js';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { NatsServer } from '../support/nats.mjs';
import { Process, TemporaryFolder } from '../support/processes.mjs';
import { CofferServer, coffer, cofferCommand } from '../support/servers.mjs';
import {
  CofferBackend,
  newSeeds,
  SecretsNatsKvServer,
  secretsNatsKv,
  WasmcloudClient,
} from '../support/wasmcloud.mjs';

const seeds = newSeeds();
const account = createKeyPair('account').publicKey;
const component = createKeyPair('component');
const provider = createKeyPair('provider');
const folder = new TemporaryFolder();
const bytes = randomBytes(300);

let nats: NatsServer;
let old: SecretsNatsKvServer;
let connection: NatsConnection;
/** Names to versions, which are the bucket's revisions. */
const put: Record<string, number[]> = {};
let revision = 0;

beforeAll(async () => {
  nats = await NatsServer.start();
  old = await SecretsNatsKvServer.start({
    url: nats.url,
    transitSeed: seeds.transit,
    encryptionSeed: seeds.encryption,
  });
  connection = await connect({ servers: nats.url });
  await text('db', canary('db 1'));
  await text('api.key', canary('api'));
  await text('db', canary('db 2'));
  await binary('key.der', bytes);
  await text('empty', '');
  await text('db', canary('db 3'));
  await text('db', canary('db 3'));
  await kv('add-mapping', component.publicKey, '--secret', 'db', '--secret', 'not-there-yet');
  await kv('add-mapping', provider.publicKey, '--secret', 'api.key');
});

afterAll(async () => {
  await connection?.close();
  await old?.[Symbol.asyncDispose]();
  await nats?.stop();
  folder[Symbol.dispose]();
});

async function kv(...args: string[]): Promise<string> {
  const env = { ENCRYPTION_XKEY_SEED: seeds.encryption };
  const transitSeed = args[0] === 'get' || args[0] === 'put' ? seeds.transit : undefined;
  const { code, stdout, stderr } = await secretsNatsKv(args, {
    url: nats.url,
    env,
    ...(transitSeed && { transitSeed }),
  });
  expect(code, stderr.toString()).toBe(0);
  return stdout.toString();
}

function took(name: string): void {
  revision++;
  put[name] = [...(put[name] ?? []), revision];
}

async function text(name: string, value: string): Promise<void> {
  await kv('put', name, '--string', value);
  took(name);
}

async function binary(name: string, value: Uint8Array): Promise<void> {
  const file = folder.join('binary');
  writeFileSync(file, value);
  await kv('put', name, '--binary', file);
  took(name);
}

/** A message in one of its buckets that its own commands do not make. */
async function publish(bucket: string, key: string, payload: string | Uint8Array, operation?: string) {
  const hdrs = headers();
  if (operation) hdrs.set('KV-Operation', operation);
  const { seq } = (
    await connection.request(`$KV.${bucket}.${key}`, payload, { headers: hdrs, timeout: 5_000 })
  ).json<{ seq: number }>();
  if (bucket === 'WASMCLOUD_SECRETS') revision = seq;
  return seq;
}

async function importing({ socket }: { readonly socket: string }, ...args: string[]) {
  const { code, stdout, stderr } = await coffer(
    ['import', 'secrets-nats-kv', '--nats-address', nats.url, '-s', socket, ...args],
    { env: { ENCRYPTION_XKEY_SEED: seeds.encryption } },
  );
  expectNoCanary(Buffer.concat([stdout, stderr]), 'the output of an import');
  expect(`${stdout}${stderr}`).not.toContain(seeds.encryption);
  return { code, stdout: stdout.toString(), stderr: stderr.toString() };
}

const mapping = ['--mapping-account', account];

describe('secrets of the real secrets-nats-kv', () => {
  let server: CofferServer;
  let client: Client;

  beforeAll(async () => {
    server = await CofferServer.start({ dev: true });
    client = new Client({ server: server.url });
  });
  afterAll(async () => {
    client?.close();
    await server?.stop();
  });

  const grants = async () => {
    const { stdout } = await coffer(['policy', 'show', '--json', '-s', server.url]);
    return (JSON.parse(stdout.toString()) as { grants: { to: string[]; secrets: string[] }[] }).grants;
  };
  const valueIn = async (name: string, version?: number) =>
    Buffer.from((await client.get(name, { version })).value).toString('latin1');

  it('are told by a dry run, which copies nothing', async () => {
    const { code, stdout, stderr } = await importing(server, ...mapping, '--dry-run');
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `From WASMCLOUD_SECRETS at ${nats.url.replace('nats://', '')} to ${server.socket}\n`,
    });
    expect(stdout).toContain('created db      versions 1, 3, 6, 7, 7 is active\n');
    const sum = 'created, 0 changed, 0 unchanged, 0 failed: a dry run, nothing was changed\n';
    expect(stdout).toContain(`\n4 ${sum}`);
    expect(stdout).toContain(`\ncreated component:${account}/${component.publicKey} db, not-there-yet\n`);
    expect(stdout).toContain(`\nMappings: 2 ${sum}`);
    expect([await client.list(), await grants()]).toEqual([[], []]);
  });

  it('are not copied as long as it is not said whose the mappings are', async () => {
    const { code, stderr } = await importing(server);
    expect(code).toBe(1);
    expect(stderr).toContain('2 components or providers are mapped to secrets: --mapping-account A…');
    expect(await client.list()).toEqual([]);
  });

  it('are copied with all versions in their order, strings and bytes, and mappings become grants', async () => {
    const { code, stdout } = await importing(server, ...mapping);
    expect(code).toBe(0);
    expect(stdout).toContain('\n4 created, 0 changed, 0 unchanged, 0 failed\n');
    expect(await client.list()).toEqual(
      Object.entries(put)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([name, versions]) => ({ name, versions, activeVersion: versions.at(-1) })),
    );
    expect(await valueIn('db', 1)).toBe(canary('db 1'));
    expect(await valueIn('db', 3)).toBe(canary('db 2'));
    expect(await valueIn('db')).toBe(canary('db 3'));
    expect(await valueIn('empty')).toBe('');
    expect(await valueIn('key.der')).toBe(bytes.toString('latin1'));
    expect(`${await valueIn('db')}\n`).toBe(await kv('get', 'db'));
    expect(await grants()).toEqual(
      expect.arrayContaining([
        {
          to: [`component:${account}/${component.publicKey}`],
          actions: ['get'],
          secrets: ['db', 'not-there-yet'],
        },
        { to: [`provider:${account}/${provider.publicKey}`], actions: ['get'], secrets: ['api.key'] },
      ]),
    );
  });

  it('are the same after a second time', async () => {
    const before = [await client.list(), await grants()];
    expect(await importing(server, ...mapping)).toMatchObject({
      code: 0,
      stdout:
        '0 created, 0 changed, 4 unchanged, 0 failed\nMappings: 0 created, 0 changed, 2 unchanged, 0 failed\n',
    });
    expect([await client.list(), await grants()]).toEqual(before);
  });

  it('that came since are followed, and mappings added to what other grants there are', async () => {
    await text('db', canary('db 4'));
    await kv('add-mapping', component.publicKey, '--secret', 'key.der');
    const { stdout } = await importing(server, ...mapping);
    expect(stdout).toBe(
      `changed db version ${revision}, ${revision} is active\n0 created, 1 changed, 3 unchanged, 0 failed\n` +
        `changed component:${account}/${component.publicKey} key.der\n` +
        'Mappings: 0 created, 1 changed, 1 unchanged, 0 failed\n',
    );
    expect(await valueIn('db')).toBe(canary('db 4'));
    expect((await grants()).map(({ secrets }) => secrets)).toContainEqual(['db', 'key.der', 'not-there-yet']);
  });

  it('that were put here since keep what is active, until it is said otherwise', async () => {
    const mine = await client.put('api.key', canary('mine'));
    await client.activate('api.key', mine);
    await text('api.key', canary('theirs'));
    const gap = await importing(server, '--no-mappings');
    expect(gap).toMatchObject({ code: 1, stdout: expect.stringContaining('--activate allows that') });
    expect(await valueIn('api.key')).toBe(canary('mine'));
    expect((await importing(server, '--no-mappings', '--activate')).code).toBe(0);
    expect(await valueIn('api.key')).toBe(canary('theirs'));
    expect(await valueIn('api.key', mine)).toBe(canary('mine'));
  });

  it('whose number holds another value here fail, and are not written over', async () => {
    await client.createVersion('taken', revision + 1, canary('here'));
    await text('taken', canary('there'));
    const { code, stdout } = await importing(server, '--no-mappings', '--secrets', 'taken');
    expect(code).toBe(1);
    expect(stdout).toContain(
      `failed taken version ${revision} has another value there: nothing was changed\n`,
    );
    expect(await valueIn('taken')).toBe(canary('here'));
  });

  it('that were deleted there, or do not open, are left out with a word', async () => {
    await text('gone', canary('gone'));
    await publish('WASMCLOUD_SECRETS', 'gone', '', 'DEL');
    using another = createKeyPair('curve');
    const foreign = await publish(
      'WASMCLOUD_SECRETS',
      'rekeyed',
      seal(Buffer.from(canary('older key')), another, another.publicKey),
    );
    await text('rekeyed', canary('newer key'));
    const closed = await publish('WASMCLOUD_SECRETS', 'closed', 'no box');
    const { code, stdout } = await importing(server, '--no-mappings', '--json');
    expect(code).toBe(1);
    const told = JSON.parse(stdout);
    expect(told).toMatchObject({ created: 1, failed: 2 });
    expect(told.leftOut).toEqual([
      { name: 'gone', detail: 'it was deleted there' },
      { name: 'rekeyed', detail: `version ${foreign} does not open with this seed` },
    ]);
    expect(told.secrets).toContainEqual({
      name: 'closed',
      outcome: 'failed',
      detail: `version ${closed} does not open with this seed: nothing was changed`,
      waits: false,
    });
    const names = (await client.list()).map(({ name }) => name);
    expect(names).toContain('rekeyed');
    expect(names).not.toContain('gone');
  });

  it('are not taken for what they are not, by another seed', async () => {
    const { code, stderr } = await coffer(
      ['import', 'secrets-nats-kv', '--nats-address', nats.url, '-s', server.url, '--no-mappings'],
      { env: { ENCRYPTION_XKEY_SEED: seeds.transit } },
    );
    expect(code).toBe(1);
    expect(stderr.toString()).toContain('nothing in the bucket opens with this seed');
  });

  it('and what is no mapping fails by itself', async () => {
    await publish('SECRETS_nats-kv_state', account, '["db"]');
    await publish('SECRETS_nats-kv_state', createKeyPair('component').publicKey, '["shop-*"]');
    await publish('SECRETS_nats-kv_state', createKeyPair('component').publicKey, 'nothing');
    const { code, stdout } = await importing(server, ...mapping, '--secrets', 'db');
    expect(code).toBe(1);
    expect(stdout).toContain(`failed ${account}`);
    expect(stdout).toContain('Mappings: 0 created, 0 changed, 1 unchanged, 3 failed\n');
  });
});

it('hosts go on without a restart when coffer takes the place of secrets-nats-kv, as docs/moving-from-secrets-nats-kv.md says', async () => {
  const signer = createKeyPair('account');
  using home = new TemporaryFolder();
  await using host = new WasmcloudClient(nats.url);
  const request = {
    entity_jwt: encodeWascap({ sub: component.publicKey, wascap: { name: 'test', hash: 'none' } }, signer),
    host_jwt: encodeWascap(
      { sub: createKeyPair('server').publicKey, wascap: { name: 'host' } },
      createKeyPair('account'),
    ),
  };
  const asked = async () => [
    await host.get({ ...request, key: 'db' }),
    await host.get({ ...request, key: 'db', version: '3' }),
  ];
  const newest = put.db?.at(-1) ?? 0;
  const before = await asked();
  expect(before).toEqual([
    { secret: { version: String(newest), string: canary('db 4'), binary: null } },
    { secret: { version: '3', string: canary('db 2'), binary: null } },
  ]);

  const args = ['--trusted-account', signer.publicKey, '--allow-open-nats', '--allow-unauthenticated-admin'];
  const trial = await CofferBackend.start({ nats, folder: home, seeds, args: ['-n', 'trial', ...args] });
  const some = ['--secrets', 'db', '--secrets', 'key.der'];
  const { stdout } = await importing(trial, '--mapping-account', signer.publicKey, ...some);
  expect(stdout).toContain('2 created, 0 changed, 0 unchanged, 0 failed\n');
  await old[Symbol.asyncDispose]();
  await trial.stop();
  await using _inPlace = await CofferBackend.start({ nats, folder: home, seeds, args });
  expect(await asked()).toEqual(before);
  // Which secrets-nats-kv answers with ciphertext.
  expect(await host.get({ ...request, key: 'key.der' })).toHaveProperty(
    'secret.binary',
    bytes.toString('base64'),
  );
  await kv('put', 'db', '--string', canary('db 5'));
  expect(await host.get({ ...request, key: 'db' })).toEqual({
    secret: { version: String(newest + 1), string: canary('db 5'), binary: null },
  });
});

it('the buckets are read by who may do no more than that', async () => {
  const streams = ['KV_WASMCLOUD_SECRETS', 'KV_SECRETS_nats-kv_state'];
  const allowed = JSON.stringify(
    streams.flatMap((name) => [`$JS.API.STREAM.INFO.${name}`, `$JS.API.STREAM.MSG.GET.${name}`]),
  );
  await using guarded = await NatsServer.start({
    config: `authorization { users: [
      { user: all, password: all }
      { user: reader, password: r, permissions: { publish: ${allowed}, subscribe: "_INBOX.>" } }
      { user: nobody, password: n, permissions: { publish: "x", subscribe: "_INBOX.>" } }
    ] }
    no_auth_user: all`,
  });
  const at = (login: string) => guarded.url.replace('nats://', `nats://${login}@`);
  await using _old = await SecretsNatsKvServer.start({
    url: guarded.url,
    transitSeed: seeds.transit,
    encryptionSeed: seeds.encryption,
  });
  const put = await secretsNatsKv(['put', 'one', '--string', canary('one')], {
    url: guarded.url,
    transitSeed: seeds.transit,
  });
  expect(put.code, put.stderr.toString()).toBe(0);
  await using server = await CofferServer.start({ dev: true });
  const as = (login: string) => importing(server, ...mapping, '--nats-address', at(login));
  expect(await as('reader:r')).toMatchObject({
    code: 0,
    stdout: 'created one version 1, 1 is active\n1 created, 0 changed, 0 unchanged, 0 failed\n',
  });
  expect((await as('nobody:n')).stderr).toContain(
    'NATS does not let this user publish on $JS.API.STREAM.INFO.KV_WASMCLOUD_SECRETS',
  );
});

it('an import that is killed, and one that loses NATS, are made whole by the next one, and write no file', async () => {
  const [secrets, versions] = [200, 4];
  await using other = await NatsServer.start();
  const { transit: transitSeed, encryption: encryptionSeed } = seeds;
  await using _old = await SecretsNatsKvServer.start({ url: other.url, transitSeed, encryptionSeed });
  const own = await connect({ servers: other.url });
  using key = keyPairFromSeed(Buffer.from(encryptionSeed));
  for (let version = 1; version <= versions; version++) {
    for (let n = 1; n <= secrets; n++) {
      const box = seal(Buffer.from(canary(`${n} ${version}`)), key, key.publicKey);
      await own.request(`$KV.WASMCLOUD_SECRETS.s.${n}`, box, { timeout: 5_000 });
    }
  }
  await own.close();

  await using server = await CofferServer.start({ dev: true });
  await using client = new Client({ server: server.url });
  using home = new TemporaryFolder();
  const args = ['import', 'secrets-nats-kv', '--nats-address', other.url, '-s', server.socket];
  const env = { ENCRYPTION_XKEY_SEED: encryptionSeed, HOME: home.path, TMPDIR: home.path };
  const first = new Process(...cofferCommand(...args), { env, cwd: home.path });
  const count = async () => (await client.list()).reduce((sum, each) => sum + each.versions.length, 0);
  await expect.poll(count, { timeout: 30_000, interval: 5 }).toBeGreaterThan(40);
  await first.kill();
  const then = await count();

  const second = new Process(...cofferCommand(...args), { env, cwd: home.path });
  await expect.poll(count, { timeout: 30_000, interval: 5 }).toBeGreaterThan(then + 40);
  await other.process.kill();
  expect(await second.exited).toMatchObject({ code: 1 });
  expect(second.output).toMatch(/^failed +s\.\d+ +the connection to NATS failed/m);
  expect(second.output).toMatch(/^failed +s\.\d+ +not tried$/m);
  expect(await count()).toBeLessThan(secrets * versions);
  await other.restart();

  const { code, stdout } = await coffer(args, { env, cwd: home.path });
  expect({ code, failed: /, (\d+) failed/.exec(stdout.toString())?.[1] }).toEqual({ code: 0, failed: '0' });
  const revision = (n: number, version: number) => (version - 1) * secrets + n;
  const wanted = Array.from({ length: versions }, (_, at) => at + 1);
  const all = await client.list();
  expect(all).toHaveLength(secrets);
  for (const { name, versions: there, activeVersion } of all) {
    const n = Number(name.slice('s.'.length));
    expect(there).toEqual(wanted.map((version) => revision(n, version)));
    expect(activeVersion).toBe(revision(n, versions));
  }
  const got = await client.getMany(all.map(({ name }) => ({ name })));
  expect(got.map((answer) => ('value' in answer ? Buffer.from(answer.value).toString() : answer))).toEqual(
    all.map(({ name }) => canary(`${name.slice('s.'.length)} ${versions}`)),
  );
  expect(readdirSync(home.path)).toEqual([]);
});

it('NATS that is not there is told', async () => {
  await using server = await CofferServer.start({ dev: true });
  const { code, stderr } = await coffer(
    ['import', 'secrets-nats-kv', '--nats-address', '127.0.0.1:1', '-s', server.socket],
    { env: { ENCRYPTION_XKEY_SEED: seeds.encryption } },
  );
  expect([code, stderr.toString()]).toEqual([1, expect.stringContaining('connection refused')]);
});
