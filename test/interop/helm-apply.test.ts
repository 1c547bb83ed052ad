import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { parse } from 'yaml';
import { KubeServer } from '../support/kube.mjs';
import {
  BACKENDS,
  CHART,
  EMBEDDED,
  helm,
  JETSTREAM,
  type Manifest,
  only,
  render,
  type Values,
} from './chart.js';

const MONITORED = {
  serviceMonitor: {
    enabled: true,
    token: { name: 'prometheus', key: 'token' },
    ca: { name: 'coffer-tls', key: 'ca.crt' },
  },
};
const SETS: readonly [string, Values][] = [
  ['embedded', { ...EMBEDDED, ...MONITORED }],
  ['shared', { ...JETSTREAM, replicas: 5, spread: { nodes: 'preferred', zones: 'required' } }],
  ['secrets', { ...BACKENDS, ...MONITORED }],
];

let kube: KubeServer;

beforeAll(async () => {
  kube = await KubeServer.start();
  for (const name of [...SETS.map(([namespace]) => namespace), 'coffer']) {
    // As docs/deploy.md has it.
    const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
    await kube.create('/api/v1/namespaces', { metadata: { name, labels } });
  }
  for (const name of ['shop', 'billing']) await kube.createNamespace(name);
  await kube.create('/apis/apiextensions.k8s.io/v1/customresourcedefinitions', SERVICE_MONITORS);
  await vi.waitFor(
    async () => {
      const { status } = await kube.call('GET', '/apis/monitoring.coreos.com/v1/servicemonitors');
      expect(status).toBe(200);
    },
    { timeout: 30_000 },
  );
});
afterAll(() => kube?.stop());

