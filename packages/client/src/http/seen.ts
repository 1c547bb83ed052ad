const POSITION = /^([0-9a-f]{8})([0-9a-f]{8})-(\d{1,15})-(\d{1,15})$/;

/**
 * How far a store that several instances share was seen to be: the newest position that any answer told. It goes with each request, so
 * that no other instance answers what is older. Positions of another store, or of another stream of it, are not to be compared: then
 * the last that was told counts.
 */
export class Seen {
  position: string | undefined;
  #store = '';
  #stream = '';
  #epoch = -1;
  #sequence = -1;

  /** @param position what a server says; what is none is passed over */
  note(position: unknown): void {
    const [text, store, stream, ...numbers] = POSITION.exec(String(position)) ?? [];
    if (text === undefined || store === undefined || stream === undefined) return;
    const [epoch = -1, sequence = -1] = numbers.map(Number);
    if (store === this.#store) {
      if (epoch < this.#epoch) return;
      if (epoch === this.#epoch && stream === this.#stream && sequence <= this.#sequence) return;
    }
    this.position = text;
    this.#store = store;
    this.#stream = stream;
    this.#epoch = epoch;
    this.#sequence = sequence;
  }
}
