import { Failure } from '../failure.js';
import { type Backend, runDropIn, said } from './drop-in.js';
import type { PlaceOptions } from './run.js';
import { seedBytes } from './run-seeds.js';

/** `coffer wasmcloud kube`: in place of secrets-kubernetes, by its flags. */

export type KubeOptions = PlaceOptions & {
  readonly natsUrl?: string;
  readonly natsCreds?: string;
  readonly natsCa?: string;
  readonly backendSeed?: string;
  readonly secretsPrefix?: string;
  readonly name?: string;
  readonly kubeconfig?: string;
  readonly allowUser?: readonly string[];
  readonly allowServiceAccount?: readonly string[];
  readonly direct?: boolean;
  readonly grants?: 'required' | 'upstream';
};

export async function kube(options: KubeOptions): Promise<void> {
  const { allowUser: users, allowServiceAccount: serviceAccounts, direct, kubeconfig } = options;
  if (!users && !serviceAccounts && !direct) {
    throw new Failure(
      'nobody may be impersonated, so that nothing could be read: --allow-user PATTERN names users that policies may name, ' +
        '--allow-service-account NAMESPACE/NAME service accounts, and --direct reads with coffer’s own rights where a policy names ' +
        'nobody; a configuration file can say for whom, see "coffer server --config"',
    );
  }
  const rule = { entities: ['*'], ...(users && { users }), ...(serviceAccounts && { serviceAccounts }) };
  const settings = {
    ...(kubeconfig && { kubeconfig }),
    ...((users || serviceAccounts) && { impersonation: [rule] }),
    ...(direct && { direct }),
  };
  const { natsUrl, natsCreds, natsCa, secretsPrefix: prefix } = options;
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
      settings: settings as Extract<Backend, { kind: 'kubernetes' }>['settings'],
    },
    transitSeed: seedBytes('--backend-seed', said(options.backendSeed)),
  });
}
