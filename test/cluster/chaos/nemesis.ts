import { setTimeout as sleep } from 'node:timers/promises';
import type { Deployment } from '../deployment.js';
import type { Deck } from './deck.js';
import type { FaultKind } from './faults.js';

/** When something was broken, by the clock of `performance`. */
export interface Fault {
  readonly what: string;
  readonly start: number;
  readonly end: number;
  /** The only instance that it concerns; undefined: any may have felt it. */
  readonly instance: string | undefined;
}

/** Breaks one thing after the other, as they are dealt, and mends it again. */
export class Nemesis {
  readonly faults: Fault[] = [];
  readonly #deployment: Deployment;
  readonly #deck: Deck<FaultKind>;
  readonly #random: () => number;

  /** @param random from 0 to 1, so that a run can be had again as far as it depends on us */
  constructor(deployment: Deployment, deck: Deck<FaultKind>, random: () => number) {
    this.#deployment = deployment;
    this.#deck = deck;
    this.#random = random;
  }

  /** While `goesOn` says so; what is broken by then is mended. */
  async run(goesOn: () => boolean): Promise<void> {
    while (goesOn()) {
      const kind = this.#deck.deal();
      const plan = kind(
        this.#deployment,
        (items) => items[Math.floor(this.#random() * items.length)] as (typeof items)[number],
      );
      // Most are short, since many are to fit in; some last until others were elected.
      const [lasts, rests] = [500 + this.#random() ** 2 * 5_000, 300 + this.#random() ** 2 * 3_000];
      const start = performance.now();
      await plan.break();
      try {
        await sleep(lasts);
      } finally {
        await plan.mend();
        this.faults.push({ what: plan.what, instance: plan.instance, start, end: performance.now() });
      }
      await sleep(rests);
    }
  }
}
