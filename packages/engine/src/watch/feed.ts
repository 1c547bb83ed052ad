import { randomBytes } from 'node:crypto';

/** How many changes a watcher may have missed and still go on where it was. */
const KEPT = 4_096;

/** A secret that changed. */
export interface Changed {
  readonly sequence: number;
  readonly name: string;
}

/**
 * The newest changes, in the order in which readers see them. It knows names, and not what became of them: who asks later looks
 * at the newest state, so that changes of one secret that pile up are one.
 *
 * It lives as long as the process. Its ids, `<incarnation>-<sequence>`, mean nothing to the next one.
 */
export class Feed {
  readonly #incarnation = randomBytes(16).toString('hex');
  /** The name of the change `n` is at `n % KEPT`; of a change of grants there is none. */
  readonly #names: (string | undefined)[] = [];
  /** The last change of each secret in the ring. */
  readonly #newest = new Map<string, number>();
  readonly #listeners = new Set<(name: string | undefined) => void>();
  #sequence = 0;
  #grantsChangedAt = 0;

  /** The newest change. */
  get sequence(): number {
    return this.#sequence;
  }

  id(sequence: number): string {
    return `${this.#incarnation}-${sequence}`;
  }

  secretChanged(name: string): void {
    this.#add(name);
    this.#newest.set(name, this.#sequence);
    this.#tell(name);
  }

  /** Who was away when they changed cannot know what it may see now. */
  grantsChanged(): void {
    this.#add(undefined);
    this.#grantsChangedAt = this.#sequence;
    this.#tell(undefined);
  }

  /** The change behind `sequence` whose secret has not changed again since; `lost` if that is too long ago to tell. */
  after(sequence: number): Changed | 'lost' | undefined {
    if (sequence < this.#sequence - KEPT) return 'lost';
    for (let next = sequence + 1; next <= this.#sequence; next++) {
      const name = this.#names[next % KEPT];
      if (name !== undefined && this.#newest.get(name) === next) return { sequence: next, name };
    }
    return undefined;
  }

  /** Where to go on after the change with this id; undefined if something else than changes may have been missed. */
  resume(id: string): number | undefined {
    const [, incarnation, number] = /^([0-9a-f]+)-(\d{1,15})$/.exec(id) ?? [];
    const sequence = Number(number);
    if (incarnation !== this.#incarnation || sequence > this.#sequence) return undefined;
    return sequence >= this.#grantsChangedAt && this.after(sequence) !== 'lost' ? sequence : undefined;
  }

  /**
   * Calls `listener` with the name of each secret that changes from now on, and with none when grants do.
   *
   * @returns a function that ends it
   */
  subscribe(listener: (name: string | undefined) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #add(name: string | undefined): void {
    const place = ++this.#sequence % KEPT;
    const leaving = this.#names[place];
    if (leaving !== undefined && this.#newest.get(leaving) === this.#sequence - KEPT)
      this.#newest.delete(leaving);
    this.#names[place] = name;
  }

  #tell(name: string | undefined): void {
    for (const listener of this.#listeners) listener(name);
  }
}
