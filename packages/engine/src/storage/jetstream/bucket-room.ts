import type { CofferError } from '../../errors.js';
import type { BucketRoom as RoomFacts } from '../shared.js';
import type { StorageChange } from '../storage.js';
import { bucketFull, type FullOf } from './commit-errors.js';

/** At the least, of the bucket's room. */
const RESERVE_BYTES = 1024 * 1024;
/** Where not even so many fit, no change does. */
const LEAST_BYTES = 4 * 1024;
/** What a server has refused for lack of room may be true for so long without being asked again. */
const REFUSED_MS = 60_000;

/** Of the stream, as last seen. */
export interface SeenRoom {
  readonly bytes: number;
  /** -1 for no limit. */
  readonly maxBytes: number;
  /** When its server was asked, by the monotonic clock: what was acknowledged before is in {@link bytes}. */
  readonly askedAt: number;
}

/**
 * Whether a change still fits. Some room is kept for beats and marks, without which nobody could read, and half of it for revocations
 * and removals: in a stream that is full the server refuses those too.
 */
export class BucketRoom {
  readonly #bucket: string;
  readonly #seen: () => SeenRoom | undefined;
  /** What was stored, and when that was acknowledged, as far as the stream's bytes may not tell of it yet. */
  #added: { readonly bytes: number; readonly at: number }[] = [];
  #refused: { readonly of: FullOf; readonly at: number } | undefined;

  constructor(bucket: string, seen: () => SeenRoom | undefined) {
    this.#bucket = bucket;
    this.#seen = seen;
  }

  /** What it is refused with if it does not fit. */
  refusalOf(change: StorageChange): CofferError | undefined {
    const counted = this.#counted();
    if (!counted) return undefined;
    const needed = bytesOf(change);
    const left = leftIn(counted, change.urgent === true || frees(change));
    return needed <= left ? undefined : this.#full('bucket', counted, needed);
  }

  took(bytes: number): void {
    this.#added.push({ bytes, at: performance.now() });
    this.#refused = undefined;
  }

  /** A server has no room, whatever is counted here. @returns what the change is refused with */
  refusedBy(of: FullOf): CofferError {
    this.#refused = { of, at: performance.now() };
    return this.#full(of, this.#counted());
  }

  /** How much room there is; undefined before the stream was heard of. */
  get facts(): RoomFacts | undefined {
    // What was added may be counted twice for a moment, where it was stored before the server answered.
    const seen = this.#seen();
    if (!seen) return undefined;
    const { bytes, maxBytes } = seen;
    const { of, at = Number.NEGATIVE_INFINITY } = this.#refused ?? {};
    const refused = performance.now() - at < REFUSED_MS ? of : undefined;
    const full = leftIn(seen, false) < LEAST_BYTES ? 'bucket' : refused;
    return { bytes, maxBytes: maxBytes > 0 ? maxBytes : undefined, problem: full && this.#full(full, seen) };
  }

  #full(of: FullOf, room: SeenRoom | undefined, needed?: number): CofferError {
    return bucketFull(this.#bucket, of, room && { ...room, kept: keptOf(room.maxBytes) }, needed);
  }

  #counted(): SeenRoom | undefined {
    const seen = this.#seen();
    if (!seen) return undefined;
    this.#added = this.#added.filter(({ at }) => at >= seen.askedAt);
    return { ...seen, bytes: this.#added.reduce((sum, { bytes }) => sum + bytes, seen.bytes) };
  }
}

/** For changes; half of what is kept is for those that cannot wait, too. */
function leftIn({ bytes, maxBytes }: SeenRoom, isUrgent: boolean): number {
  if (maxBytes <= 0) return Number.POSITIVE_INFINITY;
  return maxBytes - bytes - keptOf(maxBytes) / (isUrgent ? 2 : 1);
}

/** What is deleted leaves a small head in the place of what it was. */
const frees = ({ head, put = [], remove = [] }: StorageChange): boolean =>
  put.length === 0 && (head.bytes === undefined || remove.length > 0);

const keptOf = (maxBytes: number): number => Math.min(Math.max(RESERVE_BYTES, maxBytes / 100), maxBytes / 4);

const bytesOf = ({ head, put = [] }: StorageChange): number =>
  put.reduce((sum, side) => sum + side.bytes.length, head.bytes?.length ?? 0);
