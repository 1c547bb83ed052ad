import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { startTestServer } from '@coffer/testing';
import { describe, expect, it } from 'vitest';
import { Authority } from '../support/certificates.mjs';
import { newTrust } from '../support/nats-trust.mjs';
import { freePort, TemporaryFolder } from '../support/processes.mjs';
import { coffer } from '../support/servers.mjs';
import {
  BACKENDS,
  configOf,
  EMBEDDED,
  JETSTREAM,
  lint,
  type Manifest,
  only,
  parsedConfigOf,
  render,
  type Values,
} from './chart.js';

const SETS: readonly [string, Values][] = [
  ['an embedded store', EMBEDDED],
  ['a store in JetStream', JETSTREAM],
  ['backends', BACKENDS],
  ['both', { ...BACKENDS, ...JETSTREAM }],
];

describe('the chart', () => {
  it.each(SETS)('is found right by helm with %s', async (_what, values) => {
    const { code, stdout, stderr } = await lint(values);
    expect({ code, output: `${stdout}${stderr}`.replace(/\[INFO\].*/g, '').trim() }).toEqual({
      code: 0,
      output: '',
    });
  });

  it.each(SETS)('makes a configuration of %s that coffer takes', async (_what, values) => {
    const { problems, settings } = await check(configOf(await render(values)));
    expect(problems).toEqual([]);
    expect(settings.get('stateDir')).toMatch(/\/var\/lib\/coffer\/state$/);
  });

  it('is of the version of coffer that it runs', async () => {
    const { code, stdout } = await coffer(['--version']);
    expect(code).toBe(0);
    const [{ image }] = podOf(await render(EMBEDDED)).containers;
    expect(image).toBe(
      `coffer:${stdout
        .toString()
        .trim()
        .replace(/^coffer /, '')}`,
    );
  });

  it('passes numbers on as they are, however large', async () => {
    const { storage } = parsedConfigOf(await render(JETSTREAM));
    expect(storage).toMatchObject({ maxBytes: 2_147_483_648, quotaBytes: 10_737_418_240 });
  });

  it('runs one instance on an embedded store, and no budget keeps its node from being drained', async () => {
    const manifests = await render({ ...EMBEDDED, replicas: 1 });
    expect(only(manifests, 'StatefulSet').spec.replicas).toBe(1);
    expect(only(await render(EMBEDDED), 'StatefulSet').spec.replicas).toBe(1);
    expect(manifests.map(({ kind }) => kind)).not.toContain('PodDisruptionBudget');
  });

  it('keeps instances apart that share a store, each with a volume of its own, one away at a time', async () => {
    const manifests = await render(JETSTREAM);
    const { spec } = only(manifests, 'StatefulSet');
    expect(spec).toMatchObject({ replicas: 3, podManagementPolicy: 'Parallel' });
    expect(spec.volumeClaimTemplates).toHaveLength(1);
    const [apart] =
      spec.template.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution;
    expect(apart).toMatchObject({ topologyKey: 'kubernetes.io/hostname' });
    expect(spec.template.metadata.labels).toMatchObject(apart.labelSelector.matchLabels);
    expect(only(manifests, 'PodDisruptionBudget').spec.maxUnavailable).toBe(1);
  });

  it('gives no token and no right to a pod that asks no Kubernetes', async () => {
    const manifests = await render(JETSTREAM);
    expect(manifests.filter(({ kind }) => /Role/.test(kind))).toEqual([]);
    expect(podOf(manifests).automountServiceAccountToken).toBe(false);
    expect(podOf(await render(BACKENDS)).automountServiceAccountToken).toBe(true);
  });

  it('lets instances reach their NATS, Vault and Kubernetes, and nothing else', async () => {
    const manifests = await render({ ...BACKENDS, ...JETSTREAM });
    const { egress } = only(manifests, 'NetworkPolicy').spec;
    const ports = egress.flatMap((rule: Manifest) => rule.ports.map(({ port }: Manifest) => port));
    expect(ports).toEqual([53, 53, 4222, 4223, 8200, 443, 6443]);
    const [names] = egress;
    expect(names.to).toEqual([
      { namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } } },
    ]);
  });

  it('has memory that no node swaps: what is requested is the limit', async () => {
    const [{ resources }] = podOf(await render(EMBEDDED)).containers;
    expect(resources.requests.memory).toBe(resources.limits.memory);
  });

  it('lets coffer itself know which Secrets each backend reads with its own rights', async () => {
    const direct = (name: string, secretNames: string[]) => ({
      name,
      kind: 'kubernetes',
      settings: { namespace: 'shop', direct: true, secretNames },
    });
    const manifests = await render({ ...BACKENDS, backends: [direct('a', ['one']), direct('b', ['*'])] });
    const { backends } = parsedConfigOf(manifests);
    expect(backends.map(({ settings }: Manifest) => settings.secretNames)).toEqual([['one'], ['*']]);
    expect(only(manifests, 'Role').rules).toEqual([
      { apiGroups: [''], resources: ['secrets'], verbs: ['get'], resourceNames: ['one'] },
      { apiGroups: [''], resources: ['secrets'], verbs: ['get'] },
    ]);
  });

  it('takes a Vault in clear on its own machine, or where that is said, and two with one audience that ask the same', async () => {
    const clear = vaultOf('a', { address: 'http://127.0.0.1:8200' });
    const said = vaultOf('b', { address: 'http://vault.vault.svc:8200', insecureHttp: true });
    const other = { ...vaultOf('c', { audience: 'other' }), grants: 'upstream' };
    const manifests = await render({ ...BACKENDS, backends: [clear, said, other] });
    expect(parsedConfigOf(manifests).backends).toHaveLength(3);
  });

  it('starts pods anew when their configuration changes, and not else', async () => {
    const sum = async (values: Values) =>
      only(await render(values), 'StatefulSet').spec.template.metadata.annotations['checksum/configuration'];
    const before = await sum(EMBEDDED);
    expect(await sum({ ...EMBEDDED, persistence: { size: '9Gi' } })).toBe(before);
    expect(await sum({ ...EMBEDDED, logLevel: 'debug' })).not.toBe(before);
  });

  it('asks a server’s own paths for its health', async () => {
    const [{ startupProbe, livenessProbe, readinessProbe }] = podOf(
      await render({ ...EMBEDDED, insecureHttp: true }),
    ).containers;
    await using server = await startTestServer();
    for (const { httpGet } of [startupProbe, livenessProbe, readinessProbe]) {
      expect(httpGet).toMatchObject({ scheme: 'HTTP', port: 'http' });
      expect((await fetch(new URL(httpGet.path, server.url))).status).toBe(200);
    }
  });
});

