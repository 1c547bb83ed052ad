import { SecretBytes } from '../secret/secret-bytes.js';
import type { CallOptions } from '../types.js';
import type { Core } from './core.js';

/**
 * A secret whose versions are asked for and made by number, for programs that agree on numbers, such as days. What was asked for once
 * is held until the server has it no more; it is cached along with the secret's active value, so only where the store holds that: of a
 * secret that is declared, looked up, made here or has a keyring. Made by {@link Store.versioned}.
 */
export class VersionedSecret {
  /** The secret's name. */
  readonly name: string;
  readonly #core: Core;

  private constructor(core: Core, name: string) {
    core.hold(name);
    this.#core = core;
    this.name = name;
  }

  /** @internal */
  static of(core: Core, name: string): VersionedSecret {
    return new VersionedSecret(core, name);
  }

  /**
   * The value of a version: a copy, yours to wipe.
   *
   * @throws CofferClientError `not_found` if there is no such version; `closed`, and what the client's `get` fails with
   */
  async get(version: number, options?: CallOptions): Promise<SecretBytes> {
    const { getVersion } = await import('./numbered.js');
    return getVersion(this.#core, this.name, version, options);
  }

  /**
   * Makes a version of a number that was never used, and activates it: handles give it when this resolves, or what was activated since.
   * The bytes stay yours.
   *
   * @throws CofferClientError `invalid_version`; `version_taken`; `unsupported` if the store's client makes no versions; `closed`
   */
  async create(version: number, value: Uint8Array, options?: CallOptions): Promise<void> {
    // The caller may wipe his own.
    const copy = SecretBytes.copyOf(value);
    const { createVersion } = await import('./numbered.js');
    await createVersion(this.#core, this.name, version, copy, options);
  }
}
