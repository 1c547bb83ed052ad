import { Failure, isClientError } from '../failure.js';
import type { Outcome } from './outcome.js';

/** The source cannot be read any more: no other secret would fare better. */
export class SourceGone extends Failure {}

/** After these no other secret would fare better. */
const HOPELESS = [
  'unreachable',
  'untrusted_server',
  'timeout',
  'unauthenticated',
  'closed',
  'storage_full',
  'busy',
  'stopped',
  'rate_limited',
];
/** Enough for the server to sync several changes to its disk at once. */
const AT_ONCE = 16;

/**
 * Does the same to each of many secrets, some at once. What fails is an outcome like any other; after a failure
 * that all the rest would share the rest is not tried. The outcomes are in the order of the secrets.
 */
export async function attemptEach<T extends { readonly name: string }>(
  items: readonly T[],
  task: (item: T) => Promise<Outcome>,
): Promise<Outcome[]> {
  let hopeless = false;
  return someAtOnce(items, async (item) => {
    if (hopeless) return { name: item.name, outcome: 'failed', detail: 'not tried' };
    try {
      return await task(item);
    } catch (error) {
      if (!(error instanceof Failure) && !isClientError(error)) throw error;
      hopeless ||= error instanceof SourceGone || (isClientError(error) && HOPELESS.includes(error.code));
      return { name: item.name, outcome: 'failed', detail: error.message };
    }
  });
}

/** What the task makes of each, in the order of the items. It rejects with the first error, and begins nothing more then. */
export async function someAtOnce<T, R>(items: readonly T[], task: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  const queue = items.entries();
  let failed = false;
  const work = async () => {
    for (const [index, item] of queue) {
      if (failed) return;
      try {
        results[index] = await task(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return results;
}
