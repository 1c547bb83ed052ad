import { statfs } from 'node:fs/promises';

import { CofferError } from '../errors.js';

/** How long one look at the file system counts, in milliseconds. */
const FRESH = 100;

/**
 * Says whether there is room to write: the file system keeps at least `minFreeBytes`, and the store's own records
 * stay under `quotaBytes`. The floor leaves the audit log room to go on while changes are refused, so that
 * readers are served when the disk is all but full.
 */
export class Space {
  #free = Number.POSITIVE_INFINITY;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(
    readonly folder: string,
    readonly limits: SpaceLimits,
  ) {}

  /** @throws CofferError `storage_full` */
  async require(bytes: number, usedBytes: number): Promise<void> {
    const { quotaBytes, minFreeBytes } = this.limits;
    if (quotaBytes !== undefined && usedBytes + bytes > quotaBytes) {
      throw new CofferError(
        'storage_full',
        `the store's quota of ${quotaBytes} bytes is used up: delete versions, or raise storage.quotaBytes`,
      );
    }
    const now = performance.now();
    if (now - this.#lookedAt > FRESH) {
      const { bavail, bsize } = await statfs(this.folder);
      this.#free = bavail * bsize;
      this.#lookedAt = now;
    }
    if (this.#free - bytes < minFreeBytes) {
      throw new CofferError(
        'storage_full',
        `the disk of ${this.folder} has less than ${minFreeBytes} bytes free: make room, then try again`,
      );
    }
  }
}

export interface SpaceLimits {
  /** Bytes of records that the store may hold; without it there is no such limit. */
  readonly quotaBytes?: number | undefined;
  /** Bytes that stay free on the file system. */
  readonly minFreeBytes: number;
}
