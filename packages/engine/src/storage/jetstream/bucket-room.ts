import type { StorageChange } from '../storage.js';

/** At the least, of the bucket's room. */
const RESERVE_BYTES = 1024 * 1024;

/**
 * Whether a change still fits. Some room is kept for beats and marks, without which nobody could read, and half of it for revocations
 * and removals: in a stream that is full the server refuses those too.
 */
export class BucketRoom {
  readonly #state: () => { readonly bytes: number } | undefined;
  readonly #maxBytes: () => number;
  /** What was stored since the stream's bytes were last seen. */
  #added = 0;
  #seen: object | undefined;

  /** @param state what was last seen of the stream, another object each time; @param maxBytes -1 for no limit */
  constructor(state: () => { readonly bytes: number } | undefined, maxBytes: () => number) {
    this.#state = state;
    this.#maxBytes = maxBytes;
  }

  has({ head, put = [], urgent = false }: StorageChange): boolean {
    const state = this.#state();
    const limit = this.#maxBytes();
    if (!state || limit <= 0) return true;
    if (this.#seen !== state) this.#added = 0;
    this.#seen = state;
    const reserve = Math.min(Math.max(RESERVE_BYTES, limit / 100), limit / 4);
    const bytes = put.reduce((sum, side) => sum + side.bytes.length, head.bytes?.length ?? 0);
    const frees = head.bytes === undefined && put.length === 0;
    return state.bytes + this.#added + bytes <= limit - (urgent || frees ? reserve / 2 : reserve);
  }

  took(bytes: number): void {
    this.#added += bytes;
  }
}
