import { asBuffer } from '../bytes.js';
import { dataKeyOf } from '../crypto/records.js';
import { HEADER_KEY } from '../keys.js';
import type { Storage } from '../storage/storage.js';
import { type Pace, TURN_MS } from './pace.js';

/** How many records are under each data key. */
export interface Census {
  /** By the data key's id. */
  readonly counts: ReadonlyMap<number, number>;
  /** The first record that is under the key, by the key's id. */
  readonly examples: ReadonlyMap<number, Uint8Array>;
  readonly total: number;
}

const ALL = Buffer.alloc(0);

/**
 * Reads all records, in parts that let others get their turn. What is written meanwhile may be counted as it was before or
 * is after. But that a key has none is certain if none was sealed under it since the count began: a record never goes back
 * to an older key.
 */
export async function takeCensus(storage: Storage, pace: Pace, signal: AbortSignal): Promise<Census> {
  const counts = new Map<number, number>();
  const examples = new Map<number, Uint8Array>();
  let total = 0;
  let after: Uint8Array | undefined;
  for (;;) {
    const start = performance.now();
    let worked = 0;
    let last: Uint8Array | undefined;
    for (const [key, { bytes }] of storage.scan(ALL, after)) {
      last = key;
      if (!HEADER_KEY.equals(key)) {
        const id = dataKeyOf(asBuffer(bytes));
        const count = counts.get(id) ?? 0;
        if (count === 0) examples.set(id, Buffer.from(key));
        counts.set(id, count + 1);
        total++;
      }
      worked = performance.now() - start;
      if (worked > TURN_MS) break;
    }
    if (worked <= TURN_MS) return { counts, examples, total };
    after = last && Buffer.from(last);
    await pace.rest(worked, signal);
  }
}
