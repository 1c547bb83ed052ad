import type { SecretInfo } from '@coffer/client';
import { jsonAt } from '@coffer/wasmcloud/vault';
import { Failure } from '../../failure.js';
import { quote } from '../../quote.js';
import { SourceGone, someAtOnce } from '../attempts.js';
import type { Source } from '../copy.js';
import type { LeftOut, Outcome } from '../outcome.js';
import { encodePath, parse, type VaultApi, wordsOf } from './api.js';

/** What of a mount is copied, by names that are paths there, or begin so. */
export interface VaultSecrets extends Source {
  /** Of version 2: which versions there are of what these paths hold. */
  versions(paths: readonly string[]): Promise<Versions>;
  /** Of version 1: what these paths hold. */
  names(
    paths: readonly string[],
  ): Promise<{ readonly names: readonly string[]; readonly failed: readonly Outcome[] }>;
  /** Of version 1: the value that there is, for the receiver to wipe. Rejects with a Failure if it cannot be had. */
  value(name: string): Promise<Uint8Array>;
}

/** What a mount of Vault's holds. */
export interface Listing {
  /** Of version 1 without numbers. */
  readonly paths: readonly string[];
  /** Folders that cannot be listed. */
  readonly failed: readonly Outcome[];
}

/** What version 2 knows of the secrets. */
export interface Versions {
  readonly secrets: readonly SecretInfo[];
  readonly leftOut: readonly LeftOut[];
  readonly failed: readonly Outcome[];
}

/**
 * A mount of Vault's secrets engine KV. A secret is its whole data, as a JSON object.
 *
 * Source of the format: Vault's HTTP API, secrets engines KV version 1 and 2.
 */
export class VaultKv implements VaultSecrets {
  readonly version: 1 | 2;
  readonly #api: VaultApi;
  readonly #mount: string;

  /** @param mount as its path stands in Vault, without slashes at its ends */
  private constructor(api: VaultApi, mount: string, version: 1 | 2) {
    this.#api = api;
    this.#mount = encodePath(mount);
    this.version = version;
  }

  /** Asks what is mounted there. @throws Failure */
  static async open(api: VaultApi, mount: string): Promise<VaultKv> {
    const { status, body } = await api.get(`sys/internal/ui/mounts/${encodePath(mount)}`);
    if (status !== 200) {
      throw new Failure(
        `Vault shows this token no mount ${quote(mount)} (${wordsOf(body)}): check --mount, --from-namespace and the token`,
      );
    }
    const { data } = parse(body) as { data?: { path?: unknown; type?: unknown; options?: unknown } };
    const path = String(data?.path).replace(/\/$/, '');
    if (path !== mount) {
      throw new Failure(
        `${quote(mount)} is a folder of the mount ${quote(path)}: say --mount ${quote(path)}, and --secrets for what is wanted of it`,
      );
    }
    if (data?.type !== 'kv' && data?.type !== 'generic') {
      throw new Failure(
        `the mount ${quote(mount)} holds no KV secrets, but is of the type ${quote(String(data?.type))}`,
      );
    }
    const { version } = (data.options ?? {}) as { version?: unknown };
    return new VaultKv(api, mount, version === '2' ? 2 : 1);
  }

