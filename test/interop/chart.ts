import { fileURLToPath } from 'node:url';
import { parse, parseAllDocuments } from 'yaml';
import { type Finished, run } from '../support/processes.mjs';
import { peer } from '../support/servers.mjs';

export const CHART = fileURLToPath(new URL('../../deploy/helm/coffer', import.meta.url));

/** What is built without Helm's own build does not know a Kubernetes of this century's twenties. */
const FOR = ['--kube-version', '1.33.0'];

export type Values = Readonly<Record<string, unknown>>;

// biome-ignore lint/suspicious/noExplicitAny: whatever the chart makes
export type Manifest = any;

/** What there must be at the least. */
export const EMBEDDED: Values = {
  rootKey: { existingSecret: 'coffer-root-key' },
  tls: { existingSecret: 'coffer-tls' },
};

export const JETSTREAM: Values = {
  ...EMBEDDED,
  mode: 'jetstream',
  storage: {
    servers: ['tls://nats-0.nats.svc:4222', 'tls://nats-1.nats.svc:4223'],
    creds: { name: 'coffer-nats', key: 'store.creds' },
    systemCreds: { name: 'coffer-nats', key: 'sys.creds' },
    ca: { name: 'nats-ca', key: 'ca.crt' },
    maxBytes: 2_147_483_648,
    quotaBytes: 10_737_418_240,
  },
};

const ACCOUNT = 'ACAAT4P4VF7X27BSKUZTMBHAP6GOHYYLSQG6IUX7ODW7AMTTBS234JZX';

/** With a NATS door, and both backends behind it. */
export const BACKENDS: Values = {
  ...EMBEDDED,
  publicUrl: 'https://coffer.coffer.svc:2633',
  nats: { servers: ['nats://nats.nats.svc'], creds: { name: 'coffer-nats', key: 'hosts.creds' } },
  trust: { accounts: [ACCOUNT] },
  audit: { retentionDays: 400 },
  retention: [{ secrets: ['*'], keepVersions: 3 }],
  limits: { valueBytes: 2_097_152, failuresPerMinute: 30 },
  backends: [
    {
      name: 'vault',
      kind: 'vault',
      ca: { name: 'vault-ca', key: 'ca.crt' },
      settings: { address: 'https://vault.vault.svc:8200', role: 'shop' },
    },
    {
      name: 'kube',
      kind: 'kubernetes',
      grants: 'upstream',
      settings: {
        namespace: 'shop',
        direct: true,
        secretNames: ['shared'],
        impersonation: [
          {
            entities: [`component:${ACCOUNT}/*`],
            applications: ['shop'],
            serviceAccounts: ['shop/reader', 'billing/reader'],
          },
          { entities: ['*'], users: ['jane'], groups: ['auditors'] },
        ],
      },
    },
  ],
};

export const helm = (args: readonly string[], values?: Values): Promise<Finished> => {
  const given = values === undefined ? [] : ['--values', '-'];
  return run(peer('helm'), [...args, ...given], {
    input: values === undefined ? '' : JSON.stringify(values),
    timeoutMs: 120_000,
  });
};

export const lint = (values: Values) => helm(['lint', '--strict', '--quiet', ...FOR, CHART], values);

/** What the chart makes of the values, for a release `coffer` in the namespace `secrets`. */
export async function render(values: Values, options: readonly string[] = []): Promise<readonly Manifest[]> {
  const { code, stdout, stderr } = await helm(
    ['template', 'coffer', CHART, '--namespace', 'secrets', ...FOR, ...options],
    values,
  );
  if (code !== 0) throw new Error(stderr.toString());
  return parseAllDocuments(stdout.toString()).flatMap((document) => document.toJS() ?? []);
}

export const only = (manifests: readonly Manifest[], kind: string): Manifest => {
  const found = manifests.filter((one) => one.kind === kind);
  if (found.length !== 1) throw new Error(`${found.length} of kind ${kind}`);
  return found[0];
};

export const configOf = (manifests: readonly Manifest[]): string =>
  only(manifests, 'ConfigMap').data['coffer.yaml'];

export const parsedConfigOf = (manifests: readonly Manifest[]): Manifest => parse(configOf(manifests));
