import type { SecretInfo } from '@coffer/client';
import { Failure } from '../../failure.js';
import { SourceGone, someAtOnce } from '../attempts.js';
import type { LeftOut, Outcome } from '../outcome.js';
import { jsonAt, keysIn, textOf } from './json-at.js';
import type { VaultKv, VaultSecrets, Versions } from './kv.js';

/**
 * Each entry of a secret of Vault's as a secret of its own, called PATH/ENTRY: of a string its text, of anything else its JSON. Its
 * versions are those of the whole that have the entry, by their numbers.
 */
export class VaultEntries implements VaultSecrets {
  readonly #kv: VaultKv;
  readonly #places = new Map<string, Place>();

  constructor(kv: VaultKv) {
    this.#kv = kv;
  }

  async versions(paths: readonly string[]): Promise<Versions> {
    const whole = await this.#kv.versions(paths);
    const read = await someAtOnce(whole.secrets, (secret) =>
      this.#attempt(secret.name, () => this.#versionsByKey(secret)),
    );
    const secrets: SecretInfo[] = [];
    const leftOut: LeftOut[] = [...whole.leftOut];
    const failed: Outcome[] = [...whole.failed, ...read.flatMap(({ failed = [] }) => failed)];
    for (const { secret, byKey } of read.flatMap(({ result = [] }) => result)) {
      for (const [key, versions] of byKey) {
        const name = `${secret.name}/${key}`;
        if (!versions.includes(secret.activeVersion)) {
          leftOut.push({ name, detail: 'the current version has no such entry there' });
        } else if (this.#place(name, { path: secret.name, key }, failed)) {
          secrets.push({ name, versions, activeVersion: secret.activeVersion });
        }
      }
    }
    return { secrets, leftOut, failed };
  }

  async names(paths: readonly string[]) {
    const read = await someAtOnce(paths, (path) =>
      this.#attempt(path, async () => {
        const value = await this.#kv.value(path);
        const keys = keysIn(value) ?? [];
        value.fill(0);
        return { path, keys };
      }),
    );
    const failed: Outcome[] = read.flatMap((each) => each.failed ?? []);
    const names = read
      .flatMap(({ result = [] }) => result)
      .flatMap(({ path, keys }) =>
        keys
          .map((key) => `${path}/${key}`)
          .filter((name, at) => {
            return this.#place(name, { path, key: keys[at] as string }, failed);
          }),
      );
    return { names, failed };
  }

  async value(name: string): Promise<Uint8Array> {
    const { path, key } = this.#placeOf(name);
    return entryOf(await this.#kv.value(path), key);
  }

  async values(name: string, versions: readonly number[]): Promise<readonly Uint8Array[]> {
    const { path, key } = this.#placeOf(name);
    const whole = await this.#kv.values(path, versions);
    const entries: Uint8Array[] = [];
    try {
      for (const value of whole) entries.push(entryOf(value, key));
      return entries;
    } catch (error) {
      for (const entry of entries) entry.fill(0);
      throw error;
    } finally {
      for (const value of whole) value.fill(0);
    }
  }

  async #versionsByKey(secret: SecretInfo) {
    const byKey = new Map<string, number[]>();
    for (const version of secret.versions) {
      const [value = new Uint8Array()] = await this.#kv.values(secret.name, [version]);
      for (const key of keysIn(value) ?? []) byKey.set(key, [...(byKey.get(key) ?? []), version]);
      value.fill(0);
    }
    return { secret, byKey: [...byKey].sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))) };
  }

  /** What fails for one secret alone is an outcome. */
  async #attempt<T>(name: string, task: () => Promise<T>): Promise<{ result?: T; failed?: Outcome }> {
    try {
      return { result: await task() };
    } catch (error) {
      if (!(error instanceof Failure) || error instanceof SourceGone) throw error;
      return { failed: { name, outcome: 'failed', detail: error.message } };
    }
  }

  /** False: another one is called so, as `a/b` of `x` and `b` of `x/a` are. */
  #place(name: string, place: Place, failed: Outcome[]): boolean {
    const before = this.#places.get(name);
    if (before === undefined) this.#places.set(name, place);
    else {
      const detail = `entries of ${before.path} and of ${place.path} would both be called so: the first is copied`;
      failed.push({ name, outcome: 'failed', detail });
    }
    return before === undefined;
  }

  #placeOf(name: string): Place {
    const place = this.#places.get(name);
    if (place === undefined) throw new Error('this was not listed');
    return place;
  }
}

interface Place {
  readonly path: string;
  readonly key: string;
}

/** Wipes the whole. */
function entryOf(whole: Uint8Array, key: string): Uint8Array {
  const json = jsonAt(whole, [key]);
  whole.fill(0);
  if (json === undefined) throw new Failure('the entry is no more there');
  const text = textOf(json);
  json.fill(0);
  return text;
}
