/** `coffer wasmcloud kube` in the place of secrets-kubernetes: its flags and its environment, a real API server, and a host that asks. */
import { readFileSync, writeFileSync } from 'node:fs';
import { createKeyPair, encodeWascap } from '@coffer/identity';
import { SecretsClient } from '@coffer/wasmcloud';
import { connect } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { natsFor } from '../../packages/cli/test/drop-in-nats.js';
import { coffer, startDropIn } from '../../packages/cli/test/run.js';
import { comingWith } from '../../packages/server/test/wasm-world.js';
import { policyOf } from '../../packages/wasmcloud/test/kubernetes/requester.js';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { type KubeRule, KubeServer } from '../support/kube.mjs';
import { TemporaryFolder } from '../support/processes.mjs';

const READ: readonly KubeRule[] = [
  { apiGroups: [''], resources: ['secrets'], verbs: ['get', 'watch', 'list'] },
];
const PRIVILEGED = 'wasmcloud-secrets-privileged';

let kube: KubeServer;
let kubeconfig = '';

/** The cluster of somebody who has secrets-kubernetes: its namespace, its service account, its roles. */
beforeAll(async () => {
  kube = await KubeServer.start();
  await kube.createNamespace('wasmcloud-secrets');
  await kube.create('/api/v1/namespaces/wasmcloud-secrets/serviceaccounts', {
    metadata: { name: 'default' },
  });
  const self = { kind: 'ServiceAccount', name: 'default', namespace: 'wasmcloud-secrets' } as const;
  await kube.allow('default', 'wasmcloud-secrets-reader-default', READ, [self]);
  await kube.allow(undefined, PRIVILEGED, READ, [
    { kind: 'User', name: PRIVILEGED, apiGroup: 'rbac.authorization.k8s.io' },
  ]);
  const impersonate = [
    { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: [PRIVILEGED] },
  ];
  await kube.allow(undefined, 'wasmcloud-secrets-impersonation', impersonate, [self]);
  await kube.putSecret('default', 'app-secrets', { 'some-password': canary('app'), other: canary('other') });
  await kube.putSecret('kube-system', 'cluster-secrets', { 'tls.crt': canary('cluster') });
  const token = await kube.serviceAccountToken('wasmcloud-secrets', 'default');
  kubeconfig = kube.kubeconfig('coffer', { token });
});
afterAll(() => kube?.stop());

const account = createKeyPair('account');
const component = createKeyPair('component');
const transit = createKeyPair('curve');
const seed = Buffer.from(transit.seed()).toString();

/** A host as wasmCloud 1.9 is: its token is signed by an account that it made for that. */
async function hostOn(port: number, creds: string) {
  const nats = await connect({ servers: `127.0.0.1:${port}`, ...comingWith(creds) });
  onTestFinished(() => nats.close());
  const secrets = new SecretsClient({ nats });
  const token = (sub: string, signer: typeof account) =>
    encodeWascap({ sub, wascap: { name: 'orders' } }, signer);
  const get = async (key: string, field: string | undefined, properties: object, version?: string) => {
    try {
      const { value } = await secrets.get({
        backend: 'kube',
        key,
        field,
        version,
        entityJwt: token(component.publicKey, account),
        hostJwt: token(createKeyPair('server').publicKey, createKeyPair('account')),
        // As a host writes it, which leaves nothing of the manifest's policy out.
        application: { name: 'shop', policy: policyOf({ backend: 'kube', ...properties }) },
      });
      return Buffer.from(value).toString();
    } catch (error) {
      return (error as Error).message;
    }
  };
  const transitKey = async () => (await nats.request('wasmcloud.secrets.v1alpha1.kube.server_xkey')).string();
  return { get, transitKey };
}

function place(): { folder: TemporaryFolder; args: string[] } {
  const folder = new TemporaryFolder();
  onTestFinished(() => folder[Symbol.dispose]());
  const args = ['--state-dir', folder.join('state'), '--root-key', `file:${folder.join('root.key')}`];
  return { folder, args };
}

