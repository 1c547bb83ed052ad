import { kindOfPublicKey } from '@coffer/identity';
import { z } from 'zod';
import { isNamespace, isSubject, NO_NAMESPACE } from './names.js';

const RULES = 1_000;
const ENTRIES = 1_000;
const PATTERN_LENGTH = 1_024;

const list = <S extends z.ZodType<string>>(entry: S) => z.array(entry).min(1).max(ENTRIES).optional();
const pattern = z.string().min(1).max(PATTERN_LENGTH);

/** It is above all rules of the cluster: whoever is in it may do everything, whatever RBAC says. */
const MASTERS = 'system:masters';

/** Names that begin so are those of the cluster's own parts, and of service accounts. */
const isSystem = (name: string): boolean => name.startsWith('system:');

const user = pattern
  .refine((text) => isSubject(text), { error: 'no user of Kubernetes has such a name' })
  .refine((text) => !(isSystem(text) && text.includes('*')), {
    error:
      'system:… are the cluster’s own parts: write each of them out, and service accounts into serviceAccounts',
  });
const group = pattern
  .refine((text) => isSubject(text), { error: 'no group of Kubernetes has such a name' })
  .refine((text) => text !== MASTERS, {
    error: `who is in ${MASTERS} may do everything: nobody gets it here`,
  })
  .refine((text) => !(isSystem(text) && text.includes('*')), {
    error: 'system:… are the cluster’s own groups: write each of them out',
  });
const serviceAccount = pattern.refine(
  (text) => {
    const [namespace = '', name = '', ...more] = text.split('/');
    return more.length === 0 && isNamespace(namespace) && /^[-a-z0-9.*]+$/.test(name);
  },
  { error: 'a service account is written NAMESPACE/NAME, and only NAME may hold a *' },
);
const namespace = pattern.regex(/^[-a-z0-9*]+$/, { error: NO_NAMESPACE });
const host = z.string().refine((text) => kindOfPublicKey(text) === 'server', {
  error: 'a host is its public key (N…), of 56 characters',
});

const ruleSchema = z
  .strictObject({
    /** Patterns of the names that hosts claim; a request that claims none meets no pattern. */
    applications: list(pattern),
    /** Public keys. They count where the host's own key signed its token, or one of `wasmcloud.hosts`. */
    hosts: list(host),
    /** Patterns of principals: `component:<account>/M…`, `provider:<account>/V…`. */
    entities: list(pattern),
    /** Patterns. A `*` stands for no user whose name begins with `system:`. */
    users: list(user),
    /** Patterns, `NAMESPACE/NAME`. */
    serviceAccounts: list(serviceAccount),
    /** Patterns of further groups; without them the policy may name none. A `*` stands for no `system:…`. */
    groups: list(group),
    /** Patterns of where Secrets may be read; without them in any, as far as the user may. */
    namespaces: list(namespace),
  })
  .refine(({ applications, hosts, entities }) => applications || hosts || entities, {
    error:
      'a rule says for whom it is, in applications, hosts or entities; entities: ["*"] is for all that the backend believes',
  })
  .refine(({ users, serviceAccounts }) => users || serviceAccounts, {
    error: 'a rule says as whom Secrets are read, in users or serviceAccounts',
  });

/** Who may have which identity taken on for it. All that a rule states must be so; one rule must allow a request whole. */
export type ImpersonationRule = z.output<typeof ruleSchema>;

/** The settings of a Kubernetes backend. */
export const kubernetesSettings = z
  .strictObject({
    /** The file; default: in a cluster the pod's service account, elsewhere `KUBECONFIG` or `~/.kube/config`. */
    kubeconfig: z.string().min(1).optional(),
    /** Of the kubeconfig; default its current one. */
    context: z.string().min(1).optional(),
    /** In a cluster: where the service account's `token` and `ca.crt` are. */
    serviceAccountDir: z.string().min(1).default('/var/run/secrets/kubernetes.io/serviceaccount'),
    /** Where Secrets are whose policy names no namespace. */
    namespace: z.string().refine(isNamespace, { error: NO_NAMESPACE }).default('default'),
    /** For a get in all, tries and pauses together. */
    timeoutSeconds: z.number().positive().max(60).default(5),
    /** After a 5xx, a 429 or a lost connection. */
    retries: z.int().min(0).max(10).default(2),
    /** Answer with what is there, whichever `version` a manifest asks for. */
    anyVersion: z.boolean().default(false),
    impersonation: z.array(ruleSchema).max(RULES).default([]),
    /** Let policies that name nobody read `namespace`, and no other, with coffer's own rights. */
    direct: z.boolean().default(false),
    /** Patterns of the Secrets that `direct` lets them read; without them all. */
    secretNames: list(pattern),
  })
  .refine(({ direct, secretNames }) => direct || secretNames === undefined, {
    path: ['secretNames'],
    error: 'they are those that direct: true lets policies read, and it is not there',
  })
  .refine(({ impersonation, direct }) => impersonation.length > 0 || direct, {
    path: ['impersonation'],
    error: 'it lets nobody read anything: write rules, or direct: true',
  });

export type KubernetesSettings = z.output<typeof kubernetesSettings>;
/** The same as it is written: what has a default may be left out. */
export type KubernetesOptions = z.input<typeof kubernetesSettings>;
