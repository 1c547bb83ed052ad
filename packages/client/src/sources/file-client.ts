import { readFile } from 'node:fs/promises';
import { type CachedSecret, decodeCache } from '../cache/content.js';
import { fileError } from '../cache/file-error.js';
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
  readonly #secrets: ReadonlyMap<string, CachedSecret>;

  private constructor(path: string, secrets: ReadonlyMap<string, CachedSecret>) {
    this.#path = path;
    this.#secrets = secrets;
  }

  /**
   * @param options `key` for a cache that was written with one
   * @throws CofferClientError `bad_file` if it cannot be read, or something in it is not of its type; of an encrypted one
   *   `bad_key`, or `bad_cache` if it is not what was written with this key
   */
  static async open(
    path: string,
    options: { readonly key?: KeySource | undefined } = {},
  ): Promise<FileClient> {
    let content: Uint8Array | undefined;
    try {
      content = await new Seal(options.key).unseal(await readFile(path));
      return new FileClient(path, decodeCache(content, true));
    } catch (error) {
      throw fileError(`the secrets in ${path}`, error);
    } finally {
      content?.fill(0);
    }
  }

  /** The active value, or that of a version that the file has. `not_found`, with the file's path. */
  async get(
    name: string,
    options: CallOptions & { readonly version?: number | undefined } = {},
  ): Promise<SecretValue> {
    const { active, versions } = this.#held(name);
    const version = options.version || active.version;
    const value = version === active.version ? active.value : versions.get(version);
    if (!value) throw this.#notFound(`version ${version} of ${JSON.stringify(name)}`);
    return { value: SecretBytes.copyOf(value), version };
  }

  /** The active value, unless it is that of `knownVersion`. */
  async getIfChanged(name: string, knownVersion: number): Promise<SecretValue | undefined> {
    return this.#held(name).active.version === knownVersion ? undefined : this.get(name);
  }

  /** The versions that the file has: of a cache, those that the program had asked for. */
  async info(name: string): Promise<SecretInfo> {
    const { active, versions } = this.#held(name);
    const numbers = [...new Set([active.version, ...versions.keys()])];
    return { name, versions: numbers.sort((a, b) => a - b), activeVersion: active.version };
  }

  #held(name: string) {
    const { secret: active, versions = new Map() } = this.#secrets.get(name) ?? {};
    if (!active) throw this.#notFound(JSON.stringify(name));
    return { active, versions };
  }

  #notFound(what: string): CofferClientError {
    return new CofferClientError('not_found', `${what} is not in ${this.#path}`);
  }
}
