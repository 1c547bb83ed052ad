import { CofferError } from '../../errors.js';
import type { MemberStatus } from '../shared.js';

export interface ThereOptions {
  /** All that have a replica, as far as is known. */
  readonly members: readonly MemberStatus[];
  /** Those whose replicas are compared. */
  readonly there: readonly string[];
  /** Members by id or by name, a name for all that are absent and have it. */
  readonly without: readonly string[];
  /** What else the command that is to be typed again must say. */
  readonly giveUpDamaged: boolean;
}

/**
 * What only a member has that does not answer is not brought back: a person says of each that the heal is to go on without it.
 *
 * @throws CofferError `conflict` with the command that does; `not_found` for a name that no member has
 */
export function requireThere({ members, there, without, giveUpDamaged }: ThereOptions): void {
  const isNamed = ({ instance, name }: MemberStatus, named: string) => instance === named || name === named;
  for (const named of without) {
    if (members.some((member) => isNamed(member, named))) continue;
    throw new CofferError(
      'not_found',
      `there is no member ${named} to heal without: see coffer storage status; nothing was brought back`,
    );
  }
  const absent = members.filter(({ instance }) => !there.includes(instance));
  const missing = absent.filter((member) => !without.some((named) => isNamed(member, named)));
  if (missing.length === 0) return;
  const who = missing.map(({ instance, name }) => `${instance} (${name})`).join(', ');
  const command = [
    'coffer storage heal',
    ...(giveUpDamaged ? ['--give-up-damaged'] : []),
    '--without',
    ...absent.map(({ instance }) => instance),
  ].join(' ');
  throw new CofferError(
    'conflict',
    `not all members answer, and what only they have would not be brought back: ${who}. Start them, and heal again; or go on ` +
      `without them: ${command}`,
  );
}
