import { type Drop, Tap, type TapOptions } from './tap.js';

/** The last message of each subject that is there now, in the order of the stream, as they come. Errors as {@link Tap}. */
export async function* readLast(options: Omit<TapOptions, 'from'>): AsyncGenerator<Drop[]> {
  const tap = await Tap.open({ ...options, from: 'last' });
  try {
    for (let left = tap.pending; left > 0; ) {
      const drops = await tap.next();
      yield drops;
      left = drops.at(-1)?.pending ?? 0;
    }
  } finally {
    tap.close();
  }
}
