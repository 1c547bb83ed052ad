import { onAbort } from '../abort.js';

/** No timer of Node's goes further; one that should ends at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Waits; rejects with the signal's reason if that comes first.
 *
 * @param keepsAlive whether the process stays alive for it
 */
export function pause(milliseconds: number, signal: AbortSignal, keepsAlive = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      off();
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      off();
      resolve();
    }, milliseconds);
    if (!keepsAlive) timer.unref();
    const off = onAbort(signal, end);
    if (signal.aborted) end();
  });
}
