import { IdentityError } from '../errors.js';
import { ChainError, linkName } from './chain-error.js';
import { LookupError, type Lookups } from './lookups.js';
import { type AccountToken, readAccount } from './tokens.js';

/** How long an answer counts that led to no chain, so that who asks in vain does not ask the resolver each time. */
const VAIN_MS = 5_000;
/** How long chains that hold go on while it is asked whether they still do. */
const DOUBT_MS = 1_000;
/** Accounts that are not used for so long are not kept fresh. */
const IDLE_MS = 60 * 60 * 1000;
const MOST_KNOWN = 20_000;
const MOST_STRANGERS = 4_096;
const MOST_SIGNERS = 4_096;
/** An account that changes more often while it is asked for is not waited for. */
const TRIES = 8;

/** What the resolver says of an account. */
export class AccountState {
  readonly key: string;
  /** Its answer; undefined: it has none. */
  token: AccountToken | undefined;
  /** Its answer cannot be used. */
  failure: ChainError | undefined;
  /** When the answer came, in milliseconds; undefined: none has come, or this state is given up. */
  answeredAt: number | undefined;
  /** Since when the answer may not be the last word. */
  doubtfulSince: number | undefined;
  usedAt = 0;
  /** Goes up with each change, so that answers to questions asked before do not count. */
  epoch = 0;
  asking: Promise<void> | undefined;
  /** All keys that were ever its signing keys by a token that somebody trusted vouches for; those seen last. */
  readonly signersSeen = new Set<string>();
  #signersOf: AccountToken | undefined;

  constructor(key: string) {
    this.key = key;
  }

  seeSigners(token: AccountToken): void {
    if (token === this.#signersOf) return;
    this.#signersOf = token;
    for (const key of token.signers.keys()) {
      this.signersSeen.delete(key);
      this.signersSeen.add(key);
    }
    for (const key of this.signersSeen) {
      if (this.signersSeen.size <= MOST_SIGNERS) break;
      this.signersSeen.delete(key);
    }
  }
}

export interface AccountsOptions {
  readonly lookups: Lookups;
  readonly maxAgeMs: number;
  /** Milliseconds. */
  readonly now: () => number;
  /** Whether a token of the account was seen in a life before this one. */
  readonly seenBefore: (key: string) => boolean;
  /** Told in the same turn when the resolver has another token of an account that is known. */
  readonly onToken: (state: AccountState) => void;
  /** Told when an answer is another one, or has been waited for too long. */
  readonly onChange: () => void;
}

/**
 * The accounts as the resolver tells of them: asked for once at a time, used for as long as the answer may be used, kept fresh
 * while they are used. The answers are only read here; whether they are to be trusted is for `standingOf` to say.
 */
export class Accounts {
  readonly #options: AccountsOptions;
  /** Somebody trusted has vouched for these. */
  readonly #known = new Map<string, AccountState>();
  readonly #strangers = new Map<string, AccountState>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Goes up with every doubt, and when the answer for an account that is known is another one. */
  generation = 0;

  constructor(options: AccountsOptions) {
    this.#options = options;
  }

