import { isDeepStrictEqual } from 'node:util';
import { parsePublicKey } from '../keys/nkey.js';
import { type AccountState, Accounts } from './accounts.js';
import type { Chain, ChainKind, ChainOf } from './chain.js';
import { ChainError, linkName } from './chain-error.js';
import { chainUnder, hostChain, type Verified } from './evaluate.js';
import { checkLink, failing, type Ground } from './ground.js';
import { memoryIssued, NO_REVOCATIONS } from './in-memory.js';
import { Lookups } from './lookups.js';
import { type OperatorSet, Operators } from './operators.js';
import type { HostTrust, IssuedMemory, Revocations, VerifierOptions } from './options.js';
import { Signers } from './signers.js';
import { type Standing, standingOf } from './standing.js';
import { TokenCache } from './token-cache.js';
import { type AccountToken, type CallerToken, type LinkToken, readCaller } from './tokens.js';

/** Verified tokens that are kept, by number and by the size of their texts. */
const CACHE = { most: 10_000, mostBytes: 16 * 1024 * 1024 };
/** What a chain rests on may change while it is verified; then it is verified again, and not for ever. */
const TRIES = 8;

/** A chain with what it rests on, to be looked at again at every use. */
interface Entry extends Verified {
  readonly caller: CallerToken;
  readonly state?: AccountState | undefined;
  /** What it was found to hold under; when it is this no more, it is judged anew. */
  operators: OperatorSet;
  account: AccountToken | undefined;
  tokens: readonly LinkToken[];
}

/**
 * Tells whose a token is: verifies the chain of signatures up to an operator or account that is trusted.
 *
 * A chain that it has answered with holds until one of its tokens expires, it is revoked, or what it rests on changes; `isLive`
 * tells, exactly. When in doubt it refuses: what the resolver says is asked for anew when it is too old or may have changed, and
 * as long as there is no answer, nothing new is accepted. (What was accepted before goes on for at most a second while the
 * question is under way.)
 *
 * Life: made, then `close`.
 */
export class Verifier {
  readonly #operators: Operators;
  readonly #bare: ReadonlySet<string>;
  readonly #accounts: Accounts;
  readonly #signers: Signers;
  readonly #issued: IssuedMemory;
  readonly #revocations: Revocations;
  readonly #hosts: HostTrust | undefined;
  readonly #skew: number;
  readonly #now: () => Date;
  readonly #cache = new TokenCache<Entry>(CACHE);
  readonly #entries = new WeakMap<Chain, Entry>();
  readonly #listeners = new Set<() => void>();
  /** Under way, by key and time. */
  readonly #remembering = new Map<string, Promise<void>>();
  readonly #unwatch: (() => void) | undefined;
  #closed = false;

