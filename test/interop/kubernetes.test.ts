/** Kubernetes' Secrets as a backend, from a real kube-apiserver: its RBAC, its impersonation, its service accounts. */
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { backendConfigs, type KubernetesBackend } from '../../packages/server/src/config/backends.js';
import { loadConfig } from '../../packages/server/src/index.js';
import { WasmWorld } from '../../packages/server/test/wasm-world.js';
import { type SecretSource, SecretsError, SourceReason } from '../../packages/wasmcloud/src/index.js';
import {
  type KubernetesOptions,
  kubernetesSettings,
  openKubernetes,
} from '../../packages/wasmcloud/src/kubernetes/index.js';
import { policyOf, requester } from '../../packages/wasmcloud/test/kubernetes/requester.js';
import { canary, expectNoCanary } from '../support/canary.mjs';
import { type KubeAuditEntry, type KubeRule, KubeServer } from '../support/kube.mjs';
import { Link } from '../support/links.mjs';

const READ: readonly KubeRule[] = [{ apiGroups: [''], resources: ['secrets'], verbs: ['get'] }];
const user = (name: string) => ({ kind: 'User', name, apiGroup: 'rbac.authorization.k8s.io' }) as const;
const group = (name: string) => ({ kind: 'Group', name, apiGroup: 'rbac.authorization.k8s.io' }) as const;

/** What coffer itself may: take on these identities, and read nothing. */
const IMPERSONATE = [
  { apiGroups: [''], resources: ['users'], verbs: ['impersonate'], resourceNames: ['shop-reader', 'guest'] },
  { apiGroups: [''], resources: ['groups'], verbs: ['impersonate'], resourceNames: ['shop-readers'] },
  { apiGroups: [''], resources: ['serviceaccounts'], verbs: ['impersonate'] },
];

let kube: KubeServer;
const sources: SecretSource[] = [];

beforeAll(async () => {
  kube = await KubeServer.start({ users: { coffer: [], direct: [] } });
  await kube.createNamespace('shop');
  await kube.createNamespace('other');
  await kube.allow(undefined, 'coffer-impersonates', IMPERSONATE, [user('coffer')]);
  await kube.allow('shop', 'readers', READ, [user('shop-reader'), group('shop-readers'), user('direct')]);
  await kube.allow(
    'shop',
    'orders-reads-its-own',
    READ.map((rule) => ({ ...rule, resourceNames: ['orders'] })),
    [{ kind: 'ServiceAccount', name: 'orders', namespace: 'shop' }],
  );
  await kube.putSecret('shop', 'db', { password: canary('db'), user: 'app' });
  await kube.putSecret('shop', 'token', { token: canary('token') });
  await kube.putSecret('shop', 'orders', { key: canary('orders') });
  await kube.putSecret('other', 'db', { password: canary('other') });
});
afterAll(async () => {
  for (const source of sources) await source.close?.();
  await kube?.stop();
});

const RULES: KubernetesOptions['impersonation'] = [
  {
    applications: ['shop'],
    users: ['shop-reader', 'guest', 'stranger'],
    groups: ['shop-readers'],
    serviceAccounts: ['shop/*'],
  },
];

async function open(options: KubernetesOptions = {}): Promise<SecretSource> {
  const source = await openKubernetes({
    // One of a test's own may be the same file.
    ...('kubeconfig' in options ? {} : { kubeconfig: kube.kubeconfig('coffer') }),
    namespace: 'shop',
    impersonation: RULES,
    ...options,
  });
  sources.push(source);
  return source;
}

interface Asked {
  readonly key: string;
  readonly field?: string;
  readonly version?: string;
  readonly application?: string;
}

async function fetched(
  source: SecretSource,
  asked: Asked,
  properties: object = { impersonate: 'shop-reader' },
) {
  const { application, ...query } = asked;
  const { kind, version, value } = await source.fetch(query, requester({ application, properties }));
  return { kind, version, value: kind === 'string' ? Buffer.from(value).toString() : [...value] };
}

/** The error, whose cause the log may have, but which says nothing of a value. */
async function refused(...args: Parameters<typeof fetched>): Promise<{ told: string; because: string }> {
  const error = await fetched(...args).then(
    () => undefined,
    (thrown) => thrown,
  );
  if (!(error instanceof SecretsError)) throw error ?? new Error('it was allowed');
  return { told: error.message, because: error.cause instanceof SourceReason ? error.cause.message : '' };
}

