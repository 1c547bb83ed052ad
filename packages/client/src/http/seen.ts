const POSITION = /^(\d{1,15})-(\d{1,15})$/;

/**
 * How far a store that several instances share was seen to be: the newest position that any answer told. It goes with each request, so
 * that no other instance answers what is older.
 */
export class Seen {
  position: string | undefined;
  #epoch = -1;
  #sequence = -1;

  /** @param position what a server says; what is none is passed over */
  note(position: unknown): void {
    const [text, ...numbers] = POSITION.exec(String(position)) ?? [];
    const [epoch = -1, sequence = -1] = numbers.map(Number);
    if (epoch < this.#epoch || (epoch === this.#epoch && sequence <= this.#sequence)) return;
    this.position = text;
    this.#epoch = epoch;
    this.#sequence = sequence;
  }
}
