import { asBuffer } from '../../bytes.js';

/** How many of the highest records are remembered. */
const NEWEST = 32;

/** The keys of the highest records, the newest first: what goes into one transaction, and is kept if that is. */
export class Newest {
  #found: { key: string; revision: number }[];

  /** @param found the newest first */
  constructor(found: readonly { readonly key: Uint8Array; readonly revision: number }[] = []) {
    this.#found = found.map(({ key, revision }) => ({ key: textOf(key), revision }));
  }

  copy(): Newest {
    const copy = new Newest();
    copy.#found = [...this.#found];
    return copy;
  }

  add(key: Uint8Array, revision: number): void {
    this.remove(key);
    const at = this.#found.findIndex((other) => other.revision < revision);
    this.#found.splice(at < 0 ? this.#found.length : at, 0, { key: textOf(key), revision });
    if (this.#found.length > NEWEST) this.#found.pop();
  }

  remove(key: Uint8Array): void {
    const text = textOf(key);
    const at = this.#found.findIndex((other) => other.key === text);
    if (at >= 0) this.#found.splice(at, 1);
  }

  keys(): Uint8Array[] {
    return this.#found.map(({ key }) => Buffer.from(key, 'latin1'));
  }
}

/** Which chunks are there whose record has not come, so that it need not be looked for them with each record. */
export class Parts {
  /** By key: the revision of each chunk, by its index. */
  #found = new Map<string, ReadonlyMap<number, number>>();

  copy(): Parts {
    const copy = new Parts();
    copy.#found = new Map(this.#found);
    return copy;
  }

  add({ key, index, revision }: { key: Uint8Array; index: number; revision: number }): void {
    const text = textOf(key);
    this.#found.set(text, new Map(this.#found.get(text)).set(index, revision));
  }

  /** Indexes of those that came before the record; later ones are of the next. */
  take(key: Uint8Array, before: number): number[] {
    const text = textOf(key);
    const all = this.#found.get(text);
    if (!all) return [];
    const later = new Map([...all].filter(([, revision]) => revision > before));
    if (later.size > 0) this.#found.set(text, later);
    else this.#found.delete(text);
    return [...all.keys()].filter((index) => !later.has(index));
  }
}

const textOf = (key: Uint8Array): string => asBuffer(key).toString('latin1');
