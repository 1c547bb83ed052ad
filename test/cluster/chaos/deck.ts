/** Cards that are dealt in a random order, each once before any comes again. */
export class Deck<Card> {
  /** How often all cards were dealt. */
  rounds = 0;
  readonly #cards: readonly Card[];
  readonly #random: () => number;
  #left: Card[];

  /** @param random from 0 to 1 */
  constructor(cards: readonly Card[], random: () => number) {
    this.#cards = cards;
    this.#random = random;
    this.#left = [...cards];
  }

  deal(): Card {
    const at = Math.floor(this.#random() * this.#left.length);
    const [card] = this.#left.splice(at, 1);
    if (card === undefined) throw new Error('a deck has cards');
    if (this.#left.length === 0) {
      this.#left = [...this.#cards];
      this.rounds++;
    }
    return card;
  }
}
