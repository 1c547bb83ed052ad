import { CofferError } from '../../errors.js';
import type { MemberStatus } from '../shared.js';

export interface ThereOptions {
  /** All that have a replica, as far as is known. */
  readonly members: readonly MemberStatus[];
  /** Those that answer. */
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
  for (const named of without) {
    // One that answers though it was forgotten is no member.
    if (there.includes(named) || members.some((member) => isNamed(member, named))) continue;
    throw new CofferError(
      'not_found',
      `there is no member ${named} to heal without: see coffer storage status; nothing was brought back`,
    );
  }
  const absent = members.filter(({ instance }) => !there.includes(instance));
  const missing = absent.filter((member) => !without.some((named) => isNamed(member, named)));
  if (missing.length === 0) return;
  const who = missing.map(({ instance, name }) => `${instance} (${name})`).join(', ');
  const command = commandWithout(
    absent.map(({ instance }) => instance),
    giveUpDamaged,
  );
  throw new CofferError(
    'conflict',
    `not all members answer, and what only they have would not be brought back: ${who}. Start them, and heal again; or go on ` +
      `without them: ${command}`,
  );
}

/**
 * Whoever names a member takes it for one that is away, or whose replica does not count. One that answers, and was compared, would
 * have its way all the same.
 *
 * @throws CofferError `conflict`
 */
export function requireAway({
  members,
  compared,
  without,
}: Pick<ComparedOptions, 'members' | 'compared' | 'without'>): void {
  for (const named of without) {
    const meant = members.filter((member) => isNamed(member, named));
    if (meant.length === 0 || !meant.every(({ instance }) => compared.includes(instance))) continue;
    const who = meant.map(({ instance, name }) => `${instance} (${name})`).join(', ');
    throw new CofferError(
      'conflict',
      `${who} answers, and what it has counts: leave it out of --without, or stop it first; nothing was brought back`,
    );
  }
}

export interface ComparedOptions extends Pick<ThereOptions, 'members' | 'without' | 'giveUpDamaged'> {
  /** Those that answer and whose replicas do not count, since the stream says so of them. */
  readonly leftOut: readonly string[];
  /** Whose replicas are compared. */
  readonly compared: readonly string[];
}

/**
 * Of an instance that answers a person says that the heal is to go on without it, be it that it was forgotten or has lost what it had:
 * what only it has is gone then. And a heal of nobody's replica would have all take over what is left in the stream.
 *
 * @throws CofferError `conflict` with what can be done
 */
export function requireCompared(options: ComparedOptions): void {
  const { members, leftOut, compared, without, giveUpDamaged } = options;
  const unnamed = leftOut.filter((instance) => {
    const member = members.find((one) => one.instance === instance) ?? { instance, name: '' };
    return !without.some((named) => isNamed(member, named));
  });
  if (compared.length > 0 && unnamed.length === 0) return;
  const who = leftOut.join(', ');
  const goOn =
    compared.length > 0
      ? `to go on without them, and what only they have: ${commandWithout([...without, ...unnamed], giveUpDamaged)}`
      : 'and nobody is there whose copy of the store could be compared: start those that are away, or restore a backup';
  throw new CofferError(
    'conflict',
    `nothing was brought back: ${who} were forgotten, or have lost what they had; ${goOn}`,
  );
}

const isNamed = ({ instance, name }: Pick<MemberStatus, 'instance' | 'name'>, named: string) =>
  instance === named || name === named;

const commandWithout = (without: readonly string[], giveUpDamaged: boolean): string =>
  ['coffer storage heal', ...(giveUpDamaged ? ['--give-up-damaged'] : []), '--without', ...without].join(' ');