describe('the chart refuses', () => {
  const withStorage = (more: object) => ({
    ...JETSTREAM,
    storage: { ...(JETSTREAM.storage as object), ...more },
  });
  const withBackend = (rule: object, settings: object = {}) => ({
    ...BACKENDS,
    backends: [
      {
        name: 'kube',
        kind: 'kubernetes',
        settings: { impersonation: [{ entities: ['*'], ...rule }], ...settings },
      },
    ],
  });
  const direct = (settings: object) => ({
    ...BACKENDS,
    backends: [{ name: 'kube', kind: 'kubernetes', settings: { direct: true, ...settings } }],
  });
  const url = 'nats://coffer:password@nats:4222';

  it('nothing of its own namespace that is not its own', async () => {
    const names = { namespace: 'secrets', secretNames: ['shared'] };
    expect(only(await render(direct(names)), 'Role').metadata.namespace).toBe('secrets');
  });

  it.each<[string, Values, RegExp]>([
    ['no root key', { tls: EMBEDDED.tls }, /rootKey\.existingSecret: make a Secret/],
    [
      'a root key in the values',
      { ...EMBEDDED, rootKey: { existingSecret: 'a', value: 'x' } },
      /rootKey.*additional properties/,
    ],
    ['no certificate, unsaid', { rootKey: EMBEDDED.rootKey }, /insecureHttp: true, where a mesh encrypts/],
    [
      'a certificate in the values',
      { ...EMBEDDED, tls: { cert: '-----BEGIN' } },
      /tls.*additional properties/,
    ],
    [
      'a store in JetStream that is nowhere',
      { ...EMBEDDED, mode: 'jetstream' },
      /storage\.servers: say where/,
    ],
    [
      'a password in the URL of a NATS',
      withStorage({ servers: [url] }),
      /storage\/servers\/0.*does not match pattern/,
    ],
    ['creds in the values', withStorage({ creds: '-----BEGIN NATS USER JWT-----' }), /storage\/creds/],
    [
      'creds without an entry',
      withStorage({ creds: { name: 'a' } }),
      /storage\/creds.*missing property 'key'/,
    ],
    ['a value that is none', { ...EMBEDDED, replica: 3 }, /additional properties 'replica'/],
    ['a setting that is none', { ...EMBEDDED, storage: { bukket: 'x' } }, /additional properties 'bukket'/],
    ['a mode that is none', { ...EMBEDDED, mode: 'redis' }, /mode/],
    ['a bucket on two servers', withStorage({ replicas: 2 }), /storage\/replicas/],
    ['a Kubernetes backend whom RBAC cannot name', withBackend({ users: ['team-*'] }), /users\/0/],
    ['a rule that allows nothing', withBackend({ groups: ['a'] }), /users/],
    [
      'everybody’s masters',
      withBackend({ users: ['a'], groups: ['b', 'system:masters'] }),
      /system:masters may do everything/,
    ],
    [
      'a service account that RBAC would not find',
      withBackend({ users: ['system:serviceaccount:shop:reader'] }),
      /write it into serviceAccounts, as NAMESPACE\/NAME/,
    ],
    [
      'a rule for nobody',
      withBackend({ users: ['a'], entities: undefined }),
      /kube: a rule says for whom it is/,
    ],
    [
      'a rule that hosts open by their word alone',
      {
        ...BACKENDS,
        backends: [
          {
            name: 'kube',
            kind: 'kubernetes',
            grants: 'upstream',
            settings: { impersonation: [{ applications: ['a'], users: ['a'] }] },
          },
        ],
      },
      /with grants: upstream a rule says in entities for whom it is/,
    ],
    [
      'a backend that lets nobody read',
      { ...BACKENDS, backends: [{ name: 'kube', kind: 'kubernetes', settings: {} }] },
      /kube: it lets nobody read anything/,
    ],
    ['coffer’s own rights on Secrets that nobody names', direct({}), /direct: say in settings\.secretNames/],
    [
      'names of Secrets for nobody',
      withBackend({ users: ['a'] }, { secretNames: ['a'] }),
      /secretNames are those that direct: true lets/,
    ],
    [
      'coffer’s own rights on all of its own namespace',
      direct({ namespace: 'secrets', secretNames: ['*'] }),
      /secrets is the namespace of coffer's own root key/,
    ],
    ...['coffer-root-key', 'coffer-tls', 'coffer-nats'].map((name): [string, Values, RegExp] => [
      `to hand out ${name}`,
      direct({ namespace: 'secrets', secretNames: ['shared', name] }),
      new RegExp(`the Secret ${name} is coffer's own`),
    ]),
    [
      'two instances on an embedded store',
      { ...EMBEDDED, replicas: 3 },
      /an embedded store has one instance/,
    ],
    [
      'a token of Vault in its address',
      { ...BACKENDS, backends: [{ name: 'v', kind: 'vault', settings: { address: 'https://u:p@vault' } }] },
      /address/,
    ],
    [
      'a Vault to which secrets pass in clear',
      { ...BACKENDS, backends: [vaultOf('v', { address: 'http://vault.vault.svc:8200' })] },
      /v: settings\.address: without TLS everybody on the way reads/,
    ],
    [
      'two Vaults with one audience that ask different things',
      {
        ...BACKENDS,
        backends: [
          vaultOf('a', {}),
          vaultOf('b', { audience: 'Vault' }),
          { ...vaultOf('c'), grants: 'upstream' },
        ],
      },
      /c: settings\.audience: it is that of a, too/,
    ],
    [
      'a kind of backend that is none',
      { ...BACKENDS, backends: [{ name: 'x', kind: 'etcd' }] },
      /backends\/0/,
    ],
    [
      'backends without NATS',
      { ...BACKENDS, nats: { servers: [] } },
      /nats\.servers: backends are served over NATS/,
    ],
    ['two of one name', { ...BACKENDS, wasmcloud: { name: 'vault' } }, /vault is the name of another one/],
  ])('%s', async (_what, values, said) => {
    await expect(render(values)).rejects.toThrow(said);
  });
});

