/**
 * Waits; rejects with the signal's reason if that comes first.
 *
 * @param keepsAlive whether the process stays alive for it
 */
export function pause(milliseconds: number, signal: AbortSignal, keepsAlive = true): Promise<void> {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', end);
      resolve();
    }, milliseconds);
    if (!keepsAlive) timer.unref();
    signal.addEventListener('abort', end, { once: true });
    if (signal.aborted) end();
  });
}
