/** Takes the place of an {@link Updater} where the value never changes, as in tests. */
export class StaticUpdater<T> {
  readonly #value: T;

  /** Keeps the value. It stays yours to close. */
  constructor(value: T) {
    this.#value = value;
  }

  /** The value. */
  get(): T {
    return this.#value;
  }
}
