import { setTimeout as delay } from 'node:timers/promises';
import { CofferError } from '../errors.js';
import { HEADER_KEY } from '../keys.js';
import type { MemberStatus } from '../storage/shared.js';
import type { Storage } from '../storage/storage.js';

/** How long the others may take to say whether they have the root key of the newest header: each is asked to, and does within a second. */
const ANSWER_MS = 8_000;
const LOOK_MS = 100;

/**
 * To be asked before there is another data key: an instance of a shared store that lacks the root key goes on without it as long as
 * the data keys are the same, and answers nothing once they are not.
 *
 * @param without members that are to be left behind, by id or name
 * @throws CofferError `conflict` for a member that lives, and lacks the root key or does not say whether it has it
 */
export async function requireRootKeyEverywhere(
  storage: Pick<Storage, 'shared' | 'get'>,
  without: readonly string[],
): Promise<void> {
  const { shared } = storage;
  const header = storage.get(HEADER_KEY);
  if (!shared || !header) return;
  for (const end = performance.now() + ANSWER_MS; ; ) {
    const others = shared.members.filter(
      ({ instance, name, alive }) =>
        alive && instance !== shared.instance && !without.includes(instance) && !without.includes(name),
    );
    const silent = others.filter(({ confirmed }) => confirmed < header.revision);
    // Those who have not said so yet are asked to by this.
    if (shared.confirmedByAll(header.revision) || silent.length === 0 || performance.now() > end) {
      const lacking = others.filter(({ lacksRootKey }) => lacksRootKey);
      if (lacking.length > 0) throw refusal(lacking);
      if (silent.length > 0) throw unknownOf(silent);
      return;
    }
    await delay(LOOK_MS);
  }
}

/** By both, since several may have a name. */
export const membersNamed = (members: readonly MemberStatus[]): string =>
  members.map(({ instance, name }) => `${name} (${instance})`).join(', ');

function unknownOf(silent: readonly MemberStatus[]): CofferError {
  const ids = silent.map(({ instance }) => instance).join(' ');
  return new CofferError(
    'conflict',
    `${membersNamed(silent)} ${silent.length === 1 ? 'does' : 'do'} not say whether the root key that is in force is known there, without ` +
      `which nothing would be answered under another data key: ask again in a moment, or, to go on all the same: coffer keys rotate --without ${ids}`,
  );
}

function refusal(lacking: readonly MemberStatus[]): CofferError {
  const [isOne, ids] = [lacking.length === 1, lacking.map(({ instance }) => instance).join(' ')];
  return new CofferError(
    'conflict',
    `${membersNamed(lacking)} ${isOne ? 'lacks' : 'lack'} the root key that is in force, and would answer nothing any more under another ` +
      `data key: give ${isOne ? 'it' : 'them'} the root key, as ${isOne ? 'its' : 'their'} rootKey says, and ask again when "coffer storage status" shows no more that ${isOne ? 'it lacks' : 'they lack'} it; ` +
      `one that was stopped counts no more once it is shown as away, after 35 seconds. ` +
      `To go on all the same: coffer keys rotate --without ${ids}`,
  );
}
