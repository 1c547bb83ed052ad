import { CofferError } from '../../errors.js';
import { type Drop, Tap, type TapOptions } from './tap.js';

/** A server that takes so long for what most servers have taken is cut off from them. */
const LATE_MS = 5_000;

export interface LastOptions extends Omit<TapOptions, 'from' | 'atLeader'> {
  /** A sequence among these subjects that most servers have taken: it is waited for, so that nothing lacks of what was there before. */
  readonly upTo?: number | undefined;
  /**
   * Of a subject that is written meanwhile nothing may come: the reading ends where the stream ended when it began, and not only when
   * nothing is left, which may be never where more is written than is read.
   */
  readonly asItWas?: boolean;
}

/**
 * The last message of each subject that the stream's leader has now, in the order of the stream, as they come. Errors as {@link Tap},
 * and CofferError `unavailable` where `upTo` does not come.
 */
export async function* readLast({
  upTo = 0,
  asItWas = false,
  ...options
}: LastOptions): AsyncGenerator<Drop[]> {
  const tap = await Tap.open({ ...options, from: 'last', atLeader: true });
  const end = asItWas ? tap.end : Number.POSITIVE_INFINITY;
  let late: NodeJS.Timeout | undefined;
  try {
    for (let left = tap.pending, read = 0; (left > 0 && read < end) || read < upTo; ) {
      if (left === 0) late = setTimeout(() => tap.break(cutOff()), LATE_MS);
      const drops = await tap.next();
      clearTimeout(late);
      yield drops;
      const last = drops.at(-1);
      left = last?.pending ?? 0;
      read = last?.sequence ?? read;
    }
  } finally {
    clearTimeout(late);
    tap.close();
  }
}

const cutOff = () =>
  new CofferError(
    'unavailable',
    'a server that leads the stream does not have what the others have: it is asked again',
  );
