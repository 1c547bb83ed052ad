import type { TakenAway, ToTakeAway } from '../administration.js';
import { SERVER } from '../caller.js';
import type { TakenOver, ToTakeOver } from '../revocations.js';
import type { Services } from '../services.js';
import type { RetiredTransitKey, TransitKeyName } from '../transit-keys.js';

/** What is known to have been taken away, revoked and seen since a backup was made. */
export interface TakenSince extends ToTakeAway, ToTakeOver {
  readonly transitKeysRetired: readonly RetiredTransitKey[];
}

/** What of it was not in the backup. */
export interface TakenByRestore extends TakenAway, TakenOver {
  readonly transitKeysRetired: readonly TransitKeyName[];
}

/** Logs a restore, and takes from what it has brought back what was taken away since. @param why the backup and who restores it */
export async function takeAway(
  { context, administration, revocations, transitKeys }: Services,
  { transitKeysRetired, ...what }: TakenSince,
  why: string,
): Promise<TakenByRestore> {
  await context.gate.allow({ caller: SERVER, action: 'restore', target: why });
  const taken = await administration.takeAway(what);
  const takenOver = await revocations.takeOver(what);
  const retired = await transitKeys.takeOver(transitKeysRetired);
  return { ...taken, ...takenOver, transitKeysRetired: retired };
}
