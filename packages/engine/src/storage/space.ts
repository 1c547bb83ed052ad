import { statfs } from 'node:fs/promises';

import { CofferError } from '../errors.js';
import type { StorageFacts } from './storage.js';

/** How long one look at the file system counts, in milliseconds. */
const FRESH = 100;
/** With less than this free, every look is a new one. */
const SCARCE = 64 * 1024 * 1024;

/**
 * Says whether there is room to write: the file system keeps at least `minFreeBytes`, and the store's own records
 * stay under `quotaBytes`. The floor leaves the audit log room to go on while changes are refused, so that
 * readers are served when the disk is all but full.
 */
export class Space {
  readonly #folder: string;
  readonly #limits: SpaceLimits;
  #free = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(folder: string, limits: SpaceLimits) {
    this.#folder = folder;
    this.#limits = limits;
  }

  /**
   * What makes the store smaller may use the floor too: it is the way out. So may what is urgent, whose share of it is 0. The quota is
   * for what must leave the whole of it alone: what was acknowledged elsewhere is not refused for that.
   *
   * @param heldBytes bytes of records that the store holds
   * @throws CofferError `storage_full`
   */
  async require(heldBytes: number, { usedBytes, diskBytes, floorShare }: Demand): Promise<void> {
    const { quotaBytes, minFreeBytes } = this.#limits;
    const share = usedBytes > heldBytes ? floorShare : 0;
    if (quotaBytes !== undefined && share === 1 && usedBytes > quotaBytes) {
      throw new CofferError(
        'storage_full',
        `the store's quota of ${quotaBytes} bytes is used up: delete versions, or raise storage.quotaBytes`,
      );
    }
    const stale = performance.now() - this.#lookedAt > FRESH;
    if (stale || this.#free < SCARCE) await this.#look();
    if (this.#free < diskBytes + share * minFreeBytes) throw this.full();
  }

  /** As {@link require} would find it for a change of a few bytes. */
  async look(heldBytes: number): Promise<Room> {
    const { quotaBytes, minFreeBytes } = this.#limits;
    if (performance.now() - this.#lookedAt > FRESH) await this.#look();
    const withinQuota = quotaBytes === undefined || heldBytes < quotaBytes;
    const writable = withinQuota && this.#free > minFreeBytes;
    return { quotaBytes, disk: { freeBytes: this.#free, reservedBytes: minFreeBytes }, writable };
  }

  full(cause?: unknown): CofferError {
    const { minFreeBytes } = this.#limits;
    const kept = minFreeBytes > 0 ? ` (${minFreeBytes} bytes are kept free)` : '';
    return new CofferError(
      'storage_full',
      `the disk of ${this.#folder} is full${kept}: make room, then try again`,
      { cause },
    );
  }

  async #look(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#folder);
    this.#free = bavail * bsize;
    this.#lookedAt = performance.now();
  }
}

/** What a transaction asks for. */
export interface Demand {
  /** Bytes of records that the store will hold. */
  readonly usedBytes: number;
  /** Bytes that writing may take at the most. */
  readonly diskBytes: number;
  /** The part of the room that is kept free which must stay so: from 0 to 1. */
  readonly floorShare: number;
}

/** How much room there is. */
export type Room = Pick<StorageFacts, 'quotaBytes' | 'disk' | 'writable'>;

export interface SpaceLimits {
  /** Bytes of records that the store may hold; without it there is no such limit. */
  readonly quotaBytes?: number | undefined;
  /** Bytes that stay free on the file system. */
  readonly minFreeBytes: number;
}
