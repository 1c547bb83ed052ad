import type { DamagedToken } from '@coffer/identity';
import { Failure } from '../failure.js';
import { note } from '../output.js';
import { displayName } from '../quote.js';

export const damagedLine = ({ kind, name, account, problem }: DamagedToken): string => {
  const of = account === undefined ? '' : ` of ${displayName(account)}`;
  return `${kind} ${displayName(name)}${of}: ${displayName(problem)}`;
};

/**
 * Says which files could not be read, after what could be told of the others.
 *
 * @param so what follows from it
 * @throws Failure if there are any
 */
export async function failForDamaged(damaged: readonly DamagedToken[], so: string): Promise<void> {
  if (damaged.length === 0) return;
  await note(damaged.map((one) => `[WARN] ${damagedLine(one)}`).join('\n'));
  throw new Failure(`${damaged.length === 1 ? 'a token' : `${damaged.length} tokens`} cannot be read: ${so}`);
}
