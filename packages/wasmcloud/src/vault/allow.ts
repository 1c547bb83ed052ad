import { Pattern } from '../backend/pattern.js';
import { SecretsError } from '../protocol/errors.js';
import type { VaultAllow } from './options.js';
import { trimmedPath } from './path.js';
import { type Defaults, type Place, trimmedMount } from './reference.js';

/**
 * What policies may name. They are the word of a host: without `allow` they may name what the settings name, and nothing else; a
 * role any, where the settings name none.
 */
export class Allowed {
  readonly #defaults: Defaults;
  readonly #patterns: Readonly<Record<keyof VaultAllow, readonly Pattern[] | undefined>>;

  constructor(allow: VaultAllow, defaults: Defaults) {
    const paths = (all: readonly string[] | undefined) => all?.map((one) => new Pattern(trimmedPath(one)));
    this.#defaults = defaults;
    this.#patterns = {
      namespaces: paths(allow.namespaces),
      authMounts: allow.authMounts?.map((one) => new Pattern(trimmedMount(one))),
      enginePaths: paths(allow.enginePaths),
      roles: allow.roles?.map((one) => new Pattern(one)),
    };
  }

  /** @throws SecretsError `PolicyError` */
  require({ namespace, authMount, engine, role }: Place): void {
    const { namespace: space, authMount: mount, enginePath, role: standing } = this.#defaults;
    this.#one('namespaces', 'the namespace', namespace, space);
    this.#one('authMounts', 'the auth method', authMount, mount);
    this.#one('enginePaths', 'the engine', engine, enginePath);
    if (standing !== undefined || this.#patterns.roles !== undefined) {
      this.#one('roles', 'the role', role, standing);
    }
  }

  #one(
    setting: keyof VaultAllow,
    what: string,
    named: string | undefined,
    standing: string | undefined,
  ): void {
    if (named === standing) return;
    if (this.#patterns[setting]?.some((pattern) => pattern.matches(named ?? ''))) return;
    throw new SecretsError(
      'PolicyError',
      `a policy may not name ${what} ${JSON.stringify(named)} here: allow.${setting} in the settings of this backend lists others that it may`,
    );
  }
}
