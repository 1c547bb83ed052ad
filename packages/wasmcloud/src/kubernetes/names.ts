/**
 * Names as Kubernetes has them. Each goes into a URL or a header, so that what is no name goes nowhere.
 *
 * Source: kubernetes.io/docs/concepts/overview/working-with-objects/names, which has them from RFC 1123.
 */

const LABEL = '[a-z0-9](?:[-a-z0-9]*[a-z0-9])?';
const NAME = new RegExp(`^${LABEL}(?:\\.${LABEL})*$`);
const NAMESPACE = new RegExp(`^${LABEL}$`);
const NAME_LENGTH = 253;
const NAMESPACE_LENGTH = 63;

/** Of a Secret, of a service account. */
export const isName = (text: string): boolean => text.length <= NAME_LENGTH && NAME.test(text);

export const isNamespace = (text: string): boolean => text.length <= NAMESPACE_LENGTH && NAMESPACE.test(text);

export const NO_NAMESPACE =
  'a namespace has at most 63 characters of a-z, 0-9 and -, and a letter or digit at both ends';

/**
 * Of a user or a group, for which Kubernetes has no rule: what can stand in a header. White space at its ends would be lost there.
 */
export const isSubject = (text: string): boolean =>
  text.length <= NAME_LENGTH && /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/.test(text);

export interface ServiceAccount {
  readonly namespace: string;
  readonly name: string;
}

/** Service accounts are users of this name to the API server. Source: k8s.io/apiserver, pkg/authentication/serviceaccount. */
export const serviceAccountUser = ({ namespace, name }: ServiceAccount): string =>
  `system:serviceaccount:${namespace}:${name}`;

/** Undefined: it is the name of no service account. */
export function serviceAccountOf(user: string): ServiceAccount | undefined {
  const match = /^system:serviceaccount:(?<namespace>[^:]+):(?<name>[^:]+)$/.exec(user);
  const { namespace = '', name = '' } = match?.groups ?? {};
  return isNamespace(namespace) && isName(name) ? { namespace, name } : undefined;
}