  /** The paths of all secrets, those in folders too, in the order of their bytes. @throws Failure if the mount itself cannot be listed */
  async list(): Promise<Listing> {
    const paths: string[] = [];
    const failed: Outcome[] = [];
    for (let folders = ['']; folders.length > 0; ) {
      const listed = await someAtOnce(folders, async (folder) => ({
        folder,
        ...(await this.#children(folder)),
      }));
      const next: string[] = [];
      for (const { folder, keys, problem } of listed) {
        if (problem !== undefined && folder === '') throw new Failure(`cannot list the mount: ${problem}`);
        if (problem !== undefined) failed.push({ name: folder, outcome: 'failed', detail: problem });
        for (const key of keys) (key.endsWith('/') ? next : paths).push(folder + key);
      }
      folders = next;
    }
    return { paths: paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))), failed };
  }

  /** The current version is the active one, as it is what is read there. */
  async versions(paths: readonly string[]): Promise<Versions> {
    const looked = await someAtOnce(paths, (path) => this.#look(path));
    return {
      secrets: looked.flatMap(({ info }) => info ?? []),
      leftOut: looked.flatMap(({ name, leftOut }) =>
        leftOut === undefined ? [] : { name, detail: leftOut },
      ),
      failed: looked.flatMap(({ name, problem }) =>
        problem === undefined ? [] : { name, outcome: 'failed', detail: problem },
      ),
    };
  }

  async values(path: string, versions: readonly number[]): Promise<readonly Uint8Array[]> {
    const values: Uint8Array[] = [];
    try {
      for (const version of versions) {
        const where = `${this.#mount}/data/${encodePath(path)}?version=${version}`;
        values.push(await this.#valueAt(where, ['data', 'data'], `version ${version} of ${quote(path)}`));
      }
      return values;
    } catch (error) {
      for (const value of values) value.fill(0);
      throw error;
    }
  }

  async names(paths: readonly string[]) {
    return { names: paths, failed: [] };
  }

  value(path: string): Promise<Uint8Array> {
    return this.#valueAt(`${this.#mount}/${encodePath(path)}`, ['data'], quote(path));
  }

  async #valueAt(where: string, keys: readonly string[], what: string): Promise<Uint8Array> {
    const { status, body } = await this.#api.get(where);
    try {
      if (status === 403) throw new Failure(`cannot read ${what}: ${wordsOf(body)}`);
      if (status === 404) throw new Failure(`${what} is no more there`);
      const value = jsonAt(body, keys);
      if (value?.[0] !== 0x7b)
        throw new SourceGone(`Vault gives an answer for ${what} that KV does not give`);
      return value;
    } finally {
      body.fill(0);
    }
  }

  async #children(folder: string): Promise<{ keys: readonly string[]; problem?: string }> {
    const beneath = this.version === 2 ? `${this.#mount}/metadata/` : `${this.#mount}/`;
    const { status, body } = await this.#api.get(`${beneath}${encodePath(folder)}?list=true`);
    if (status === 403) return { keys: [], problem: wordsOf(body) };
    // So it says that nothing is there.
    if (status === 404) return { keys: [] };
    const { keys } = (parse(body).data ?? {}) as { keys?: unknown };
    if (!Array.isArray(keys) || !keys.every((key) => typeof key === 'string' && key !== '')) {
      throw new SourceGone('Vault gives an answer to a list that KV does not give');
    }
    return { keys };
  }

  async #look(name: string): Promise<Looked> {
    const { status, body } = await this.#api.get(`${this.#mount}/metadata/${encodePath(name)}`);
    if (status === 403) return { name, problem: `cannot read its metadata: ${wordsOf(body)}` };
    if (status === 404) return { name, leftOut: 'it is no more there' };
    const { current_version: current, versions } = (parse(body).data ?? {}) as Record<string, unknown>;
    const all = Object.entries((versions ?? {}) as Record<string, VersionState>)
      .map(([number, state]) => ({ number: Number(number), gone: whyGone(state) }))
      .sort((a, b) => a.number - b.number);
    const newest = all.at(-1);
    if (newest === undefined || newest.number !== current)
      return { name, leftOut: 'it has no version there' };
    if (newest.gone !== undefined) {
      return { name, leftOut: `its current version, ${newest.number}, is ${newest.gone} there` };
    }
    const kept = all.filter(({ gone }) => gone === undefined).map(({ number }) => number);
    const gone = all.filter((each) => each.gone !== undefined);
    return {
      name,
      info: { name, versions: kept, activeVersion: newest.number },
      ...(gone.length > 0 && {
        leftOut: gone.map((each) => `version ${each.number} is ${each.gone} there`).join(', '),
      }),
    };
  }
}

interface Looked {
  readonly name: string;
  readonly info?: SecretInfo;
  readonly leftOut?: string;
  readonly problem?: string;
}

interface VersionState {
  readonly deletion_time?: unknown;
  readonly destroyed?: unknown;
}

/** A time to come is when the version will be deleted. */
function whyGone({ deletion_time: deleted, destroyed }: VersionState): 'deleted' | 'destroyed' | undefined {
  if (destroyed === true) return 'destroyed';
  return typeof deleted === 'string' && Date.parse(deleted) <= Date.now() ? 'deleted' : undefined;
}
