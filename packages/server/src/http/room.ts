/** Memory that is handed out up to a limit, in bytes. */
export class Room {
  readonly #limit: number;
  #taken = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get empty(): boolean {
    return this.#taken === 0;
  }

  /** False, and nothing is taken, where that would be too much. Alone, even what is larger than the limit finds room. */
  take(bytes: number): boolean {
    if (this.#taken > 0 && this.#taken + bytes > this.#limit) return false;
    this.#taken += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#taken -= bytes;
  }
}