/** What reaches the API server while something is done. */
async function reaching(work: () => Promise<unknown>): Promise<KubeAuditEntry[]> {
  const before = kube.audited().length;
  await work();
  return kube.audited().slice(before);
}

describe('a Secret', () => {
  it('is read as the user that the policy names, who is the one that RBAC looks at, in one request', async () => {
    const source = await open();
    const [entry, ...more] = await reaching(async () => {
      expect(await fetched(source, { key: 'db', field: 'password' })).toMatchObject({
        kind: 'string',
        value: canary('db'),
      });
    });
    expect(more).toEqual([]);
    expect(entry).toMatchObject({
      verb: 'get',
      requestURI: '/api/v1/namespaces/shop/secrets/db',
      user: { username: 'coffer' },
      impersonatedUser: { username: 'shop-reader' },
      responseStatus: { code: 200 },
    });
  });

  it('is read as a service account, and as a member of a group', async () => {
    const source = await open();
    expect(await fetched(source, { key: 'orders' }, { impersonateServiceAccount: 'orders' })).toMatchObject({
      value: canary('orders'),
    });
    expect(
      await refused(source, { key: 'db', field: 'user' }, { impersonateServiceAccount: 'orders' }),
    ).toMatchObject({
      told: 'Unauthorized',
    });
    const as = { impersonate: 'guest', impersonateGroups: ['shop-readers'] };
    expect(await fetched(source, { key: 'token' }, as)).toMatchObject({ value: canary('token') });
    expect(await refused(source, { key: 'token' }, { impersonate: 'guest' })).toMatchObject({
      told: 'Unauthorized',
    });
  });

  it('has as its version the resourceVersion, and no other', async () => {
    const source = await open();
    const version = await kube.putSecret('shop', 'versioned', { a: canary('a') });
    expect(await fetched(source, { key: 'versioned' })).toEqual({
      kind: 'string',
      version,
      value: canary('a'),
    });
    expect(await fetched(source, { key: 'versioned', version })).toMatchObject({ version });
    const next = await kube.putSecret('shop', 'versioned', { a: canary('b') });
    expect(next).not.toBe(version);
    expect(await fetched(source, { key: 'versioned' })).toMatchObject({ version: next, value: canary('b') });
    expect((await refused(source, { key: 'versioned', version })).told).toBe('SecretNotFound');
    expect((await refused(source, { key: 'versioned', version: 'latest' })).told).toBe('InvalidRequest');
    // What is not said, as Go writes it.
    const unsaid = { key: 'versioned', version: '', field: '' };
    expect(await fetched(source, unsaid)).toMatchObject({ version: next });
    const any = await open({ anyVersion: true });
    for (const asked of [version, 'latest']) {
      expect(await fetched(any, { key: 'versioned', version: asked })).toMatchObject({ version: next });
    }
  });

  it('that holds other bytes than text comes as bytes', async () => {
    const source = await open();
    const bytes = Uint8Array.from({ length: 256 }, (_, i) => 255 - i);
    await kube.putSecret('shop', 'binary', { bytes, empty: '', text: 'ä €' });
    expect(await fetched(source, { key: 'binary', field: 'bytes' })).toMatchObject({
      kind: 'binary',
      value: [...bytes],
    });
    expect(await fetched(source, { key: 'binary', field: 'empty' })).toMatchObject({
      kind: 'string',
      value: '',
    });
    expect(await fetched(source, { key: 'binary', field: 'text' })).toMatchObject({
      kind: 'string',
      value: 'ä €',
    });
  });

  it('of the largest size that Kubernetes takes is read', async () => {
    const source = await open();
    const value = 'x'.repeat(1024 * 1024 - 100);
    await kube.putSecret('shop', 'large', { value });
    expect((await fetched(source, { key: 'large' })).value).toHaveLength(value.length);
  });

  it('with several entries wants one named, and says which there are', async () => {
    expect((await refused(await open(), { key: 'db' })).told).toBe(
      'Other: this Secret has several entries, and field says which: password, user',
    );
  });
});