  /**
   * The account with an answer that counts now.
   *
   * @throws ChainError `resolver_failed`
   */
  async current(key: string): Promise<AccountState> {
    for (let tries = 0; tries < TRIES; tries++) {
      const state = this.#stateOf(key);
      if (this.counts(state)) return state;
      const { epoch } = state;
      try {
        await (state.asking ?? this.#ask(state));
      } catch (error) {
        // After a change it was the wrong question that failed.
        if (state.epoch === epoch) throw error;
      }
    }
    throw failed(key, 'it changes faster than it can be looked up: try again');
  }

  /** Whether a new chain may rest on the answer. */
  counts(state: AccountState): boolean {
    return state.doubtfulSince === undefined && this.#isYoung(state);
  }

  /** Whether a chain that was found good may go on resting on the answer: for a moment longer, if in doubt. */
  countsOn(state: AccountState): boolean {
    const now = this.#options.now();
    state.usedAt = now;
    if (state.doubtfulSince !== undefined && !within(now - state.doubtfulSince, DOUBT_MS)) return false;
    return this.#isYoung(state);
  }

  /** Somebody trusted vouches for it: it is kept, and kept fresh. */
  vouchFor(state: AccountState): void {
    state.usedAt = this.#options.now();
    if (this.#known.has(state.key)) return;
    this.#strangers.delete(state.key);
    this.#known.set(state.key, state);
    if (this.#known.size > MOST_KNOWN) forgetOldest(this.#known);
    this.#keepFresh();
  }

  /** What the resolver said of one account, or of all, may be so no more. */
  doubt(key?: string): void {
    this.generation++;
    forget(this.#strangers, key);
    const doubtful = key === undefined ? [...this.#known.values()] : [this.#known.get(key) ?? []].flat();
    for (const state of doubtful) this.#askAgain(state);
    if (doubtful.some(({ doubtfulSince }) => doubtfulSince !== undefined)) {
      setTimeout(() => this.#options.onChange(), DOUBT_MS + 1).unref();
    }
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    forget(this.#strangers);
    forget(this.#known);
  }

  #askAgain(state: AccountState): void {
    state.epoch++;
    state.asking = undefined;
    state.doubtfulSince ??= this.#options.now();
    try {
      const { onChange } = this.#options;
      this.#ask(state)?.then(onChange, onChange);
    } catch {
      // Whoever asks for it next gets to hear why.
    }
  }

  /** What is answered at once is taken at once. */
  #ask(state: AccountState): Promise<void> | undefined {
    const { key } = state;
    if (this.#closed) throw failed(key, 'this verifier is closed');
    const known = this.#known.has(key) || this.#options.seenBefore(key);
    try {
      const answer = this.#options.lookups.ask(key, known);
      if (answer instanceof Promise) return this.#wait(state, answer);
      this.#take(state, answer);
      return undefined;
    } catch (error) {
      throw unanswered(key, error);
    }
  }

  #wait(state: AccountState, answer: Promise<string | undefined>): Promise<void> {
    const { epoch, key } = state;
    const asking = answer.then(
      (text) => {
        if (state.epoch === epoch) this.#take(state, text);
      },
      (error: unknown) => {
        throw unanswered(key, error);
      },
    );
    const done = () => {
      if (state.asking === asking) state.asking = undefined;
    };
    asking.then(done, done);
    state.asking = asking;
    return asking;
  }

  #take(state: AccountState, text: string | undefined): void {
    state.answeredAt = this.#options.now();
    state.doubtfulSince = undefined;
    if (text !== undefined && text === state.token?.text) return;
    if (this.#known.has(state.key)) this.generation++;
    state.failure = undefined;
    state.token = undefined;
    if (text === undefined) return;
    try {
      state.token = read(state.key, text);
      if (this.#known.has(state.key)) this.#options.onToken(state);
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error;
      state.failure = failed(state.key, `what was found as its token is none: ${error.message}`, error);
    }
  }

  #isYoung({ answeredAt, key }: AccountState): boolean {
    const { maxAgeMs, now } = this.#options;
    const limit = this.#known.has(key) ? maxAgeMs : Math.min(VAIN_MS, maxAgeMs);
    return answeredAt !== undefined && within(now() - answeredAt, limit);
  }

  #stateOf(key: string): AccountState {
    const found = this.#known.get(key) ?? this.#strangers.get(key);
    if (found) return found;
    const state = new AccountState(key);
    this.#strangers.set(key, state);
    if (this.#strangers.size > MOST_STRANGERS) forgetOldest(this.#strangers);
    return state;
  }

  #keepFresh(): void {
    const every = Math.min(this.#options.maxAgeMs / 4, 15_000);
    this.#timer ??= setInterval(() => this.#refresh(), every).unref();
  }

  /** Answers in use are asked for again before they are too old; that some are too old now is told. */
  #refresh(): void {
    const { maxAgeMs, now, onChange } = this.#options;
    const moment = now();
    let lapsed = false;
    for (const state of this.#known.values()) {
      const { answeredAt = Number.NEGATIVE_INFINITY, token } = state;
      const age = moment - answeredAt;
      if (state.asking || moment - state.usedAt > IDLE_MS) continue;
      if (state.doubtfulSince === undefined && within(age, maxAgeMs / 2)) continue;
      lapsed ||= age >= maxAgeMs;
      try {
        this.#ask(state)?.then(
          () => state.token !== token && onChange(),
          () => {},
        );
        lapsed ||= state.token !== token;
      } catch {
        // Until it is too old, the answer counts.
      }
    }
    if (lapsed) onChange();
  }
}

const within = (age: number, limit: number): boolean => age >= 0 && age < limit;

/** Chains that rest on a forgotten state hold no longer, and nothing that was asked for its sake counts. */
function forget(states: Map<string, AccountState>, key?: string): void {
  const all = key === undefined ? [...states.values()] : [states.get(key) ?? []].flat();
  for (const state of all) {
    states.delete(state.key);
    state.epoch++;
    state.answeredAt = undefined;
  }
}

function forgetOldest(states: Map<string, AccountState>): void {
  const [oldest] = states.keys();
  if (oldest !== undefined) forget(states, oldest);
}

function read(key: string, text: string): AccountToken {
  const token = readAccount(text);
  if (token.key === key) return token;
  throw new IdentityError('malformed_token', 'it is the token of another account');
}

const failed = (key: string, why: string, cause?: unknown): ChainError =>
  new ChainError('resolver_failed', linkName('account', key), why, { cause });

/** With a resolver's own sentence; of anything else only that it went wrong, as it may hold what should not be told. */
function unanswered(key: string, error: unknown): ChainError {
  const tellable = error instanceof LookupError || error instanceof IdentityError;
  return failed(key, `it could not be looked up: ${tellable ? error.message : 'the resolver failed'}`, error);
}
