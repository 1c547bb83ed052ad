import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createKeyPair, parseCreds } from '@coffer/identity';
import { jwksOf } from '@coffer/wasmcloud/vault';
import { expect, onTestFinished, test } from 'vitest';
import { NatsServer } from '../../../test/support/nats.mjs';
import { natsFor } from './drop-in-nats.js';
import { coffer, startDropIn, startServer } from './run.js';

const seedOf = (keys: { seed(): Uint8Array }): string => Buffer.from(keys.seed()).toString();

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'coffer-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function place(): string[] {
  const folder = temporaryFolder();
  return ['--state-dir', join(folder, 'state'), '--root-key', `file:${folder}/root.key`];
}

test('coffer wasmcloud vault takes the variables of secrets-vault', async () => {
  const { nats, creds } = await natsFor('safe');
  const { jwt, seed } = parseCreds(readFileSync(creds));
  const [account, signing, transit] = [
    createKeyPair('account'),
    createKeyPair('server'),
    createKeyPair('curve'),
  ];
  const args = [...place(), '--trusted-account', account.publicKey];
  const runtime = temporaryFolder();
  const env = {
    XDG_RUNTIME_DIR: runtime,
    SV_NATS_ADDRESS: `127.0.0.1:${nats.port}`,
    SV_NATS_JWT: jwt,
    SV_NATS_SEED: Buffer.from(seed).toString(),
    SV_JWKS_ADDRESS: '127.0.0.1:0',
    SV_SERVER_NKEY_SEED: seedOf(signing),
    SV_SERVER_XKEY_SEED: seedOf(transit),
    SV_SERVICE_NAME: 'safe',
    SV_VAULT_ADDRESS: 'http://127.0.0.1:1',
    SV_VAULT_AUTH_METHOD: 'jwt-wasmcloud',
    SV_VAULT_DEFAULT_SECRET_ENGINE: 'kv',
  };
  await using server = await startDropIn('vault', args, env);
  const { welcome } = server;
  expect(welcome).toMatch(/^coffer serves safe \(vault\) to wasmCloud, over NATS\n/);
  expect(welcome).toMatch(
    /subjects: +wasmcloud\.secrets\.v1alpha1\.safe\.>\n {2}queue group: +wasmcloud\.secrets\.safe\n/,
  );
  const [, keys = ''] = /keys: +(\S+)/.exec(welcome) ?? [];
  expect(await (await fetch(keys)).json()).toEqual(jwksOf([signing.publicKey]));
  expect((await fetch(keys.replace('/.well-known/keys', '/api/list'), { method: 'POST' })).status).toBe(404);
  const [, socket = ''] = /admin socket: +(\S+)/.exec(welcome) ?? [];
  const listed = await coffer(['wasmcloud', 'transit-keys', '--json'], {
    env: { COFFER_SERVER: `unix:${socket}` },
  });
  expect(JSON.parse(listed.stdout).keys).toMatchObject([{ backend: 'safe', publicKey: transit.publicKey }]);
  // The token and the seed are in no file.
  expect(readdirSync(runtime)).toEqual([]);
  expect(await server.stop()).toBe(0);
  // Made once, from the seed: it is there again, and is the only one.
  await using again = await startDropIn('vault', args, env);
  const [, keysAgain = ''] = /keys: +(\S+)/.exec(again.welcome) ?? [];
  expect(await (await fetch(keysAgain)).json()).toEqual(jwksOf([signing.publicKey]));
}, 60_000);

test('coffer wasmcloud kube takes the flags of secrets-kubernetes, and who may be impersonated', async () => {
  const { nats, creds } = await natsFor('kube');
  const account = createKeyPair('account');
  const transit = createKeyPair('curve');
  const kubeconfig = join(temporaryFolder(), 'config');
  writeFileSync(
    kubeconfig,
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1' } }],
      users: [{ name: 'u', user: { token: 'of-a-test' } }],
      contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      'current-context': 'x',
    }),
    { mode: 0o600 },
  );
  // By the names that the other commands have for secrets-kubernetes' --nats-url and --nats-creds.
  const reach = ['--nats-address', `127.0.0.1:${nats.port}`, '--nats-creds-file', creds];
  const args = [...place(), '--trusted-account', account.publicKey, ...reach, '--kubeconfig', kubeconfig];
  await using server = await startDropIn('kube', [
    ...args,
    '--backend-seed',
    seedOf(transit),
    '--allow-user',
    'shop-*',
  ]);
  expect(server.welcome).toMatch(/^coffer serves kube \(kubernetes\) to wasmCloud, over NATS\n/);
  const [, socket = ''] = /admin socket: +(\S+)/.exec(server.welcome) ?? [];
  const listed = await coffer(['wasmcloud', 'transit-keys', '--json'], {
    env: { COFFER_SERVER: `unix:${socket}` },
  });
  expect(JSON.parse(listed.stdout).keys).toMatchObject([{ backend: 'kube', publicKey: transit.publicKey }]);
}, 60_000);

