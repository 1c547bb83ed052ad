import type { SecretInfo } from '@coffer/client';
import { membersIn, textOf } from '@coffer/wasmcloud/vault';
import { Failure } from '../../failure.js';
import { SourceGone, someAtOnce } from '../attempts.js';
import type { LeftOut, Outcome } from '../outcome.js';
import type { VaultKv, VaultSecrets, Versions } from './kv.js';
import { Wholes } from './wholes.js';

/**
 * Each entry of a secret of Vault's as a secret of its own, called PATH/ENTRY: of a string its text, of anything else its JSON. Its
 * versions are those of the whole that have the entry, by their numbers. Disposed of, it keeps none of what it has read.
 */
export class VaultEntries implements VaultSecrets, Disposable {
  readonly #kv: VaultKv;
  readonly #wholes = new Wholes();
  readonly #places = new Map<string, Place>();

  constructor(kv: VaultKv) {
    this.#kv = kv;
  }

  [Symbol.dispose](): void {
    this.#wholes[Symbol.dispose]();
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
        const keys = [...(membersIn(value)?.keys() ?? [])];
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
    return this.#wholes.use(
      path,
      () => this.#kv.value(path),
      (members) => entryOf(members, key),
    );
  }

  async values(name: string, versions: readonly number[]): Promise<readonly Uint8Array[]> {
    const { path, key } = this.#placeOf(name);
    const entries: Uint8Array[] = [];
    try {
      for (const version of versions) {
        const read = async () => (await this.#kv.values(path, [version]))[0] as Uint8Array;
        entries.push(await this.#wholes.use(`${version} ${path}`, read, (members) => entryOf(members, key)));
      }
      return entries;
    } catch (error) {
      for (const entry of entries) entry.fill(0);
      throw error;
    }
  }

  async #versionsByKey(secret: SecretInfo) {
    const byKey = new Map<string, number[]>();
    for (const version of secret.versions) {
      const [value = new Uint8Array()] = await this.#kv.values(secret.name, [version]);
      for (const key of membersIn(value)?.keys() ?? []) byKey.set(key, [...(byKey.get(key) ?? []), version]);
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

/** A copy, for the receiver to wipe. */
function entryOf(members: ReadonlyMap<string, Uint8Array>, key: string): Uint8Array {
  const json = members.get(key);
  if (json === undefined) throw new Failure('the entry is no more there');
  return textOf(json);
}
