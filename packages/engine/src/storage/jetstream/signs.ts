/**
 * When something was heard that says that the stream can be reached, beside the own beats that come back: those are not sent before it is
 * read, and do not come before what lies before them.
 */
export class SignsOfLife {
  #at = Number.NEGATIVE_INFINITY;
  #atWork = 0;

  heard(): void {
    this.#at = performance.now();
  }

  /** What came is worked on, as long as that may take, and nothing is waited for. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#atWork++;
    try {
      return await work();
    } finally {
      this.#atWork--;
      this.heard();
    }
  }

  /** Milliseconds since then. */
  age(): number {
    return this.#atWork > 0 ? 0 : performance.now() - this.#at;
  }
}
