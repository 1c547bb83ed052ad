import { SecretBytes } from '../secret/secret-bytes.js';
import type { CallOptions } from '../types.js';
import type { Core } from './core.js';
import type { Held } from './held.js';
import { failed, SETTLED } from './rounds.js';
import { heeding, storeClosed } from './waiting.js';

/** One version of a secret. The value is a copy, yours to wipe. */
export interface KeyringVersion {
  readonly version: number;
  readonly value: SecretBytes;
}

/**
 * All versions of a secret, and which is active, as they are whenever they are asked for: sign or encrypt with the active one, verify or
 * decrypt with any. A version that is deleted is gone from here, too. Made by {@link Store.keyring}.
 *
 * ```ts
 * const keys = await store.keyring('prod/session-key');
 * const { version, value } = keys.active;
 * const valid = keys.all().some(({ value }) => verify(token, value));
 * ```
 */
export class Keyring {
  readonly #core: Core;
  readonly #held: Held;

  private constructor(core: Core, held: Held) {
    this.#core = core;
    this.#held = held;
  }

  /** @internal */
  static of(core: Core, held: Held): Keyring {
    return new Keyring(core, held);
  }

  /** The version that is active now. */
  get active(): KeyringVersion {
    const { secret } = this.#current;
    return { version: secret.version, value: SecretBytes.copyOf(secret.value) };
  }

  /** The numbers of all versions, ascending. */
  get versions(): readonly number[] {
    const { secret, versions } = this.#current;
    return [...new Set([secret.version, ...versions.keys()])].sort((a, b) => a - b);
  }

  /** The value of a version: a copy, yours to wipe; undefined if there is no such version. */
  get(version: number): SecretBytes | undefined {
    const { secret, versions } = this.#current;
    const value = version === secret.version ? secret.value : versions.get(version);
    return value && SecretBytes.copyOf(value);
  }

  /** All versions: the active one first, then the newest first. */
  all(): KeyringVersion[] {
    const { active } = this;
    const others = this.versions.filter((number) => number !== active.version).reverse();
    return [active, ...others.map((version) => ({ version, value: this.get(version) as SecretBytes }))];
  }

  get #current() {
    const { secret, versions } = this.#held;
    if (!secret) throw storeClosed();
    this.#core.holdings.touch(this.#held);
    return { secret, versions };
  }
}

/** @internal */
export async function openKeyring(core: Core, name: string, { signal }: CallOptions = {}): Promise<Keyring> {
  signal?.throwIfAborted();
  const held = core.hold(name);
  held.wanted = true;
  held.keyrings++;
  try {
    const error = failed(await heeding(core.fetch([name]), signal), name);
    // An earlier run of the program left it in the cache.
    const known = held.secret && held.versions.has(held.secret.version);
    if (error && (!known || SETTLED.has(error.code))) throw error;
    if (error) void core.pull([name]);
    else await core.flush();
    return Keyring.of(core, held);
  } catch (error) {
    held.keyrings--;
    // What is refused goes out of the cache.
    void core.flush();
    throw error;
  }
}
