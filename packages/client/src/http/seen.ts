const POSITION = /^([0-9a-f]{8})([0-9a-f]{8})-(\d{1,15})-(\d{1,15})$/;

/**
 * How far a store that several instances share was seen to be: the newest position that any answer told. It goes with each request, so
 * that no other instance answers what is older. Positions of another store, or of another stream of it, are not to be compared: then
 * the last that was told counts.
 */
export class Seen {
  /** The position, and its parts: store, stream, epoch, sequence. */
  #newest: readonly string[] = [];

  get position(): string | undefined {
    return this.#newest[0];
  }

  /** @param position what a server says; what is none is passed over */
  note(position: unknown): void {
    const told = POSITION.exec(String(position));
    if (told && !isOlder(told, this.#newest)) this.#newest = told;
  }
}

function isOlder(
  [, store, stream, epoch, sequence]: readonly string[],
  [, knownStore, knownStream, knownEpoch, known]: readonly string[],
): boolean {
  if (store !== knownStore) return false;
  const later = Number(epoch) - Number(knownEpoch);
  return later < 0 || (later === 0 && stream === knownStream && Number(sequence) <= Number(known));
}