test('coffer server names all that it serves, and where each backend’s secrets lie', async () => {
  const nats = await NatsServer.start();
  onTestFinished(async () => void (await nats.stop()));
  const folder = temporaryFolder();
  const config = join(folder, 'coffer.yaml');
  writeFileSync(join(folder, 'source.mjs'), 'export default () => ({ fetch: async () => {} });\n');
  writeFileSync(
    config,
    [
      `nats: {servers: ["nats://127.0.0.1:${nats.port}"], allowOpen: true}`,
      `trust: {accounts: [${createKeyPair('account').publicKey}]}`,
      'backends:',
      '  - {name: safe, kind: vault, settings: {address: "http://127.0.0.1:1"}}',
      '  - {name: own, prefix: p, kind: module, module: ./source.mjs}',
    ].join('\n'),
  );
  await using server = await startServer('--config', config);
  expect(server.welcome).toMatch(
    /^ {2}NATS: +serves wasmcloud\.secrets\.v1alpha1\.nats-kv\.>, wasmcloud\.secrets\.v1alpha1\.safe\.> \(vault\), p\.v1alpha1\.own\.> \(module\)$/m,
  );
  writeFileSync(join(folder, 'source.mjs'), 'export default () => {\n  const a b = 1;\n};\n');
  const refused = await coffer(['server', '--config', config, ...place(), '--listen', 'none']);
  expect(refused.stderr).toMatch(/the module \S+ cannot be loaded: .* \(\/\S+\/source\.mjs:2\)$/m);
}, 60_000);

const anywhere = ['vault', '--vault-address', 'http://v'];

test.each([
  [['vault'], /--vault-address, or SV_VAULT_ADDRESS, is missing/],
  [['vault', '--vault-address', 'http://v'], /nobody is trusted/],
  [['vault', '--vault-address', 'http://v', '--nats-jwt', 'x'], /--nats-jwt and --nats-seed .* go together/],
  [
    [...anywhere, '--trusted-account', `A${'A'.repeat(55)}`, '--application-host', 'N'],
    /--application-host takes public keys of 56 characters/,
  ],
  [
    [...anywhere, '--server-nkey-seed', 'SNAMES'],
    /warning: a seed behind --server-nkey-seed is seen by every user/,
  ],
  [anywhere, /warning: log-ins, tokens and secrets pass to http:\/\/v in clear/],
  [
    ['vault', '--vault-address', 'https://v', '--jwks-address', '10.0.0.5:80'],
    /warning: the keys by which Vault checks log-ins are shown at 10\.0\.0\.5:80 in clear/,
  ],
  [['kube'], /nobody may be impersonated, so that nothing could be read/],
  [['kube', '-nats-url=x', '-backend-seed', 'SXABC'], /nobody may be impersonated/],
  [
    ['kube', '--direct', '--backend-seed', 'SXABC'],
    /a seed behind --backend-seed is seen by every user .*\n.*--backend-seed or BACKEND_SEED holds is no seed/,
  ],
  [['kube', '--allow-user', 'system:*'], /invalid --allow-user: system:… are the cluster’s own parts/],
  [
    ['kube', '--allow-service-account', 'a'],
    /invalid --allow-service-account: .* is written NAMESPACE\/NAME/,
  ],
  [['kube', '--direct', '--namespace', 'A_B'], /invalid --namespace: a namespace has at most 63 characters/],
])('coffer wasmcloud %j says what is missing', async (args, sentence) => {
  const { code, stderr } = await coffer(['wasmcloud', ...args]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(sentence)]);
});
