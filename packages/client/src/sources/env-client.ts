import { CofferClientError } from '../errors.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { StoreClient } from '../store/options.js';
import type { CallOptions, SecretInfo, SecretValue } from '../types.js';

/** Where an {@link EnvClient} finds its variables. */
export interface EnvClientOptions {
  /** Default `process.env`. It is read whenever a secret is asked for. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** What the names of variables begin with, such as `MYAPP_`. */
  readonly prefix?: string | undefined;
  /** Variables of secrets by name, where they are not those that are made of the name. */
  readonly names?: Readonly<Record<string, string>> | undefined;
}

/**
 * Gives secrets from environment variables, for development: `prod/db-password` is `PROD_DB_PASSWORD`, the name in capitals
 * (`toUpperCase`, so `ß` is `SS`) and then everything but `A` to `Z` and digits an underscore. Each has the one version 1; a variable
 * that is empty counts as none.
 */
export class EnvClient implements StoreClient {
  readonly fixed = true;
  readonly #options: EnvClientOptions;

  /** Reads nothing yet. */
  constructor(options: EnvClientOptions = {}) {
    this.#options = options;
  }

  /** The variable's text in UTF-8. `not_found`, with the name of the variable that is to be set. */
  async get(
    name: string,
    options: CallOptions & { readonly version?: number | undefined } = {},
  ): Promise<SecretValue> {
    const { env = process.env, prefix = '', names = {} } = this.#options;
    const variable = Object.hasOwn(names, name)
      ? (names[name] as string)
      : prefix + name.toUpperCase().replace(/[^A-Z0-9]/gu, '_');
    const text = env[variable];
    if (!text)
      throw new CofferClientError('not_found', `there is no ${JSON.stringify(name)}: ${variable} is not set`);
    if ((options.version || 1) !== 1)
      throw new CofferClientError('not_found', `${JSON.stringify(name)} has only version 1`);
    return { value: SecretBytes.copyOf(new TextEncoder().encode(text)), version: 1 };
  }

  /** The value, unless `knownVersion` is 1. */
  async getIfChanged(name: string, knownVersion: number): Promise<SecretValue | undefined> {
    const secret = await this.get(name);
    return knownVersion === secret.version ? undefined : secret;
  }

  /** Its one version. */
  async info(name: string): Promise<SecretInfo> {
    const { version } = await this.get(name);
    return { name, versions: [version], activeVersion: version };
  }
}
