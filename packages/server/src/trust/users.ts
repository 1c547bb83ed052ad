import type { Caller, Principal } from '@coffer/engine';
import type { UserChain, Verifier } from '@coffer/identity';
import { endOfHours } from './conditions.js';
import { principalsOf } from './principals.js';

type Principals = readonly [Principal, ...Principal[]];

/** Verified users as callers, whichever way they have shown who they are. */
export class Users {
  readonly #verifier: Pick<Verifier, 'isLive'>;
  readonly #principals = new WeakMap<UserChain, Principals>();

  constructor(verifier: Pick<Verifier, 'isLive'>) {
    this.#verifier = verifier;
  }

  callerOf(chain: UserChain, address: string, now: Date): Caller {
    return { principals: this.#principalsOf(chain), address, session: this.#sessionOf(chain, now) };
  }

  /** What began goes on after its proof's minute, as long as the user is one. */
  #sessionOf(chain: UserChain, now: Date): NonNullable<Caller['session']> {
    const { user, expiresAt } = chain;
    const ends = [
      expiresAt === undefined ? undefined : expiresAt * 1000,
      endOfHours(user, now)?.getTime(),
    ].filter((end) => end !== undefined);
    return {
      ...(ends.length > 0 && { expiresAt: new Date(Math.min(...ends)) }),
      isLive: () => this.#verifier.isLive(chain),
    };
  }

  /** The same objects for the same chain: the audit log remembers how they are written. */
  #principalsOf(chain: UserChain): Principals {
    const known = this.#principals.get(chain) ?? principalsOf(chain);
    this.#principals.set(chain, known);
    return known;
  }
}
