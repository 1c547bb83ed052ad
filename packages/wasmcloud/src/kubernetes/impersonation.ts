import type { Entity, Host, Requester } from '../backend/options.js';
import { Pattern } from '../backend/pattern.js';
import { SecretsError } from '../protocol/errors.js';
import { serviceAccountOf } from './names.js';
import type { Access, Identity } from './policy.js';
import type { ImpersonationRule, KubernetesSettings } from './settings.js';
import { refused } from './upstream.js';

/**
 * Says as whom Secrets are read for whom. A manifest's author writes the policy, so that what it asks for counts only as far as an
 * operator has allowed it.
 */
export class Permissions {
  readonly #rules: readonly Rule[];
  readonly #direct: boolean;
  readonly #namespace: string;
  readonly #secretNames: readonly Pattern[] | undefined;

  constructor({
    impersonation,
    direct,
    namespace,
    secretNames,
  }: Pick<KubernetesSettings, 'impersonation' | 'direct' | 'namespace' | 'secretNames'>) {
    this.#rules = impersonation.map((rule) => new Rule(rule));
    this.#direct = direct;
    this.#namespace = namespace;
    this.#secretNames = patterns(secretNames);
  }

  /**
   * @param key of the Secret
   * @throws SecretsError `PolicyError` if somebody must be named, `Unauthorized` whose cause says what is not allowed
   */
  require(requester: Requester, { as, namespace }: Access, key: string): void {
    if (as === undefined) this.#requireDirect(namespace, key);
    else if (!this.#rules.some((rule) => rule.appliesTo(requester) && rule.allows(as, namespace))) {
      throw refused(
        'Unauthorized',
        `no rule of "impersonation" lets it read in ${namespace} as ${shown(as)}${this.#unproven(requester.host)}`,
      );
    }
  }

  /** Who wrote a rule for a host looks for the reason there. */
  #unproven(host: Host): string {
    if (isProven(host) || !this.#rules.some((rule) => rule.names(host))) return '';
    return (
      `; a rule names the host ${host.key}, but anybody could have made this token of it: neither has that key signed it, nor one of ` +
      'wasmcloud.hosts'
    );
  }

  #requireDirect(namespace: string, key: string): void {
    if (!this.#direct) {
      throw new SecretsError(
        'PolicyError',
        'this backend reads Secrets as whom the policy names: write impersonateServiceAccount, or impersonate, into its properties',
      );
    }
    if (namespace !== this.#namespace) {
      throw refused(
        'Unauthorized',
        `a policy that names nobody is for ${this.#namespace}, and not for ${namespace}`,
      );
    }
    if (!isAmong(this.#secretNames, key)) {
      throw refused('Unauthorized', 'a policy that names nobody is for the Secrets of secretNames alone');
    }
  }
}

class Rule {
  readonly #applications: readonly Pattern[] | undefined;
  readonly #hosts: ReadonlySet<string> | undefined;
  readonly #entities: readonly Pattern[] | undefined;
  readonly #users: readonly Pattern[];
  readonly #serviceAccounts: readonly Pattern[];
  readonly #groups: readonly Pattern[];
  readonly #namespaces: readonly Pattern[] | undefined;

  constructor(rule: ImpersonationRule) {
    this.#applications = patterns(rule.applications);
    this.#hosts = rule.hosts && new Set(rule.hosts);
    this.#entities = patterns(rule.entities);
    this.#users = patterns(rule.users) ?? [];
    this.#serviceAccounts = patterns(rule.serviceAccounts) ?? [];
    this.#groups = patterns(rule.groups) ?? [];
    this.#namespaces = patterns(rule.namespaces);
  }

  names(host: Host): boolean {
    return this.#hosts?.has(host.key) === true;
  }

  appliesTo({ application, host, entity }: Requester): boolean {
    return (
      isAmong(this.#applications, application.name) &&
      (this.#hosts === undefined || (this.names(host) && isProven(host))) &&
      isAmong(this.#entities, principalOf(entity))
    );
  }

  allows({ user, groups }: Identity, namespace: string): boolean {
    return (
      (this.#users.some((pattern) => reaches(pattern, user)) || this.#allowsServiceAccount(user)) &&
      groups.every((group) => this.#groups.some((pattern) => reaches(pattern, group))) &&
      isAmong(this.#namespaces, namespace)
    );
  }

  #allowsServiceAccount(user: string): boolean {
    const account = serviceAccountOf(user);
    if (account === undefined) return false;
    const { namespace, name } = account;
    return this.#serviceAccounts.some((pattern) => pattern.matches(`${namespace}/${name}`));
  }
}

/** Anybody can put the key of a host into a token, and sign that with a key of their own. */
const isProven = ({ key, chain }: Host): boolean => chain.issuer === key || chain.trusted;

/** As a grant names it. */
const principalOf = ({ kind, account = 'self-issued', key }: Entity): string => `${kind}:${account}/${key}`;

const patterns = (texts: readonly string[] | undefined) => texts?.map((text) => new Pattern(text));

/** Without patterns everything is. */
const isAmong = (patterns: readonly Pattern[] | undefined, text: string | undefined): boolean =>
  patterns === undefined || (text !== undefined && patterns.some((pattern) => pattern.matches(text)));

/** What a `*` may mean is thought of by people as their own users and groups, and not as those of the cluster. */
const reaches = (pattern: Pattern, name: string): boolean =>
  pattern.matches(name) && (pattern.isLiteral || !name.startsWith('system:'));

const shown = ({ user, groups }: Identity): string =>
  groups.length === 0 ? user : `${user} with ${groups.join(', ')}`;
