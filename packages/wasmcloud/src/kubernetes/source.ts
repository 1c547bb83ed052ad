import type { Requester, Secret, SecretQuery } from '../backend/options.js';
import type { SecretSource } from '../backend/source.js';
import { SecretsError } from '../protocol/errors.js';
import type { ApiServer } from './api-server.js';
import type { Answer, Exchange } from './exchange.js';
import type { Permissions } from './impersonation.js';
import { isName } from './names.js';
import { accessOf, type Identity } from './policy.js';
import { secretOf } from './secret.js';
import { statusOf } from './status.js';
import { refused, unexpected, upstream } from './upstream.js';

export interface KubernetesSourceParts {
  readonly apiServer: ApiServer;
  readonly permissions: Permissions;
  /** Where a policy names none. */
  readonly namespace: string;
  /** Answer with what is there, whichever is asked for. */
  readonly anyVersion: boolean;
}

/** The Secrets of a cluster. Each get is one request, whose answer is kept nowhere: what is rotated there is rotated here. */
export class KubernetesSource implements SecretSource {
  readonly #parts: KubernetesSourceParts;

  constructor(parts: KubernetesSourceParts) {
    this.#parts = parts;
  }

  async fetch(query: SecretQuery, requester: Requester, signal?: AbortSignal): Promise<Secret> {
    const { apiServer, permissions, namespace: defaultNamespace, anyVersion } = this.#parts;
    const { key } = query;
    // As Go writes what is not said.
    const field = query.field || undefined;
    const version = anyVersion ? undefined : query.version || undefined;
    if (!isName(key)) throw refused('InvalidRequest', 'the key can be the name of no Secret');
    if (version !== undefined && !/^\d{1,20}$/.test(version)) {
      throw refused('InvalidRequest', 'a version is a resourceVersion, which is a number');
    }
    const access = accessOf(requester.application.policy, defaultNamespace);
    permissions.require(requester, access, key);
    const path = `/api/v1/namespaces/${access.namespace}/secrets/${key}`;
    const answer = await apiServer.get(path, headersFor(access.as), signal);
    try {
      if (answer.status === 200) return secretOf(answer.body, { key, field, version }, access.namespace);
      throw refusalOf(answer, access.namespace);
    } finally {
      answer.body.fill(0);
    }
  }

  /** Where, and as whom: what a grant on `<backend>/<key>` does not say. */
  describe(_: SecretQuery, { application }: Requester): Readonly<Record<string, string>> {
    const { namespace, as } = accessOf(application.policy, this.#parts.namespace);
    const groups = as && as.groups.length > 0 && JSON.stringify(as.groups);
    return { namespace, ...(as && { as: as.user }), ...(groups && { groups }) };
  }

  async unready(signal: AbortSignal): Promise<string | undefined> {
    try {
      const { status } = await this.#parts.apiServer.get('/readyz', {}, signal);
      // Whether we may ask that is another question: a cluster may keep it from those who are nobody to it.
      if (status === 200 || status === 403) return undefined;
      return unexpected(status, '').text;
    } catch (error) {
      if (error instanceof SecretsError) return error.text;
      throw error;
    }
  }

  async close(): Promise<void> {
    this.#parts.apiServer.close();
  }
}

/** Source: kubernetes.io/docs/reference/access-authn-authz/authentication, "User impersonation". */
const headersFor = (as: Identity | undefined): Exchange['headers'] =>
  as === undefined ? {} : { 'impersonate-user': as.user, 'impersonate-group': as.groups };

function refusalOf(answer: Answer, namespace: string): SecretsError {
  const { status } = answer;
  const { message, reason, about } = statusOf(answer);
  if (status === 403) return refused('Unauthorized', `Kubernetes: ${message || 'forbidden'}`);
  if (status !== 404) return unexpected(status, reason);
  // Of a cluster whose API lies elsewhere, nothing would ever be found.
  if (about === 'secrets' && reason === 'NotFound')
    return refused('SecretNotFound', `Kubernetes: ${message} in ${namespace}`);
  return upstream('what answers there is no Kubernetes API');
}
