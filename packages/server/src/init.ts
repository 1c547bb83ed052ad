import { ACTIONS, type Caller, type EngineOptions, type Grant } from '@coffer/engine';
import type { ServerConfig } from './config/config.js';
import { endProcess, printNotice } from './ending.js';
import { openEngine } from './open-engine.js';

/** As who opens the admin socket: whoever may open the store itself may do no less. */
const OPERATOR: Caller = { principals: [{ id: 'socket', kind: 'socket' }], address: 'unix' };

/**
 * The grants with one more, by which a principal may do everything; undefined if it may already.
 */
export function withEverything(grants: readonly Grant[], principal: string): readonly Grant[] | undefined {
  const has = grants.some(
    ({ to, actions, secrets }) =>
      to.includes(principal) && ACTIONS.every((action) => actions.includes(action)) && secrets.includes('*'),
  );
  return has ? undefined : [...grants, { to: [principal], actions: ACTIONS, secrets: ['*'] }];
}

/**
 * Lets a principal do everything, in a store that no server has open; makes the store if there is none.
 *
 * @returns false if it may already
 * @throws CofferError `store_locked` while a server has it open, and as `Engine.open`
 */
export async function grantEverything(
  config: ServerConfig,
  principal: string,
  talk: Pick<EngineOptions, 'promptPassphrase' | 'onNotice'> = {},
): Promise<boolean> {
  const { engine, close } = await openEngine(config, { onFatal: endProcess, onNotice: printNotice, ...talk });
  try {
    const { grants, generation } = await engine.policy(OPERATOR);
    const wanted = withEverything(grants, principal);
    if (wanted === undefined) return false;
    await engine.applyPolicy(OPERATOR, wanted, { expectedGeneration: generation });
    return true;
  } finally {
    await close();
  }
}
