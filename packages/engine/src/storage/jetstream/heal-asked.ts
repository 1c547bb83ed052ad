/** Who asks, and which of its questions it is. */
export interface Numbered {
  /** Drawn anew for each that asks. */
  readonly asker: string;
  /** From 1 on. */
  readonly number: number;
}

/** So many that ask are remembered. */
const ASKERS = 1_000;
/** How far questions may overtake each other on the way. */
const WINDOW = 256;

/**
 * Tells a question from its repetition: whoever can listen could send it again, and have an instance work without end. No clock is
 * compared with another's. Who has been started since remembers none, and answers each once more.
 */
export class Asked {
  readonly #askers = new Map<string, { highest: number; readonly recent: Set<number> }>();

  /** @param question one that comes from an instance: others would fill the memory */
  isNew({ asker, number }: Numbered): boolean {
    const known = this.#askers.get(asker) ?? { highest: 0, recent: new Set<number>() };
    const oldest = known.highest - WINDOW;
    if (number <= oldest || known.recent.has(number)) return false;
    known.recent.add(number);
    known.highest = Math.max(known.highest, number);
    for (const one of known.recent) if (one <= known.highest - WINDOW) known.recent.delete(one);
    this.#askers.delete(asker);
    this.#askers.set(asker, known);
    const [longestAgo] = this.#askers.keys();
    if (this.#askers.size > ASKERS && longestAgo !== undefined) this.#askers.delete(longestAgo);
    return true;
  }
}
