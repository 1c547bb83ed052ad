import type { Engine } from '@coffer/engine';
import type { NatsDoor } from './door.js';

/** How often an instance of a shared store looks whether it may answer. */
const LOOK_MS = 100;

/**
 * From here on, an instance that may answer nothing leaves the requests to those that may.
 *
 * @returns a function that ends it
 */
export function holdWhileStale(door: Pick<NatsDoor, 'hold'>, engine: Pick<Engine, 'stale' | 'sharedHealth'>) {
  const look = () => door.hold(engine.stale && 'what is here is older than may be answered');
  look();
  const looking = engine.sharedHealth && setInterval(look, LOOK_MS).unref();
  return () => clearInterval(looking);
}
