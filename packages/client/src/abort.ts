/** What a signal ends. One listener hears it for all of them: from the eleventh on, Node warns of a leak. */
class Ends extends Set<() => void> {
  handleEvent(): void {
    for (const end of this) end();
  }
}

const heard = new WeakMap<AbortSignal, Ends>();

/**
 * Calls `end` when the signal is aborted, any number of them for one signal.
 *
 * @param end a function that was made for this call
 * @returns what ends that; nothing is left on the signal then
 */
export function onAbort(signal: AbortSignal | undefined, end: () => void): () => void {
  if (!signal) return () => {};
  const ends = heard.get(signal) ?? new Ends();
  heard.set(signal, ends);
  ends.add(end);
  signal.addEventListener('abort', ends);
  return () => {
    ends.delete(end);
    if (ends.size === 0) signal.removeEventListener('abort', ends);
  };
}

/** What the promise gives, or the signal's reason if that comes first. */
export function heeding<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const end = () => reject(signal.reason);
    const off = onAbort(signal, end);
    promise.then(resolve, reject).finally(off);
    if (signal.aborted) end();
  });
}
