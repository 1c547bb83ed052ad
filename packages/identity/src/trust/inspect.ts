import { AccountState } from './accounts.js';
import { ChainError } from './chain-error.js';
import { Judge } from './judge.js';
import type { VerifierOptions } from './options.js';
import { readAccount } from './tokens.js';

/** The token of an account, under those who are trusted. */
export interface InspectedAccount {
  readonly key: string;
  readonly name: string;
  /** Seconds since 1970. */
  readonly iat: number;
  /** Why all its users are refused; absent: they are not, for its sake. */
  readonly refusal?: ChainError;
}

export type InspectOptions = Pick<
  VerifierOptions,
  'operators' | 'accounts' | 'issued' | 'revocations' | 'clockSkewSeconds' | 'now'
>;

/**
 * Looks at tokens of accounts as a verifier would at this moment, for people who look after them. It remembers nothing.
 *
 * @returns tells of one token; throws IdentityError for what is none
 */
export function accountInspector(options: InspectOptions): (text: string) => InspectedAccount {
  const { now } = options;
  const told = {
    ...options,
    now: now === undefined ? Date.now : () => now().getTime(),
    onOperators: () => {},
  };
  const judge = new Judge(told);
  return (text) => {
    const token = readAccount(text);
    const { key, name, iat } = token;
    const state = new AccountState(key);
    state.token = token;
    try {
      judge.standing(state);
      return { key, name, iat };
    } catch (error) {
      if (!(error instanceof ChainError)) throw error;
      return { key, name, iat, refusal: error };
    }
  };
}
