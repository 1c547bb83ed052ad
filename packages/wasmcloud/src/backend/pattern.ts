/** A `*` stands for any run of characters, as in grants; everything else for itself. */
export class Pattern {
  readonly #head: string;
  /** Between two stars. */
  readonly #middle: readonly string[];
  /** Undefined if there is no `*`: then the head is all. */
  readonly #tail: string | undefined;

  constructor(text: string) {
    const [head = '', ...rest] = text.split(/\*+/);
    this.#head = head;
    this.#tail = rest.pop();
    this.#middle = rest;
  }

  get isLiteral(): boolean {
    return this.#tail === undefined;
  }

  matches(text: string): boolean {
    const tail = this.#tail;
    if (tail === undefined) return text === this.#head;
    const end = text.length - tail.length;
    if (end < this.#head.length || !text.startsWith(this.#head) || !text.endsWith(tail)) return false;
    let at = this.#head.length;
    for (const part of this.#middle) {
      const found = text.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  }
}
