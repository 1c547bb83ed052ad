import { isDeepStrictEqual } from 'node:util';
import type { AccountState } from './accounts.js';
import { ChainError } from './chain-error.js';
import { chainUnder, hostChain, type Verified } from './evaluate.js';
import { checkLink, type Ground } from './ground.js';
import { memoryIssued, NO_REVOCATIONS } from './in-memory.js';
import { checkOperator, type OperatorSet, Operators } from './operators.js';
import type { HostTrust, Revocations, VerifierOptions } from './options.js';
import { Seen } from './seen.js';
import { type Standing, standingOf } from './standing.js';
import type { AccountToken, CallerToken, LinkToken, OperatorToken, TrustedOperator } from './tokens.js';

/** A chain with what it rests on, to be looked at again at every use. */
export interface Entry extends Verified {
  readonly caller: CallerToken;
  /** Of hosts none. */
  readonly state?: AccountState | undefined;
  /** When this is so no more, it is judged anew. */
  under: Under;
}

/** What a chain was found to hold under, and all that may end it, laid out to be looked at quickly. */
interface Under {
  readonly operators: OperatorSet;
  readonly account: AccountToken | undefined;
  /** Seconds; clocks may differ by so much already counts. */
  readonly from: number;
  readonly until: number;
  readonly keys: readonly string[];
  readonly jtis: readonly string[];
  readonly parties: readonly LinkToken[];
}

type JudgeOptions = Pick<
  VerifierOptions,
  'operators' | 'accounts' | 'issued' | 'revocations' | 'hosts' | 'clockSkewSeconds'
> & {
  readonly now: () => number;
  /** Told when the tokens of operators are others than at the last look. */
  readonly onOperators: () => void;
};

/** Says of chains whether they hold, at this moment and by what is at hand. It waits for nothing. */
export class Judge {
  readonly bare: ReadonlySet<string>;
  readonly seen: Seen;
  readonly #operators: Operators;
  readonly #onOperators: () => void;
  #set: OperatorSet | undefined;
  readonly #revocations: Revocations;
  readonly #hosts: HostTrust | undefined;
  readonly #skew: number;
  /** Milliseconds. */
  readonly #now: () => number;

  constructor(options: JudgeOptions) {
    this.#now = options.now;
    this.#operators = new Operators(options.operators);
    this.bare = new Set(options.accounts);
    this.seen = new Seen(options.issued ?? memoryIssued());
    this.#onOperators = options.onOperators;
    this.#revocations = options.revocations ?? NO_REVOCATIONS;
    this.#hosts = options.hosts;
    this.#skew = options.clockSkewSeconds ?? 5;
  }

  /** Refuses a caller's token for what can be said of it alone. @throws ChainError */
  checkAlone(caller: CallerToken): void {
    checkLink(caller, this.#ground());
  }

  /** @throws ChainError */
  host(caller: CallerToken): Entry {
    return this.#entry(caller, hostChain(caller, this.#hosts, this.#ground()));
  }

  /** @throws ChainError */
  under(state: AccountState, caller: CallerToken): Entry {
    const verified = chainUnder(caller, this.standing(state), state.signersSeen, this.#ground());
    return this.#entry(caller, verified, state);
  }

  /** @throws ChainError */
  standing(state: AccountState): Standing {
    const { key, token, failure } = state;
    if (failure) throw failure;
    const anchors = { operators: this.#operatorSet(), bare: this.bare };
    const standing = standingOf(key, token, anchors, this.#ground());
    if (standing.token) state.seeSigners(standing.token);
    this.seen.see(tokensOf(standing));
    return standing;
  }

  /** The tokens of trusted operators that hold at this moment: none that is older counts from now on. */
  operators(): readonly OperatorToken[] {
    return this.#holding(this.#operatorSet());
  }

  /** On whose word an account is trusted; undefined: on nobody's. */
  standingIfAny(state: AccountState): Standing | undefined {
    return ifGood(() => this.standing(state));
  }

  /** Whether a chain that was found good holds under what is known now. */
  holds(entry: Entry): boolean {
    return this.#holds(entry, false);
  }

  /** Whether, beyond that, the newest tokens of all that it rests on are noted, so that it may be answered with. */
  holdsAnew(entry: Entry): boolean {
    return this.#holds(entry, true);
  }

  #holds(entry: Entry, noted: boolean): boolean {
    const { state, under } = entry;
    if (state && (under.account !== state.token || under.operators !== this.#operatorSet())) {
      if (!this.#renew(entry, state)) return false;
    }
    return !state?.failure && this.#isGood(entry.under, noted);
  }

  /** Judges a chain under what has changed; one that comes out as another one has ceased to hold. */
  #renew(entry: Entry, state: AccountState): boolean {
    const renewed = ifGood(() => this.under(state, entry.caller));
    if (renewed === undefined || !isDeepStrictEqual(renewed.chain, entry.chain)) return false;
    entry.under = renewed.under;
    return true;
  }

  /** Whether `checkLink` and `checkAge` have nothing to say of any token. It is asked at every use: no frills. */
  #isGood({ from, until, keys, jtis, parties }: Under, noted: boolean): boolean {
    const now = this.#seconds();
    if (now < from || now > until) return false;
    for (const key of keys) if (this.#revocations.keyRevoked(key)) return false;
    for (const jti of jtis) if (this.#revocations.tokenRevoked(jti)) return false;
    for (const { key, iat } of parties) {
      if (this.seen.newest(key) > iat || (noted && this.seen.noted(key) < iat)) return false;
    }
    return true;
  }

  #entry(caller: CallerToken, verified: Verified, state?: AccountState): Entry {
    const { tokens } = verified;
    const under = {
      operators: this.#operatorSet(),
      account: state?.token,
      from: Math.max(...tokens.map(({ iat, nbf = 0 }) => Math.max(iat, nbf))) - this.#skew,
      until: (verified.chain.expiresAt ?? Number.POSITIVE_INFINITY) + this.#skew,
      keys: [...new Set(verified.chain.links.flatMap(({ key, issuer }) => [key, issuer ?? key]))],
      jtis: tokens.map(({ jti }) => jti),
      parties: tokens.filter(({ what }) => what === 'operator' || what === 'account'),
    };
    return { ...verified, caller, state, under };
  }

  /** What is new in it counts as seen before anything is judged by it. */
  #operatorSet(): OperatorSet {
    const set = this.#operators.current();
    if (set !== this.#set) {
      this.#set = set;
      this.#holding(set);
      this.#onOperators();
    }
    return set;
  }

  #holding({ trusted }: OperatorSet): OperatorToken[] {
    const ground = this.#ground();
    const checked = (operator: TrustedOperator) => {
      checkOperator(operator, ground);
      return operator.token;
    };
    const holding = trusted.flatMap((operator) => ifGood(() => checked(operator)) ?? []);
    this.seen.see(holding);
    return holding;
  }

  #ground(): Ground {
    return { revocations: this.#revocations, seen: this.seen, now: this.#seconds(), skew: this.#skew };
  }

  #seconds(): number {
    return Math.floor(this.#now() / 1000);
  }
}

export const tokensOf = ({ operator, token }: Standing): LinkToken[] =>
  [operator?.token, token].filter((one) => one !== undefined);

function ifGood<T>(judge: () => T): T | undefined {
  try {
    return judge();
  } catch (error) {
    if (error instanceof ChainError) return undefined;
    throw error;
  }
}
