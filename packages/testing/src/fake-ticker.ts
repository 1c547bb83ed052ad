/** A ticker that ticks when it is told to, for the option `ticker` of a `Store`. */
export class FakeTicker {
  readonly #polls = new Set<() => Promise<void>>();

  /** What the store calls. */
  start(poll: () => Promise<void>): () => void {
    this.#polls.add(poll);
    return () => this.#polls.delete(poll);
  }

  /** Lets every store that has it poll, and waits until they have. */
  async tick(): Promise<void> {
    await Promise.all([...this.#polls].map((poll) => poll()));
  }
}
