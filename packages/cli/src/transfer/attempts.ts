import { Failure, isClientError } from '../failure.js';
import type { Outcome } from './outcome.js';

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
  const outcomes: Outcome[] = [];
  const queue = items.entries();
  let hopeless = false;
  const work = async () => {
    for (const [index, item] of queue) {
      if (hopeless) {
        outcomes[index] = { name: item.name, outcome: 'failed', detail: 'not tried' };
        continue;
      }
      try {
        outcomes[index] = await task(item);
      } catch (error) {
        if (!(error instanceof Failure) && !isClientError(error)) throw error;
        outcomes[index] = { name: item.name, outcome: 'failed', detail: error.message };
        hopeless ||= isClientError(error) && HOPELESS.includes(error.code);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return outcomes;
}