describe('what is not there', () => {
  it('is not found: a Secret, an entry', async () => {
    const source = await open();
    expect(await refused(source, { key: 'none' })).toEqual({
      told: 'SecretNotFound',
      because: 'Kubernetes: secrets "none" not found in shop',
    });
    expect(await refused(source, { key: 'db', field: 'none' })).toEqual({
      told: 'SecretNotFound',
      because: 'the Secret is there, and has no such entry',
    });
  });

  it('is asked of nobody where it can be the name of no Secret', async () => {
    const source = await open();
    const entries = await reaching(async () => {
      for (const key of ['', '..', 'a/b', '../../namespaces', 'DB', 'a?b', 'a%2fb', 'x'.repeat(254)]) {
        expect((await refused(source, { key })).told).toBe('InvalidRequest');
      }
    });
    expect(entries).toEqual([]);
  });
});

describe('who may not', () => {
  it('is refused by RBAC: the user may not read there', async () => {
    const { told, because } = await refused(
      await open(),
      { key: 'db', field: 'password' },
      { impersonate: 'shop-reader', namespace: 'other' },
    );
    expect(told).toBe('Unauthorized');
    expect(because).toMatch(/User "shop-reader" cannot get resource "secrets" .* in the namespace "other"/);
  });

  it('is refused by RBAC: coffer may not take on that identity, though its rules allow it', async () => {
    const { told, because } = await refused(await open(), { key: 'token' }, { impersonate: 'stranger' });
    expect(told).toBe('Unauthorized');
    expect(because).toMatch(/"stranger" is forbidden: User "coffer" cannot impersonate resource "users"/);
  });

  it('is refused by our rules, and the API server hears nothing of it', async () => {
    const source = await open();
    const entries = await reaching(async () => {
      expect(await refused(source, { key: 'token' }, { impersonate: 'admin' })).toEqual({
        told: 'Unauthorized',
        because: 'no rule of "impersonation" lets it read in shop as admin',
      });
      const other = { key: 'token', application: 'other' };
      expect((await refused(source, other, { impersonate: 'shop-reader' })).told).toBe('Unauthorized');
      const masters = { impersonate: 'shop-reader', impersonateGroups: ['system:masters'] };
      expect((await refused(source, { key: 'token' }, masters)).told).toBe('Unauthorized');
      expect((await refused(source, { key: 'token' }, {})).told).toMatch(/^PolicyError: .*write impersonate/);
    });
    expect(entries).toEqual([]);
  });

  it('reads without an identity of its own where coffer’s own rights are given out, in one namespace', async () => {
    const source = await open({ kubeconfig: kube.kubeconfig('direct'), direct: true, impersonation: [] });
    const [entry] = await reaching(async () => {
      expect(await fetched(source, { key: 'token' }, {})).toMatchObject({ value: canary('token') });
    });
    expect(entry?.impersonatedUser).toBeUndefined();
    expect((await refused(source, { key: 'db' }, { namespace: 'other' })).told).toBe('Unauthorized');
  });

  it('is whoever writes a policy that is none', async () => {
    const source = await open();
    for (const policy of ['', 'x', '[]', policyOf({ namespace: 'shop' })]) {
      const error = await source.fetch({ key: 'token' }, requester({ policy })).catch((thrown) => thrown);
      expect(error).toMatchObject({ code: 'PolicyError' });
    }
  });
});

describe('connections', () => {
  it('are kept: one for who asks one after the other, no more than are under way for who asks at once', async () => {
    let made = 0;
    const counter = createServer((near) => {
      made++;
      const far = connect(kube.port, '127.0.0.1');
      near.pipe(far).pipe(near);
      near.on('error', () => far.destroy());
      far.on('error', () => near.destroy());
    });
    counter.listen(0, '127.0.0.1');
    await once(counter, 'listening');
    onTestFinished(() => void counter.close());
    const server = `https://127.0.0.1:${(counter.address() as AddressInfo).port}`;
    const source = await open({ kubeconfig: kube.kubeconfig('coffer', { server }) });
    const entries = await reaching(async () => {
      for (let i = 0; i < 10; i++) await fetched(source, { key: 'token' });
      expect(made).toBe(1);
      for (let i = 0; i < 5; i++) {
        await Promise.all(Array.from({ length: 32 }, () => fetched(source, { key: 'token' })));
      }
    });
    expect(entries).toHaveLength(10 + 5 * 32);
    expect(made).toBe(32);
  });

  it('that break are made anew: nobody who asks then notices', async () => {
    await using link = await Link.open({ host: '127.0.0.1', port: kube.port });
    const source = await open({
      kubeconfig: kube.kubeconfig('coffer', { server: `https://${link.address}` }),
    });
    await Promise.all(Array.from({ length: 8 }, () => fetched(source, { key: 'token' })));
    link.break();
    link.mend();
    const values = await Promise.all(Array.from({ length: 8 }, () => fetched(source, { key: 'token' })));
    expect(values.map(({ value }) => value)).toEqual(Array.from({ length: 8 }, () => canary('token')));
  });
});

