/** What many want at the same time is done once, and all have what came of it, its error too. */
export class Flights<T> {
  readonly #under = new Map<string, Promise<T>>();

  run(key: string, begin: () => Promise<T>): Promise<T> {
    const under = this.#under.get(key);
    if (under !== undefined) return under;
    const begun = begin().finally(() => this.#under.delete(key));
    this.#under.set(key, begun);
    return begun;
  }

  /** When all that is under way now has come to its end, whatever that is. */
  async landed(): Promise<void> {
    await Promise.allSettled(this.#under.values());
  }
}
