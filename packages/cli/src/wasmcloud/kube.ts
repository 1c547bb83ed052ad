import {
  type KubernetesOptions,
  type KubernetesSettings,
  kubernetesSettings,
} from '@coffer/wasmcloud/kubernetes';
import { Failure } from '../failure.js';
import { runDropIn, said, saidSeed } from './drop-in.js';
import type { PlaceOptions } from './run.js';
import { seedBytes } from './run-seeds.js';
import { noteSeen } from './seeds.js';

/** `coffer wasmcloud kube`: in place of secrets-kubernetes, by its flags, and the variables that its deployment makes them of. */

export type KubeOptions = PlaceOptions & {
  readonly natsUrl?: string;
  readonly natsAddress?: string;
  readonly natsCreds?: string;
  readonly natsCredsFile?: string;
  readonly natsCa?: string;
  readonly backendSeed?: string;
  readonly secretsPrefix?: string;
  readonly name?: string;
  readonly kubeconfig?: string;
  readonly namespace?: string;
  readonly allowUser?: readonly string[];
  readonly allowServiceAccount?: readonly string[];
  readonly direct?: boolean;
  readonly grants?: 'required' | 'upstream';
};

export async function kube(options: KubeOptions): Promise<void> {
  const { allowUser: users, allowServiceAccount: serviceAccounts, direct, kubeconfig, namespace } = options;
  if (!users && !serviceAccounts && !direct) {
    throw new Failure(
      'nobody may be impersonated, so that nothing could be read: --allow-user PATTERN names users that policies may name, ' +
        '--allow-service-account NAMESPACE/NAME service accounts, and --direct reads with coffer’s own rights where a policy names ' +
        'nobody; a configuration file can say for whom, see "coffer server --config"',
    );
  }
  const rule = {
    entities: ['*'],
    ...(users && { users: [...users] }),
    ...(serviceAccounts && { serviceAccounts: [...serviceAccounts] }),
  };
  const settings = settingsOf({
    ...(kubeconfig && { kubeconfig }),
    ...(namespace !== undefined && { namespace }),
    ...((users || serviceAccounts) && { impersonation: [rule] }),
    ...(direct && { direct }),
    anyVersion: true,
  });
  const { natsCa, secretsPrefix: prefix } = options;
  const natsCreds = options.natsCreds ?? options.natsCredsFile ?? process.env.NATS_CREDSFILE;
  if (options.backendSeed) await noteSeen([['--backend-seed', 'BACKEND_SEED']]);
  const natsUrl = said(options.natsUrl ?? options.natsAddress, 'NATS_URL');
  await runDropIn(options, {
    nats: {
      ...(natsUrl && { servers: natsUrl.split(',').map((one) => one.trim()) }),
      ...(natsCreds && { creds: natsCreds }),
      ...(natsCa && { tls: { ca: natsCa } }),
    },
    backend: {
      name: options.name ?? 'kube',
      kind: 'kubernetes',
      grants: options.grants ?? 'upstream',
      ...(prefix !== undefined && { prefix }),
      settings,
    },
    transitSeed: seedBytes('--backend-seed', saidSeed(options.backendSeed, 'BACKEND_SEED')),
  });
}

/** With what a configuration file would have where it says nothing. @throws Failure */
function settingsOf(options: KubernetesOptions): KubernetesSettings {
  const read = kubernetesSettings.safeParse(options);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Failure(
    `invalid ${FLAGS[String(issue?.path.findLast((part) => typeof part === 'string'))]}: ${issue?.message}`,
  );
}

const FLAGS: Readonly<Record<string, string>> = {
  namespace: '--namespace',
  users: '--allow-user',
  serviceAccounts: '--allow-service-account',
  kubeconfig: '--kubeconfig',
};
