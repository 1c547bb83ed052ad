import { z } from 'zod';
import { propertiesOf } from '../backend/policy-properties.js';
import { SecretsError } from '../protocol/errors.js';
import { isName, isNamespace, isSubject, NO_NAMESPACE, serviceAccountUser } from './names.js';

/** As whom a Secret is read. */
export interface Identity {
  readonly user: string;
  /** Beside those that the API server gives the user. */
  readonly groups: readonly string[];
}

/** What a policy asks for. */
export interface Access {
  readonly namespace: string;
  /** Undefined: as whoever coffer is to the cluster. */
  readonly as: Identity | undefined;
}

const GROUPS = 32;
const subject = z.string().refine(isSubject, { error: 'no user or group of Kubernetes has such a name' });

/** `impersonate` and `namespace` are those of wasmCloud's own backend. Others of its properties may stand there, too. */
const propertiesSchema = z.object({
  impersonate: subject.nullish(),
  impersonateServiceAccount: z.string().nullish(),
  impersonateGroups: z.array(subject).max(GROUPS).nullish(),
  namespace: z.string().refine(isNamespace, { error: NO_NAMESPACE }).nullish(),
});
const MISSPELT = [
  ['impersonate', /^impersonat/i],
  ['namespace', /^name_?space/i],
] as const;
type Properties = z.output<typeof propertiesSchema>;

/**
 * Reads the properties of a policy.
 *
 * @param defaultNamespace where the policy names none
 * @throws SecretsError `PolicyError`
 */
export function accessOf(policy: string, defaultNamespace: string): Access {
  const properties = propertiesOf(policy);
  // Passed over, it would be read as somebody else than who was meant, or elsewhere.
  for (const [word, meant] of MISSPELT) {
    if (
      Object.keys(properties).some((name) => meant.test(name) && !Object.hasOwn(propertiesSchema.shape, name))
    ) {
      throw refusal(`of the properties that begin with "${word}", one is not known here: check its spelling`);
    }
  }
  const read = propertiesSchema.safeParse(properties);
  if (!read.success) {
    const [issue] = read.error.issues;
    throw refusal(`${issue?.path.join('.')}: ${issue?.message}`);
  }
  const namespace = read.data.namespace ?? defaultNamespace;
  return { namespace, as: identityOf(read.data, namespace) };
}

function identityOf(properties: Properties, namespace: string): Identity | undefined {
  const { impersonate, impersonateServiceAccount: account, impersonateGroups } = properties;
  const groups = [...new Set(impersonateGroups ?? [])];
  if (typeof impersonate === 'string' && typeof account === 'string') {
    throw refusal('impersonate and impersonateServiceAccount name two: keep one of them');
  }
  if (typeof impersonate === 'string') return { user: impersonate, groups };
  if (typeof account === 'string') return { user: userOf(account, namespace), groups };
  if (groups.length > 0) throw refusal('impersonateGroups needs a user, in impersonate');
  return undefined;
}

/** @param account `NAME`, in the Secret's own namespace, or `NAMESPACE/NAME` */
function userOf(account: string, secretNamespace: string): string {
  const [first = '', second, ...more] = account.split('/');
  const [namespace, name] = second === undefined ? [secretNamespace, first] : [first, second];
  if (more.length > 0 || !isNamespace(namespace) || !isName(name)) {
    throw refusal('impersonateServiceAccount is NAME or NAMESPACE/NAME');
  }
  return serviceAccountUser({ namespace, name });
}

const refusal = (text: string): SecretsError => new SecretsError('PolicyError', text);
