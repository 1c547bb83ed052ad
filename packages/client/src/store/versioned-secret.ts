import { CofferClientError } from '../errors.js';
import { SecretBytes } from '../secret/secret-bytes.js';
import type { CallOptions } from '../types.js';
import type { Core } from './core.js';
import type { Held } from './held.js';
import { awaited, heeding } from './waiting.js';

/**
 * A secret whose versions are asked for and made by number, for programs that agree on numbers, such as days. What was asked for once
 * is held, and cached, until the server has it no more. Made by {@link Store.versioned}.
 */
export class VersionedSecret {
  /** The secret's name. */
  readonly name: string;
  readonly #core: Core;

  /** Programs have it from {@link Store.versioned}. */
  constructor(core: Core, name: string) {
    core.hold(name);
    this.#core = core;
    this.name = name;
  }

  /**
   * The value of a version: a copy, yours to wipe.
   *
   * @throws CofferClientError `not_found` if there is no such version; `closed`, and what the client's `get` fails with
   */
  async get(version: number, options: CallOptions = {}): Promise<SecretBytes> {
    options.signal?.throwIfAborted();
    if (!(version > 0)) throw new CofferClientError('invalid_version', 'versions have numbers above 0');
    const held = this.#core.hold(this.name);
    this.#core.holdings.touch(held);
    const value = held.versions.get(version);
    if (value) return SecretBytes.copyOf(value);
    await heeding(this.#load(held, version), options.signal);
    return this.get(version, options);
  }

  /**
   * Makes a version of a number that was never used, and activates it: handles give it when this resolves. The bytes stay yours.
   *
   * @throws CofferClientError `invalid_version`; `version_taken`; `unsupported` if the store's client makes no versions; `closed`
   */
  async create(version: number, value: Uint8Array, options?: CallOptions): Promise<void> {
    const core = this.#core;
    const { client } = core;
    const copy = SecretBytes.copyOf(value);
    await core.calls.run(async (signal) => {
      if (!client.createVersion)
        throw new CofferClientError('unsupported', 'the client of the store makes no versions');
      await client.createVersion(this.name, version, copy, { signal });
    }, options?.signal);
    const held = core.hold(this.name);
    held.wanted = true;
    held.keep(version, copy);
    core.holdings.changed = true;
    await awaited(core.pull([this.name]));
  }

  /** Fetches it, once for all who ask meanwhile. */
  #load(held: Held, version: number): Promise<void> {
    const { loading } = held;
    const load = loading.get(version) ?? this.#fetch(version).finally(() => loading.delete(version));
    loading.set(version, load);
    return load;
  }

  async #fetch(version: number): Promise<void> {
    const core = this.#core;
    const { value } = await core.calls.run((signal) => core.client.get(this.name, { version, signal }));
    core.hold(this.name).keep(version, value);
    core.holdings.changed = true;
    await core.flush();
  }
}