it('serves what its manifests ask for, to hosts that notice nothing', async () => {
  const { nats, creds, hostCreds } = await natsFor('kube');
  const { folder, args } = place();
  const flags = [`--backend-seed=${seed}`, `--nats-url=127.0.0.1:${nats.port}`, `--nats-creds=${creds}`];
  const more = ['--trusted-account', account.publicKey, '--direct', '--allow-user', PRIVILEGED];
  await using server = await startDropIn('kube', [...flags, ...more, ...args], { KUBECONFIG: kubeconfig });
  expect(server.welcome).toMatch(/queue group: +wasmcloud\.secrets\.kube\n/);
  const { get, transitKey } = await hostOn(nats.port, hostCreds);
  expect(await transitKey()).toBe(transit.publicKey);

  const before = kube.audited().length;
  expect(await get('app-secrets', 'some-password', {})).toBe(canary('app'));
  // It passes over the version of a manifest.
  expect(await get('app-secrets', 'some-password', {}, '1')).toBe(canary('app'));
  const privileged = { impersonate: PRIVILEGED, namespace: 'kube-system' };
  expect(await get('cluster-secrets', 'tls.crt', privileged)).toBe(canary('cluster'));
  expect(kube.audited().slice(before)).toMatchObject([
    { requestURI: '/api/v1/namespaces/default/secrets/app-secrets', responseStatus: { code: 200 } },
    { requestURI: '/api/v1/namespaces/default/secrets/app-secrets' },
    {
      requestURI: '/api/v1/namespaces/kube-system/secrets/cluster-secrets',
      user: { username: 'system:serviceaccount:wasmcloud-secrets:default' },
      impersonatedUser: { username: PRIVILEGED },
    },
  ]);

  // As docs/wasmcloud-kubernetes.md has it, where there is no host.
  const file = folder.join('orders.jwt');
  writeFileSync(file, encodeWascap({ sub: component.publicKey, wascap: { name: 'orders' } }, account));
  const asked = await coffer([
    ...['wasmcloud', 'get', 'cluster-secrets', '-n', 'kube', '--field', 'tls.crt', '--as', file],
    ...['--application', 'shop', '--policy', JSON.stringify(privileged)],
    ...['--nats-address', `127.0.0.1:${nats.port}`, '--nats-creds-file', hostCreds],
  ]);
  expect(asked).toMatchObject({ code: 0, stdout: expect.stringContaining(canary('cluster')) });

  expect(await get('none', 'a', {})).toBe('SecretNotFound');
  expect(await get('app-secrets', 'none', {})).toBe('SecretNotFound');
  expect(await get('app-secrets', undefined, {})).toMatch(/^Other: .*: other, some-password$/);
  expect(await get('cluster-secrets', 'tls.crt', { namespace: 'kube-system' })).toBe('Unauthorized');
  expect(await get('cluster-secrets', 'tls.crt', { ...privileged, impersonate: 'admin' })).toBe(
    'Unauthorized',
  );
  expectNoCanary(readFileSync(folder.join('state', 'audit', 'audit.log'), 'utf8'), 'audit log');
  expect(await server.stop()).toBe(0);
});

it('takes the variables that its deployment has, so that no seed stands in an argument', async () => {
  const { nats, creds, hostCreds } = await natsFor('kube');
  const env = { KUBECONFIG: kubeconfig, BACKEND_SEED: seed, NATS_URL: `nats://127.0.0.1:${nats.port}` };
  // Go's flags may have one dash.
  const more = ['-nats-creds', creds, '--trusted-account', account.publicKey];
  const elsewhere = ['--direct', '--namespace', 'wasmcloud-secrets'];
  await using _ = await startDropIn('kube', [...more, ...elsewhere, ...place().args], env);
  const { get, transitKey } = await hostOn(nats.port, hostCreds);
  expect(await transitKey()).toBe(transit.publicKey);
  // Its own rights are for another namespace than that of --namespace: it is RBAC that says no.
  expect(await get('app-secrets', 'some-password', {})).toBe('Unauthorized');
  expect(kube.audited().at(-1)).toMatchObject({
    requestURI: '/api/v1/namespaces/wasmcloud-secrets/secrets/app-secrets',
    responseStatus: { code: 403 },
  });
});