function vaultOf(name: string, settings: object = {}) {
  return { name, kind: 'vault', settings: { address: 'https://vault.vault.svc:8200', ...settings } };
}

const podOf = (manifests: readonly Manifest[]): Manifest => only(manifests, 'StatefulSet').spec.template.spec;

const CLUSTER = {
  clusters: [{ name: 'c', cluster: { server: 'https://kubernetes.default.svc' } }],
  users: [{ name: 'u', user: { token: 'of-a-test' } }],
  contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
  'current-context': 'x',
};

/** Has coffer look at the configuration, with the files that the pod would have put below a folder. */
async function check(config: string) {
  using folder = new TemporaryFolder();
  const authority = new Authority();
  const { cert, key } = authority.issue();
  const creds = readFileSync(newTrust(folder).appCreds, 'utf8');
  const files: Record<string, string> = {
    'tls.crt': cert,
    'tls.key': key,
    'root.key': `coffer-root-key-v1:${Buffer.alloc(32, 7).toString('base64')}\n`,
  };
  mkdirSync(folder.join('var/lib/coffer'), { recursive: true });
  const moved = config
    .replaceAll(/(?<=[:\s])(\/(?:var|run|etc)\/[\w./-]+)/g, (path) => {
      const name = path.split('/').at(-1) ?? '';
      const content =
        files[name] ?? (name.endsWith('.pem') ? authority.cert : name.endsWith('.creds') ? creds : undefined);
      if (content !== undefined) {
        mkdirSync(dirname(folder.join(path)), { recursive: true });
        writeFileSync(folder.join(path), content, { mode: 0o400 });
      }
      return folder.join(path);
    })
    .replace('0.0.0.0:2633', `0.0.0.0:${await freePort()}`);
  writeFileSync(folder.join('coffer.yaml'), moved);
  // In the place of the service account, which a pod has and this machine has not.
  const env = { KUBECONFIG: folder.join('kubeconfig') };
  writeFileSync(env.KUBECONFIG, JSON.stringify(CLUSTER), { mode: 0o600 });
  const { stdout, stderr } = await coffer(['config', 'check', '--json', folder.join('coffer.yaml')], { env });
  if (stdout.length === 0) throw new Error(stderr.toString());
  const told = JSON.parse(stdout.toString()) as {
    settings: { key: string; value: unknown }[];
    findings: { subject: string; level: string; says: string }[];
  };
  return {
    settings: new Map(told.settings.map(({ key, value }) => [key, value])),
    problems: told.findings.filter(({ level }) => level === 'problem'),
  };
}
