import type { Issued } from './certificates.d.mts';
import type { Process, TemporaryFolder } from './processes.d.mts';

/** A line of the API server's audit log, of a request for Secrets. */
export interface KubeAuditEntry {
  readonly verb: string;
  readonly requestURI: string;
  readonly user: { readonly username: string };
  readonly impersonatedUser?: { readonly username: string; readonly groups?: readonly string[] };
  readonly responseStatus: { readonly code: number };
}

export interface KubeSubject {
  readonly kind: 'User' | 'Group' | 'ServiceAccount';
  readonly name: string;
  /** Of a service account. */
  readonly namespace?: string;
  /** `rbac.authorization.k8s.io` for users and groups. */
  readonly apiGroup?: string;
}

export interface KubeRule {
  readonly apiGroups: readonly string[];
  readonly resources: readonly string[];
  readonly verbs: readonly string[];
  readonly resourceNames?: readonly string[];
}

/**
 * A real kube-apiserver on 127.0.0.1 with an etcd of its own, and nothing else: no controllers, no nodes. Authorisation is RBAC,
 * its certificate one of an authority made for it.
 */
export class KubeServer implements AsyncDisposable {
  /** Starts one and waits until it is ready. @param options users by their names, with their groups */
  static start(options?: {
    readonly users?: Readonly<Record<string, readonly string[]>>;
  }): Promise<KubeServer>;
  readonly url: string;
  readonly port: number;
  /** The file of its authority. */
  readonly ca: string;
  /** What is in it. */
  readonly caPem: string;
  readonly folder: TemporaryFolder;
  /** Of the API server. */
  readonly process: Process;
  /** Of a user who may do everything. */
  readonly adminToken: string;
  tokenOf(user: string): string;
  /** Of a client, made on the spot: the API server knows its common name as a user. */
  certificateOf(user: string): Issued;
  /**
   * Writes a kubeconfig for a user. @returns its path
   *
   * @param options where the user is to find the API server, the file's name, and what stands in the user's entry besides
   */
  kubeconfig(
    user: string,
    options?: { readonly server?: string; readonly name?: string; readonly [entry: string]: unknown },
  ): string;
  /** Asks its API, by default as who may do everything. Any status is an answer. */
  call(
    method: string,
    path: string,
    body?: object,
    options?: { readonly token?: string; readonly headers?: Readonly<Record<string, string>> },
    // biome-ignore lint/suspicious/noExplicitAny: whatever Kubernetes' API has
  ): Promise<{ readonly status: number; readonly body: any }>;
  /** POSTs an object; rejects on a refusal. */
  // biome-ignore lint/suspicious/noExplicitAny: whatever Kubernetes' API has
  create(path: string, body: object): Promise<any>;
  createNamespace(name: string): Promise<void>;
  /** Makes or replaces a Secret, and answers with its resourceVersion. */
  putSecret(
    namespace: string,
    name: string,
    data: Readonly<Record<string, string | Uint8Array>>,
  ): Promise<string>;
  /** Makes a role and binds it, for a namespace or, without one, for the cluster. */
  allow(
    namespace: string | undefined,
    name: string,
    rules: readonly KubeRule[],
    subjects: readonly KubeSubject[],
  ): Promise<void>;
  /** Of a service account that is there. */
  serviceAccountToken(namespace: string, name: string): Promise<string>;
  /** Requests for Secrets, in the order in which they were answered. */
  audited(): KubeAuditEntry[];
  /** etcd, and what is in it, stays. */
  stopApiServer(): Promise<void>;
  /** On the same port. */
  startApiServer(): Promise<void>;
  stop(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
