import { BACKGROUND, type Lease, type SharedStorage } from '../storage/shared.js';

/**
 * Whether it is this instance that does what goes on in the background: dropping old versions, forgetting what was deleted,
 * re-encryption. Of several instances one has the duty at a time. That two have it for a moment does no harm: what they change,
 * they change by compare-and-set.
 */
export class Duty {
  readonly #lease: Lease | undefined;

  /** @param shared undefined for a store of one's own, where it is always this instance */
  constructor(shared: SharedStorage | undefined) {
    this.#lease = shared?.lease(BACKGROUND);
  }

  get isOurs(): boolean {
    return this.#lease?.held ?? true;
  }

  /** Calls `listener` when this instance gets the duty from another. */
  onBegin(listener: () => void): void {
    this.#lease?.onChange(() => {
      if (this.isOurs) listener();
    });
  }

  /** Another one may have it. */
  close(): void {
    this.#lease?.close();
  }
}
