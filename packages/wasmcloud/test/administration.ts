import { canary } from '../../../test/support/canary.mjs';
import type { Asker, BackendOperations, Mapping, Secret, SecretQuery } from '../src/index.js';

/** Administration in memory, which notes what it is asked, and refuses when it is told to. */
export class Administration implements BackendOperations {
  readonly puts: { readonly key: string; readonly kind: string; readonly value: string }[] = [];
  readonly askers: Asker[] = [];
  refuse: Error | undefined;
  readonly #mappings = new Map<string, Set<string>>();

  async putSecret({ key, kind, value }: Omit<Secret, 'version'> & { readonly key: string }, asker: Asker) {
    this.#hear(asker);
    const text = Buffer.from(value).toString(kind === 'string' ? 'utf8' : 'latin1');
    return this.puts.push({ key, kind, value: text });
  }

  async addMapping(entity: string, names: readonly string[], asker: Asker): Promise<void> {
    this.#hear(asker);
    const of = this.#mappings.get(entity) ?? new Set();
    this.#mappings.set(entity, of);
    for (const name of names) of.add(name);
  }

  async removeMapping(entity: string, names: readonly string[], asker: Asker): Promise<void> {
    this.#hear(asker);
    for (const name of names) this.#mappings.get(entity)?.delete(name);
  }

  async listMappings(entity: string | undefined, asker: Asker): Promise<readonly Mapping[]> {
    this.#hear(asker);
    return this.all().filter((mapping) => entity === undefined || entity === mapping.entity);
  }

  async getSecret({ key, version, field }: SecretQuery, asker: Asker): Promise<Secret> {
    this.#hear(asker);
    const value = Buffer.from(canary(field === undefined ? key : `${key}.${field}`));
    return { version: version ?? '1', kind: 'string', value };
  }

  all(): Mapping[] {
    return [...this.#mappings].map(([entity, names]) => ({ entity, names: [...names].sort() }));
  }

  #hear(asker: Asker): void {
    this.askers.push(asker);
    if (this.refuse) throw this.refuse;
  }
}
