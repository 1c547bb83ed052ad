import { setTimeout as pause } from 'node:timers/promises';
import { createKeyPair } from '@coffer/identity';
import { SecretsError } from '../protocol/errors.js';
import type { VaultApi } from './api.js';
import { askToLogIn } from './login.js';
import { nobodysToken } from './login-token.js';
import type { Places } from './places.js';
import type { LoginPlace } from './reference.js';
import { wordsOf } from './words.js';

/** So many are done at the same time. */
const AT_ONCE = 32;
/**
 * At once; then when every instance shows the keys without the one that is lost, of which Vault may ask any; and a last time, a
 * while later, where it failed.
 */
const AFTER_MS = [0, 12_000, 60_000];

export interface ForgetOptions {
  readonly audience: string;
  readonly timeoutMs: number;
  readonly onNotice: (sentence: string) => void;
  readonly afterMs?: readonly number[];
}

/**
 * Has Vault forget keys. Its JWT auth method keeps the keys that it has read, and reads them anew when it is shown a token by one
 * that it does not know: so it is shown one, by a key that is thrown away, at each place where anybody has logged in here. Such a
 * log-in is refused.
 */
export class Forgetting {
  readonly #api: VaultApi;
  readonly #options: ForgetOptions;
  readonly #places: Places;
  #ending = new AbortController();
  #rounds = 0;

  /** @param places where anybody has logged in */
  constructor(api: VaultApi, options: ForgetOptions, places: Places) {
    this.#api = api;
    this.#options = options;
    this.#places = places;
  }

  /** A key is lost: Vault is to forget it. What was begun for another one begins anew. */
  begin(): void {
    this.#ending.abort();
    this.#ending = new AbortController();
    this.#rounds++;
    void this.#all(this.#ending.signal)
      .catch(() => {})
      .finally(() => void this.#rounds--);
  }

  close(): void {
    this.#ending.abort();
    if (this.#rounds === 0) return;
    this.#options.onNotice(
      'Vault may still take what a retired key signs: this server ends before it has had all read the keys anew. Write the configuration of ' +
        'the auth methods again, unless another instance does it.',
    );
  }

  async #all(signal: AbortSignal): Promise<void> {
    const begun = performance.now();
    const times = this.#options.afterMs ?? AFTER_MS;
    const places = this.#places.all();
    let left = places;
    if (left.length === 0) {
      this.#options.onNotice(
        'Vault may still take what a retired key signs: nobody has logged in since the start, so that it is not known where. Write the ' +
          'configuration of the auth methods again.',
      );
      return;
    }
    let failures = new Map<LoginPlace, string>();
    for (const [round, after] of times.entries()) {
      await pause(Math.max(0, begun + after - performance.now()), undefined, { signal, ref: false });
      if (round > 0 && round === times.length - 1) left = [...failures.keys()];
      failures = new Map();
      for (let at = 0; at < left.length; at += AT_ONCE) {
        await Promise.all(
          left.slice(at, at + AT_ONCE).map(async (place) => {
            const failure = await this.#at(place, signal);
            if (failure !== undefined) failures.set(place, failure);
          }),
        );
      }
      if (round > 0 && failures.size === 0) break;
    }
    const done = places.filter((place) => !failures.has(place)).map(({ authPath }) => `auth/${authPath}`);
    if (done.length > 0) {
      this.#options.onNotice(
        `Vault has read the keys anew at ${[...new Set(done)].slice(0, 10).join(', ')}${done.length > 10 ? ', …' : ''}: it takes nothing ` +
          'there that a retired key signs.',
      );
    }
    for (const [{ authPath, namespace }, failure] of failures) {
      const where = `auth/${authPath}${namespace === undefined ? '' : ` in the namespace ${namespace}`}`;
      this.#options.onNotice(
        `Vault may still take what a retired key signs at ${where}: it could not be made to read the keys anew (${failure}). ` +
          'Write the configuration of this auth method again, without that key where keys themselves stand in it.',
      );
    }
    if (!this.#places.hasForgotten) return;
    this.#options.onNotice(
      'Vault may still take what a retired key signs: there were log-ins at more auth methods and namespaces than are remembered here. ' +
        'Write the configuration of the auth methods again.',
    );
  }

  /** Undefined: Vault has read the keys, and looked in them for ours. */
  async #at(place: LoginPlace, signal: AbortSignal): Promise<string | undefined> {
    using key = createKeyPair('server');
    const { audience, timeoutMs } = this.#options;
    const jwt = nobodysToken(audience, key, new Date());
    try {
      const patience = { until: performance.now() + timeoutMs, signal };
      const { status, body } = await askToLogIn(this.#api, place, jwt, patience);
      const words = wordsOf(body);
      body.fill(0);
      return LOOKED.test(words) ? undefined : words || String(status);
    } catch (error) {
      if (error instanceof SecretsError) return error.text;
      throw error;
    }
  }
}

/**
 * In the words of Vault's library for JWKS (go-oidc): it has read the keys anew, and none of them is ours. Where the keys themselves
 * stand in the configuration it has other words, and forgets none.
 */
const LOOKED = /failed to verify id token signature/i;
