import { readFile } from 'node:fs/promises';
import { decodeSecrets } from '../cache/content.js';
import type { KeySource } from '../cache/key.js';
import { Seal } from '../cache/seal.js';
import { CofferClientError } from '../errors.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { StoreClient } from '../store/options.js';
import type { CallOptions, SecretInfo, SecretValue } from '../types.js';

/**
 * Gives the secrets of a file, for programs without a server: setec's format, or what a {@link FileCache} wrote.
 *
 * ```json
 * {
 *   "prod/db/password": {"secret": {"TextValue": "open sesame", "Version": 1}},
 *   "prod/api/key": {"secret": {"Value": "b3BlbiBzZXNhbWU=", "Version": 2}}
 * }
 * ```
 *
 * `Value` is base64; `TextValue` wins. Entries without a version above 0 or without a value are skipped. The file is read once, when the
 * client is opened.
 */
export class FileClient implements StoreClient {
  readonly fixed = true;
  readonly #path: string;
  readonly #secrets: ReturnType<typeof decodeSecrets>;

  private constructor(path: string, secrets: ReturnType<typeof decodeSecrets>) {
    this.#path = path;
    this.#secrets = secrets;
  }

  /**
   * @param options `key` for a cache that was written with one
   * @throws CofferClientError `bad_file` if it cannot be read, or something in it is not of its type; `bad_key`
   */
  static async open(path: string, options: { readonly key?: KeySource } = {}): Promise<FileClient> {
    let content: Uint8Array | undefined;
    try {
      content = await new Seal(options.key).unseal(await readFile(path));
      return new FileClient(path, decodeSecrets(content));
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      const ours = error instanceof CofferClientError;
      throw new CofferClientError(
        code === 'bad_key' ? code : 'bad_file',
        `the secrets in ${path}: ${ours ? message : code}`,
        { cause: error },
      );
    } finally {
      content?.fill(0);
    }
  }

  async get(name: string, options: CallOptions & { readonly version?: number } = {}): Promise<SecretValue> {
    const held = this.#held(name);
    const version = options.version || held.version;
    const value = version === held.version ? held.value : held.versions.get(version);
    if (!value) throw this.#notFound(`version ${version} of ${name}`);
    return { value: SecretBytes.copyOf(value), version };
  }

  async getIfChanged(name: string, knownVersion: number): Promise<SecretValue | undefined> {
    return this.#held(name).version === knownVersion ? undefined : this.get(name);
  }

  async info(name: string): Promise<SecretInfo> {
    const { version, versions } = this.#held(name);
    const numbers = [...new Set([version, ...versions.keys()])];
    return { name, versions: numbers.sort((a, b) => a - b), activeVersion: version };
  }

  #held(name: string) {
    const held = this.#secrets.get(name);
    if (!held) throw this.#notFound(name);
    return held;
  }

  #notFound(what: string): CofferClientError {
    return new CofferClientError('not_found', `${what} is not in ${this.#path}`);
  }
}
