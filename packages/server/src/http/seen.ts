import type { IncomingMessage } from 'node:http';
import type { Engine } from '@coffer/engine';

/**
 * Waits until what is read here is at least as new as what the caller has seen at another instance, by the position in the header
 * `Coffer-Seen`. Of a store that is not shared it means nothing.
 *
 * @returns undefined where there is nothing to wait for, as with setec's clients
 * @throws CofferError `stale`, `invalid_argument`
 */
export function reachSeen(engine: Engine, { headers }: IncomingMessage): Promise<void> | undefined {
  const seen = headers['coffer-seen'];
  return seen === undefined || seen === engine.position ? undefined : engine.reached(String(seen));
}
