import type { LoginPlace } from './reference.js';

/** Of the entities that have logged in, the ones that did it last; of each, the places where it did it last. */
const BOUNDS = { owners: 1_000, ofOne: 10 };

/**
 * Where anybody has logged in, as far as that is remembered. What an entity asks for pushes out no place but its own: the
 * namespaces and auth methods that it names are whatever its host writes.
 */
export class Places {
  readonly #bounds: typeof BOUNDS;
  readonly #standing: readonly LoginPlace[];
  readonly #owners = new Map<string, Map<string, LoginPlace>>();
  #hasForgotten = false;

  /** @param standing places that are never forgotten */
  constructor(standing: readonly LoginPlace[], bounds = BOUNDS) {
    this.#standing = standing;
    this.#bounds = bounds;
  }

  /** Some places are remembered no more. */
  get hasForgotten(): boolean {
    return this.#hasForgotten;
  }

  add(owner: string, place: LoginPlace): void {
    const places = this.#owners.get(owner) ?? new Map<string, LoginPlace>();
    this.#keepLast(places, keyOf(place), place, this.#bounds.ofOne);
    this.#keepLast(this.#owners, owner, places, this.#bounds.owners);
  }

  /** Each once. */
  all(): readonly LoginPlace[] {
    const remembered = [...this.#owners.values()].flatMap((places) => [...places.values()]);
    return [...new Map([...this.#standing, ...remembered].map((place) => [keyOf(place), place])).values()];
  }

  #keepLast<T>(map: Map<string, T>, key: string, value: T, most: number): void {
    map.delete(key);
    map.set(key, value);
    const [oldest] = map.keys();
    if (oldest === undefined || map.size <= most) return;
    map.delete(oldest);
    this.#hasForgotten = true;
  }
}

const keyOf = ({ namespace, authPath }: LoginPlace): string => JSON.stringify([namespace, authPath]);