describe('who coffer is', () => {
  it('may be a client certificate', async () => {
    const { cert, key } = kube.certificateOf('coffer');
    const kubeconfig = kube.kubeconfig('coffer', {
      name: 'certificate',
      token: undefined,
      'client-certificate-data': Buffer.from(cert).toString('base64'),
      'client-key-data': Buffer.from(key).toString('base64'),
    });
    expect(await fetched(await open({ kubeconfig }), { key: 'token' })).toMatchObject({
      value: canary('token'),
    });
  });

  it('is the service account of its pod, whose token is another one after a while', async () => {
    const account = { metadata: { name: 'coffer' } };
    const accounts = '/api/v1/namespaces/other/serviceaccounts';
    await kube.create(accounts, account);
    const subject = { kind: 'ServiceAccount', name: 'coffer', namespace: 'other' } as const;
    await kube.allow(undefined, 'pod-impersonates', IMPERSONATE, [subject]);
    const serviceAccountDir = kube.folder.join('pod');
    mkdirSync(serviceAccountDir);
    writeFileSync(join(serviceAccountDir, 'ca.crt'), kube.caPem);
    const first = await kube.serviceAccountToken('other', 'coffer');
    writeFileSync(join(serviceAccountDir, 'token'), first);
    vi.stubEnv('KUBERNETES_SERVICE_HOST', '127.0.0.1');
    vi.stubEnv('KUBERNETES_SERVICE_PORT', String(kube.port));
    const source = await open({ kubeconfig: undefined, serviceAccountDir });
    const [entry] = await reaching(() => fetched(source, { key: 'token' }));
    expect(entry?.user.username).toBe('system:serviceaccount:other:coffer');

    // Tokens end with their service account; the API server remembers a good one for some seconds.
    await kube.call('DELETE', `${accounts}/coffer`);
    await kube.create(accounts, account);
    const status = async () => (await kube.call('GET', '/api', undefined, { token: first })).status;
    await expect.poll(status, { timeout: 60_000 }).toBe(401);
    writeFileSync(join(serviceAccountDir, 'token'), await kube.serviceAccountToken('other', 'coffer'));
    expect(await fetched(source, { key: 'token' })).toMatchObject({ value: canary('token') });
    vi.unstubAllEnvs();
  });

  it('is nobody with a wrong token: every get says so, and so does readiness', async () => {
    const source = await open({ kubeconfig: kube.kubeconfig('coffer', { name: 'wrong', token: 'wrong' }) });
    const told = 'Kubernetes: the API server does not know coffer (401): its credentials are not good';
    expect((await refused(source, { key: 'token' })).told).toBe(`UpstreamError: ${told}`);
    expect(await source.unready?.(AbortSignal.timeout(10_000))).toBe(told);
  });
});

describe('a coffer server in front of it', () => {
  it('wants a grant and a rule, audits both, and goes on with its own store while the cluster is not there', async () => {
    const link = await Link.open({ host: '127.0.0.1', port: kube.port });
    onTestFinished(() => link.close());
    const kubeconfig = kube.kubeconfig('coffer', { server: `https://${link.address}` });
    const settings = kubernetesSettings.parse({ kubeconfig, namespace: 'shop', impersonation: RULES });
    const world = await WasmWorld.start({
      backends: backendConfigs([{ name: 'kube', kind: 'kubernetes', settings }], undefined),
    });
    await world.put('own', canary('own'));
    const asked = (user: string) => ({
      backend: 'kube',
      field: 'password',
      application: { name: 'shop', policy: policyOf({ impersonate: user }) },
    });
    expect(await world.refusal('db', asked('shop-reader'))).toBe('Unauthorized');
    await world.grant({ to: [world.principal], actions: ['get'], secrets: ['kube/*', 'own'] });
    expect(await world.get('db', asked('shop-reader'))).toMatch(new RegExp(`^string \\d+ ${canary('db')}$`));
    expect(await world.refusal('db', asked('admin'))).toBe('Unauthorized');
    expect(await world.refusal('none', asked('shop-reader'))).toBe('SecretNotFound');
    link.break();
    expect(await world.refusal('db', asked('shop-reader'))).toMatch(
      /^UpstreamError: Kubernetes: the API server /,
    );
    expect(await world.get('own')).toBe(`string 1 ${canary('own')}`);
    const lines = world.audit().filter(({ action }) => action === 'get-foreign');
    expect(lines).toMatchObject([
      { secret: 'kube/db', field: 'password', authorized: false },
      {
        secret: 'kube/db',
        field: 'password',
        authorized: true,
        upstream: { namespace: 'shop', as: 'shop-reader' },
      },
      { secret: 'kube/db', error: 'Unauthorized', upstream: { namespace: 'shop', as: 'admin' } },
      { secret: 'kube/none', error: 'SecretNotFound' },
      { secret: 'kube/db', error: 'UpstreamError' },
    ]);
    expect(world.log.lines.map((line) => JSON.stringify(line)).join('\n')).toContain(
      'no rule of \\"impersonation\\" lets it read in shop as admin',
    );
    expectNoCanary(JSON.stringify([world.audit(), world.log.lines]), 'audit log or log');
  });
});

