/**
 * Lets so many begin in one turn of the event loop; who comes later begins in one of the next, in the order of their coming.
 * NATS hands over whole batches in one turn, during which nobody else is served.
 */
export class Turns {
  readonly #each: number;
  readonly #waiting: (() => void)[] = [];
  #left: number;
  #counting = false;

  constructor(each: number) {
    this.#each = each;
    this.#left = each;
  }

  /** Undefined: at once. */
  next(): Promise<void> | undefined {
    this.#count();
    if (this.#left > 0 && this.#waiting.length === 0) {
      this.#left--;
      return undefined;
    }
    return new Promise((resolve) => void this.#waiting.push(resolve));
  }

  #count(): void {
    if (this.#counting) return;
    this.#counting = true;
    setImmediate(() => {
      this.#counting = false;
      const next = this.#waiting.splice(0, this.#each);
      this.#left = this.#each - next.length;
      if (next.length > 0) this.#count();
      for (const begin of next) begin();
    });
  }
}
