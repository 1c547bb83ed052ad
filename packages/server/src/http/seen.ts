import type { IncomingMessage } from 'node:http';
import type { Engine } from '@coffer/engine';
import { Refusal } from '../refusal.js';

const POSITION = /^[0-9a-f]{16}-\d{1,9}-\d{1,15}$/;

/**
 * Waits until what is read here is at least as new as what the caller has seen at another instance, by the position in the header
 * `Coffer-Seen`. To a store that is not shared it means nothing.
 *
 * @returns undefined where there is nothing to wait for, as with setec's clients
 * @throws Refusal `bad_request` for what is no position, CofferError `stale`
 */
export function reachSeen(engine: Engine, { headers }: IncomingMessage): void | Promise<void> {
  const seen = headers['coffer-seen'];
  if (seen === undefined || engine.position === undefined) return undefined;
  if (POSITION.test(String(seen))) return engine.reached(String(seen));
  throw new Refusal(
    'bad_request',
    'Coffer-Seen is a Coffer-Position that a server has answered, such as 5f0c9a1e27b8d463-1-4711',
  );
}
