import { setTimeout as pause } from 'node:timers/promises';
import { createKeyPair } from '@coffer/identity';
import { SecretsError } from '../protocol/errors.js';
import type { VaultApi } from './api.js';
import { askToLogIn } from './login.js';
import { nobodysToken } from './login-token.js';
import type { LoginPlace } from './reference.js';
import { wordsOf } from './words.js';

/** Of the places where one has logged in, the ones used last. */
const PLACES = 100;
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
  readonly #places = new Map<string, LoginPlace>();
  #ending = new AbortController();

  /** @param first places where one may log in */
  constructor(api: VaultApi, options: ForgetOptions, first: readonly LoginPlace[] = []) {
    this.#api = api;
    this.#options = options;
    for (const place of first) this.loggedIn(place);
  }

  /** Somebody has logged in there. */
  loggedIn(place: LoginPlace): void {
    const key = JSON.stringify([place.namespace, place.authPath]);
    this.#places.delete(key);
    this.#places.set(key, place);
    const [oldest] = this.#places.keys();
    if (oldest !== undefined && this.#places.size > PLACES) this.#places.delete(oldest);
  }

  /** A key is lost: Vault is to forget it. What was begun for another one begins anew. */
  begin(): void {
    this.close();
    this.#ending = new AbortController();
    void this.#all(this.#ending.signal).catch(() => {});
  }

  close(): void {
    this.#ending.abort();
  }

  async #all(signal: AbortSignal): Promise<void> {
    const begun = performance.now();
    const times = this.#options.afterMs ?? AFTER_MS;
    let left = [...this.#places.values()];
    let failures = new Map<LoginPlace, string>();
    for (const [round, after] of times.entries()) {
      await pause(Math.max(0, begun + after - performance.now()), undefined, { signal, ref: false });
      if (round > 0 && round === times.length - 1) left = [...failures.keys()];
      failures = new Map();
      await Promise.all(
        left.map(async (place) => {
          const failure = await this.#at(place, signal);
          if (failure !== undefined) failures.set(place, failure);
        }),
      );
    }
    for (const [{ authPath, namespace }, failure] of failures) {
      const where = `auth/${authPath}${namespace === undefined ? '' : ` in the namespace ${namespace}`}`;
      this.#options.onNotice(
        `Vault may still take what a retired key signs at ${where}: it could not be made to read the keys anew (${failure}). ` +
          'Write the configuration of this auth method again.',
      );
    }
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
      return LOOKED.test(words) && !FETCHING.test(words) ? undefined : words || String(status);
    } catch (error) {
      if (error instanceof SecretsError) return error.text;
      throw error;
    }
  }
}

/** In Vault's words: it has the keys, and none of them is ours; or it could not get them. */
const LOOKED = /no known key|signature/i;
const FETCHING = /fetching keys/i;