describe.each(SETS)('in the namespace %s, the chart', (namespace, values) => {
  it('consists of what the API server knows, field by field', async () => {
    for (const manifest of await render(values)) {
      const path = `${pathOf({ ...manifest, metadata: inNamespace(manifest, namespace) })}?dryRun=All&fieldValidation=Strict`;
      const { status, body } = await kube.call('POST', path, {
        ...manifest,
        metadata: inNamespace(manifest, namespace),
      });
      expect({ kind: manifest.kind, status, body: body.message }).toMatchObject({ status: 201 });
    }
  });

  it('is installed, and upgraded', async () => {
    const options = ['coffer', CHART, '--namespace', namespace, '--kubeconfig', kube.kubeconfig('admin')];
    const installed = await helm(['install', ...options], values);
    expect({ code: installed.code, said: installed.stderr.toString() }).toEqual({ code: 0, said: '' });
    const next = { ...values, rootKey: { existingSecret: 'coffer-root-key', key: 'root-2.key' } };
    const upgraded = await helm(['upgrade', ...options], next);
    expect({ code: upgraded.code, said: upgraded.stderr.toString() }).toEqual({ code: 0, said: '' });
    const { body } = await kube.call('GET', `/api/v1/namespaces/${namespace}/configmaps/coffer`);
    expect(body.data['coffer.yaml']).toContain('rootKey: file:/run/coffer/root-key/root-2.key');
  });

  it('has pods that the restricted Pod Security Standard lets in', async () => {
    const { body } = await kube.call('GET', `/apis/apps/v1/namespaces/${namespace}/statefulsets/coffer`);
    const { spec } = body.spec.template;
    const create = async (name: string, changed: object) => {
      // What the controller of a StatefulSet does.
      const volumes = [
        ...spec.volumes,
        { name: 'state', persistentVolumeClaim: { claimName: 'state-coffer-0' } },
      ];
      const pod = { metadata: { name }, spec: { ...spec, volumes, ...changed } };
      return kube.call('POST', `/api/v1/namespaces/${namespace}/pods?dryRun=All&fieldValidation=Strict`, pod);
    };
    expect(await create('as-it-is', {})).toMatchObject({ status: 201 });
    const loose = await create('as-root', { securityContext: {} });
    expect({ status: loose.status, said: loose.body.message }).toEqual({
      status: 403,
      said: expect.stringMatching(/violates PodSecurity "restricted/),
    });
  });
});

describe('with the rights that the chart gives it, coffer’s service account', () => {
  let token = '';
  beforeAll(async () => {
    token = await kube.serviceAccountToken('secrets', 'coffer');
    for (const [namespace, name] of [
      ['shop', 'shared'],
      ['shop', 'other'],
      ['secrets', 'shared'],
    ] as const) {
      await kube.putSecret(namespace, name, { key: 'not looked at' });
    }
  });

  /** Whom the API server takes it for. */
  async function as(user: string, group: string) {
    const review = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' };
    const headers = {
      'Impersonate-User': user,
      ...(group && { 'Impersonate-Group': group }),
    };
    const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews';
    const { status, body } = await kube.call('POST', path, review, { token, headers });
    return status === 201 ? body.status.userInfo.username : status;
  }

  it.each([
    ['system:serviceaccount:shop:reader', ''],
    ['system:serviceaccount:billing:reader', ''],
    ['jane', ''],
    ['jane', 'auditors'],
  ])('may be %s in the group "%s", whom the rules name', async (user, group) => {
    expect(await as(user, group)).toBe(user);
  });

  it.each([
    ['system:serviceaccount:shop:coffer', ''],
    ['system:serviceaccount:secrets:reader', ''],
    ['system:serviceaccount:kube-system:reader', ''],
    ['joe', ''],
    ['admin', ''],
    ['jane', 'system:masters'],
    ['system:serviceaccount:shop:reader', 'admins'],
  ])('may not be %s in the group "%s"', async (user, group) => {
    expect(await as(user, group)).toBe(403);
  });

  it('reads the Secrets that were named for it, and no others', async () => {
    const read = async (path: string) => (await kube.call('GET', path, undefined, { token })).status;
    expect(await read('/api/v1/namespaces/shop/secrets/shared')).toBe(200);
    expect(await read('/api/v1/namespaces/shop/secrets/other')).toBe(403);
    expect(await read('/api/v1/namespaces/shop/secrets')).toBe(403);
    expect(await read('/api/v1/namespaces/secrets/secrets/shared')).toBe(403);
    expect(await read('/api/v1/namespaces/shop/serviceaccounts/reader')).toBe(403);
  });

  it('has no rights where no backend wants any', async () => {
    const other = await kube.serviceAccountToken('shared', 'coffer');
    const headers = { 'Impersonate-User': 'system:serviceaccount:shop:reader' };
    const { status } = await kube.call('GET', '/api/v1/namespaces/shop/secrets/shared', undefined, {
      token: other,
    });
    expect(status).toBe(403);
    const asOther = await kube.call('GET', '/api/v1/namespaces/shop/secrets/shared', undefined, {
      token: other,
      headers,
    });
    expect(asOther.status).toBe(403);
  });
});

describe('docs/deploy.md', () => {
  const text = readFileSync(fileURLToPath(new URL('../../docs/deploy.md', import.meta.url)), 'utf8');
  const blocks: Manifest[] = [...text.matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, yaml = '']) =>
    // As kubectl and Helm read it, to whom 0440 is a mode.
    parse(yaml, { version: '1.1' }),
  );

  it('has values that the chart takes', async () => {
    const values = blocks.filter(({ kind }) => kind === undefined);
    expect(values.length).toBeGreaterThan(3);
    for (const one of values)
      expect(only(await render({ ...EMBEDDED, ...one }), 'StatefulSet')).toBeDefined();
  });

  it('has a job and a pod that the API server takes, under the restricted standard', async () => {
    const job = blocks.find(({ kind }) => kind === 'CronJob');
    const made = await kube.call('POST', `${pathOf(job)}?fieldValidation=Strict`, job);
    expect({ status: made.status, said: made.body.message }).toMatchObject({ status: 201 });
    const { spec } = job.spec.jobTemplate.spec.template;
    expect(spec.volumes.map(({ secret }: Manifest) => secret?.defaultMode)).toContain(0o440);
    expect(JSON.stringify(job)).not.toContain('secretKeyRef');
    const account = { metadata: { name: 'default' } };
    await kube.create('/api/v1/namespaces/coffer/serviceaccounts', account);
    const pod = { metadata: { name: 'backup' }, spec };
    const { status, body } = await kube.call('POST', '/api/v1/namespaces/coffer/pods?dryRun=All', pod);
    expect({ status, said: body.message }).toMatchObject({ status: 201 });
    const restore = blocks.find(({ kind }) => kind === 'Pod');
    const taken = await kube.call('POST', `${pathOf(restore)}?dryRun=All&fieldValidation=Strict`, restore);
    expect({ status: taken.status, said: taken.body.message }).toMatchObject({ status: 201 });
  });
});

/** Helm's --namespace is that of the release, which is another one here. */
function inNamespace({ metadata }: Manifest, namespace: string): Manifest {
  return metadata.namespace === 'secrets' ? { ...metadata, namespace } : metadata;
}

function pathOf({ apiVersion, kind, metadata: { namespace } }: Manifest): string {
  const plural = kind.endsWith('y') ? `${kind.slice(0, -1)}ies` : `${kind}s`;
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  return `${group}${namespace ? `/namespaces/${namespace}` : ''}/${plural.toLowerCase()}`;
}

/** Of Prometheus's operator, whose own one says more of the fields. */
const SERVICE_MONITORS = {
  metadata: { name: 'servicemonitors.monitoring.coreos.com' },
  spec: {
    group: 'monitoring.coreos.com',
    names: { kind: 'ServiceMonitor', plural: 'servicemonitors' },
    scope: 'Namespaced',
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
};