describe('the page on it', () => {
  const page = readFileSync(new URL('../../docs/wasmcloud-kubernetes.md', import.meta.url), 'utf8');
  const [rbac = '', configuration = '', , manifest = ''] = [
    ...page.matchAll(/^```yaml\n([\s\S]*?)^```$/gm),
  ].map(([, block = '']) => block);

  it('makes what its configuration and its manifest need, and no more', async () => {
    for (const document of parseAllDocuments(rbac)) await apply(document.toJS());
    const file = kube.folder.join('page.yaml');
    writeFileSync(file, configuration);
    const { backends = [] } = loadConfig({
      flags: { config: file, listen: 'none' },
      env: { HOME: kube.folder.path },
    });
    const { settings } = backends[0] as KubernetesBackend;
    const token = await kube.serviceAccountToken('coffer', 'coffer');
    const source = await open({
      ...settings,
      kubeconfig: kube.kubeconfig('coffer', { name: 'page', token }),
    });
    const { policies, components } = parse(manifest).spec;
    const { policy: _, ...query } = components[0].properties.secrets[0].properties;
    const [, account = '', component = ''] =
      /component:(A\w{55})\/(M\w{55})/.exec(settings.impersonation[0]?.entities?.[0] ?? '') ?? [];
    const { properties } = policies[0];
    const asked = (change: object = {}, who: object = { account, component }) =>
      source.fetch({ ...query, ...change }, requester({ ...who, properties }));
    const { kind, value } = await asked();
    expect([kind, Buffer.from(value).toString()]).toEqual(['string', 'tr0ub4dor']);
    await kube.putSecret('acme', 'other', { a: canary('acme') });
    await expect(asked({ key: 'other' })).rejects.toMatchObject({ code: 'Unauthorized' });
    await expect(asked({}, { account })).rejects.toMatchObject({ code: 'Unauthorized' });
    const direct = await kube.call('GET', '/api/v1/namespaces/acme/secrets/db', undefined, { token });
    expect(direct.status).toBe(403);
  });

  const COLLECTIONS: Readonly<Record<string, string>> = {
    Namespace: 'namespaces',
    Secret: 'secrets',
    ServiceAccount: 'serviceaccounts',
    Role: 'roles',
    RoleBinding: 'rolebindings',
  };

  async function apply(object: { apiVersion: string; kind: string; metadata: { namespace?: string } }) {
    const { apiVersion, kind, metadata } = object;
    const api = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
    const where = metadata.namespace === undefined ? '' : `/namespaces/${metadata.namespace}`;
    await kube.create(`${api}${where}/${COLLECTIONS[kind]}`, object);
  }
});

// The last: nobody else is served meanwhile.
describe('an API server that is restarted', () => {
  it('is away with a reason, and then there as if nothing had been', async () => {
    const source = await open();
    expect(await source.unready?.(AbortSignal.timeout(10_000))).toBeUndefined();
    await fetched(source, { key: 'token' });
    await kube.stopApiServer();
    const away = 'Kubernetes: the API server cannot be reached (connection refused)';
    expect((await refused(source, { key: 'token' })).told).toBe(`UpstreamError: ${away}`);
    expect(await source.unready?.(AbortSignal.timeout(10_000))).toBe(away);
    await kube.startApiServer();
    expect(await fetched(source, { key: 'token' })).toMatchObject({ value: canary('token') });
    expect(await source.unready?.(AbortSignal.timeout(10_000))).toBeUndefined();
  });
});
