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

export interface ComparedOptions extends Pick<ThereOptions, 'members' | 'without' | 'giveUpDamaged'> {
  /** Those that answer and whose replicas do not count, since the stream says so of them. */
  readonly leftOut: readonly string[];
  /** Whose replicas are compared. */
  readonly compared: readonly string[];
  /** Where the stream says it, of an instance. */
  readonly noteOf: (instance: string) => string;
  readonly stream: string;
}

/**
 * Who can write to the bucket can say of every instance that it was forgotten, or had more: a heal that believed it would have all of
 * them take over what is left in the stream.
 *
 * @throws CofferError `conflict` with what can be done
 */
export function requireCompared(options: ComparedOptions): void {
  const { members, leftOut, compared, without, giveUpDamaged, noteOf, stream } = options;
  const unnamed = leftOut.filter((instance) => {
    const member = members.find((one) => one.instance === instance) ?? { instance, name: '' };
    return !without.some((named) => isNamed(member, named));
  });
  if (compared.length > 0 && unnamed.length === 0) return;
  const who = leftOut.join(', ');
  const purge = leftOut.map((one) => `nats stream purge ${stream} --subject '${noteOf(one)}'`).join('; ');
  const goOn =
    compared.length > 0
      ? `to go on without them, and what only they have: ${commandWithout([...without, ...unnamed], giveUpDamaged)}; or `
      : 'nobody else is there whose copy of the store could be compared; ';
  throw new CofferError(
    'conflict',
    `the stream says of ${who} that they were forgotten, or have lost what they had: ${goOn}where that is not true, and somebody ` +
      `else wrote it, remove it (${purge}) and heal again; nothing was brought back`,
  );
}

const isNamed = ({ instance, name }: Pick<MemberStatus, 'instance' | 'name'>, named: string) =>
  instance === named || name === named;

const commandWithout = (without: readonly string[], giveUpDamaged: boolean): string =>
  ['coffer storage heal', ...(giveUpDamaged ? ['--give-up-damaged'] : []), '--without', ...without].join(' ');