  /** @throws IdentityError for a trusted account or host whose key is none */
  constructor(options: VerifierOptions) {
    const { resolver, hosts } = options;
    const { clockSkewSeconds = 5, maxAgeSeconds = 300, lookupSeconds = 5 } = options;
    for (const key of [...(options.accounts ?? []), ...(hosts?.keys ?? []), ...(hosts?.clusters ?? [])]) {
      parsePublicKey(key);
    }
    this.#now = options.now ?? (() => new Date());
    this.#operators = new Operators(options.operators);
    this.#bare = new Set(options.accounts);
    this.#issued = options.issued ?? memoryIssued();
    this.#revocations = options.revocations ?? NO_REVOCATIONS;
    this.#hosts = hosts;
    this.#skew = clockSkewSeconds;
    const now = () => this.#now().getTime();
    const limits = { timeoutMs: lookupSeconds * 1000, maxAgeMs: maxAgeSeconds * 1000, now };
    this.#accounts = new Accounts({
      ...limits,
      lookups: new Lookups(resolver, limits),
      seenBefore: (key) => this.#bare.has(key) || this.#issued.newest(key) !== undefined,
      onChange: () => this.#tell(),
      onAnswer: (state) => this.#note(state),
    });
    const trusts = (state: AccountState) => this.#trusts(state);
    this.#signers = new Signers({ ...limits, resolver, accounts: this.#accounts, trusts });
    this.#unwatch = resolver.watch?.((account) => {
      this.#accounts.doubt(account);
      this.#tell();
    });
  }

  /**
   * Verifies a token with all that it descends from. At once, if it was verified before and still holds.
   *
   * A newer token of its operator or account than any before is remembered before the answer. It never throws; a refusal is
   * a rejected promise.
   *
   * @param kinds what it may be about
   * @throws ChainError; IdentityError for what is no token, or none that its issuer has signed
   */
  verify<K extends ChainKind>(token: string, kinds: readonly K[]): ChainOf<K> | Promise<ChainOf<K>> {
    const entry = this.#cache.get(token);
    if (
      entry &&
      this.#accepts(entry) &&
      this.#unseen(entry.tokens).length === 0 &&
      kinds.includes(entry.chain.kind as K)
    )
      return entry.chain as ChainOf<K>;
    return this.#verify(token, kinds, entry) as Promise<ChainOf<K>>;
  }

  /** Whether a chain that this verifier has answered with holds at this moment. It asks nobody, and costs next to nothing. */
  isLive(chain: Chain): boolean {
    const entry = this.#entries.get(chain);
    if (entry === undefined || this.#closed) return false;
    return this.#holds(entry) && (entry.state === undefined || this.#accounts.countsOn(entry.state));
  }

  /**
   * To be called when something changed that chains rest on: what the resolver says of one account; without an account
   * anything, such as revocations or operators. Only chains that do not hold any more are given up.
   */
  changed(account?: string): void {
    this.#accounts.doubt(account);
    this.#tell();
  }

  /**
   * Tells when chains may have ceased to hold for another reason than their time: in the same turn in which it is known.
   *
   * @returns ends it
   */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** From now on nothing holds. The resolver is its maker's to close. */
  close(): void {
    this.#closed = true;
    this.#unwatch?.();
    this.#accounts.close();
    this.#cache.clear();
    this.#listeners.clear();
  }

  async #verify(text: string, kinds: readonly ChainKind[], before: Entry | undefined): Promise<Chain> {
    const caller = before?.caller ?? readCaller(text);
    if (this.#closed) throw failing(caller)('resolver_failed', 'this verifier is closed');
    if (!kinds.includes(caller.what)) {
      const why = `this is the token of a ${caller.what}, and that of a ${kinds.join(' or ')} is wanted`;
      throw failing(caller)('wrong_token_kind', why);
    }
    // Before anybody is asked for the sake of a stranger.
    checkLink(caller, this.#ground());
    for (let tries = 0; tries < TRIES; tries++) {
      const entry = await this.#judge(caller);
      if (entry !== undefined) return this.#keep(text, entry, before);
    }
    throw failing(caller)(
      'resolver_failed',
      'what its chain rests on changes faster than it can be verified: try again',
    );
  }

  /** Undefined: what was looked up counts no more, or was waited for. */
  async #judge(caller: CallerToken): Promise<Entry | undefined> {
    if (caller.what === 'host') {
      const operators = this.#operators.current();
      return { ...hostChain(caller, this.#hosts, this.#ground()), caller, operators, account: undefined };
    }
    const state = await this.#accounts.current(await this.#accountOf(caller));
    if (!this.#accounts.counts(state)) return undefined;
    // Even if it is of no use to this caller: the token before it must not come back.
    const unseen = this.#unseen(tokensOf(this.#standingOf(state, this.#ground())));
    if (unseen.length > 0) {
      await this.#remember(unseen);
      return undefined;
    }
    // From here to the answer nothing is waited for.
    return this.#judgeUnder(caller, state);
  }

  /** Remembers what the resolver has told of its own accord: nobody may ask for it before it is put back. */
  #note(state: AccountState): void {
    try {
      const unseen = this.#unseen(tokensOf(this.#standingOf(state, this.#ground())));
      // Without it the next caller is not accepted, and gets to know why.
      if (unseen.length > 0) void this.#remember(unseen).catch(() => undefined);
    } catch (error) {
      if (!(error instanceof ChainError)) throw error;
    }
  }

  #judgeUnder(caller: CallerToken, state: AccountState): Entry {
    const ground = this.#ground();
    const standing = this.#standingOf(state, ground);
    const operators = this.#operators.current();
    const verified = chainUnder(caller, standing, state.signersSeen, ground);
    return { ...verified, caller, state, operators, account: state.token };
  }

  async #accountOf({ user, issuer, ...caller }: CallerToken): Promise<string> {
    if (user) return user.issuer_account ?? issuer;
    const account = this.#bare.has(issuer) ? issuer : await this.#signers.accountOf(issuer);
    if (account !== undefined) return account;
    throw failing(caller)('unknown_issuer', `no trusted account has the key ${issuer}, which signed it`);
  }

  /** @throws ChainError */
  #standingOf({ key, token, failure }: AccountState, ground: Ground): Standing {
    if (failure) throw failure;
    return standingOf(key, token, { operators: this.#operators.current(), bare: this.#bare }, ground);
  }

  #trusts(state: AccountState): boolean {
    try {
      this.#standingOf(state, this.#ground());
    } catch (error) {
      if (error instanceof ChainError) return false;
      throw error;
    }
    this.#accounts.vouchFor(state);
    return true;
  }

  /** Operators and accounts whose tokens are newer than any that was seen. */
  #unseen(tokens: readonly LinkToken[]): readonly LinkToken[] {
    return tokens.filter(
      ({ what, key, iat }) => (what === 'operator' || what === 'account') && !(this.#newest(key) >= iat),
    );
  }

  #newest(key: string): number {
    return this.#issued.newest(key) ?? -1;
  }

  async #remember(tokens: readonly LinkToken[]): Promise<void> {
    for (const { what, key, name, iat } of tokens) {
      const id = `${key} ${iat}`;
      const remembering = this.#remembering.get(id) ?? settled(() => this.#issued.remember(key, iat));
      this.#remembering.set(id, remembering);
      let cause: unknown;
      await remembering.catch((error: unknown) => {
        cause = error;
      });
      this.#remembering.delete(id);
      if (this.#newest(key) >= iat) continue;
      const why = 'that its newest token was seen could not be noted, and so it is not accepted';
      throw new ChainError('memory_failed', linkName(what, key, name), why, { cause });
    }
  }

  #keep(text: string, entry: Entry, before: Entry | undefined): Chain {
    if (entry.state) this.#accounts.vouchFor(entry.state);
    // Who holds the chain of before goes on with it.
    const chain = before && isDeepStrictEqual(before.chain, entry.chain) ? before.chain : frozen(entry.chain);
    const kept = { ...entry, chain };
    this.#cache.set(text, kept);
    this.#entries.set(chain, kept);
    return chain;
  }

  /** Whether a chain may be answered with anew. */
  #accepts(entry: Entry): boolean {
    return (entry.state === undefined || this.#accounts.counts(entry.state)) && this.#holds(entry);
  }

  /** Whether a chain holds under what is known now. */
  #holds(entry: Entry): boolean {
    const operators = this.#operators.current();
    if (entry.operators !== operators || entry.account !== entry.state?.token) {
      if (!this.#renew(entry)) return false;
    }
    if (entry.state?.failure) return false;
    const now = this.#seconds();
    return entry.tokens.every((token) => this.#isGood(token, now));
  }

  /** Whether `checkLink` and `checkAge` have nothing to say. */
  #isGood(
    { what, key, issuer, jti, iat, nbf = 0, exp = Number.POSITIVE_INFINITY }: LinkToken,
    now: number,
  ): boolean {
    if (now > exp + this.#skew || Math.max(iat, nbf) > now + this.#skew) return false;
    if ((what === 'operator' || what === 'account') && this.#newest(key) > iat) return false;
    const revocations = this.#revocations;
    return !(
      revocations.tokenRevoked(jti) ||
      revocations.keyRevoked(key) ||
      (issuer !== key && revocations.keyRevoked(issuer))
    );
  }

  /** Judges a chain under what has changed; one that comes out as another one has ceased to hold. */
  #renew(entry: Entry): boolean {
    const { caller, state } = entry;
    if (state === undefined) {
      entry.operators = this.#operators.current();
      return true;
    }
    try {
      const { chain, operators, account, tokens } = this.#judgeUnder(caller, state);
      if (!isDeepStrictEqual(chain, entry.chain)) return false;
      Object.assign(entry, { operators, account, tokens });
      return true;
    } catch (error) {
      if (error instanceof ChainError) return false;
      throw error;
    }
  }

  #ground(): Ground {
    return {
      revocations: this.#revocations,
      issued: this.#issued,
      now: this.#seconds(),
      skew: this.#skew,
    };
  }

  #seconds(): number {
    return Math.floor(this.#now().getTime() / 1000);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** What is thrown at once is thrown by the promise. */
const settled = async (work: () => Promise<void>): Promise<void> => await work();

const tokensOf = ({ operator, token }: Standing): readonly LinkToken[] =>
  [operator, token].filter((one) => one !== undefined);

/** Many hold it at once. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
