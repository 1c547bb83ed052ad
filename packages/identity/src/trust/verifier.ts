import { isDeepStrictEqual } from 'node:util';
import { parsePublicKey } from '../keys/nkey.js';
import { TOKEN_BYTES } from '../tokens/parts.js';
import { type AccountState, Accounts } from './accounts.js';
import type { Chain, ChainKind, ChainOf } from './chain.js';
import { failing } from './ground.js';
import { type Entry, Judge, tokensOf } from './judge.js';
import { Lookups } from './lookups.js';
import type { VerifierOptions } from './options.js';
import { Signers } from './signers.js';
import { TokenCache } from './token-cache.js';
import { type CallerToken, readCaller } from './tokens.js';
import { Vigil } from './vigil.js';

/** Verified tokens that are kept, by number and by the size of their texts. */
const CACHE = { most: 10_000, mostBytes: 16 * 1024 * 1024 };
/** What a chain rests on may change while it is verified; then it is verified again, and not for ever. */
const TRIES = 8;

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
  readonly #judge: Judge;
  readonly #accounts: Accounts;
  readonly #signers: Signers;
  readonly #vigil: Vigil;
  readonly #cache = new TokenCache<Entry>(CACHE);
  readonly #entries = new WeakMap<Chain, Entry>();
  readonly #listeners = new Set<() => void>();
  readonly #unwatch: (() => void) | undefined;
  #closed = false;

  /** @throws IdentityError for a trusted account or host whose key is none */
  constructor(options: VerifierOptions) {
    const { resolver, hosts, maxAgeSeconds = 300, lookupSeconds = 5 } = options;
    const told = options.now;
    const now = told === undefined ? Date.now : () => told().getTime();
    for (const key of [...(options.accounts ?? []), ...(hosts?.keys ?? []), ...(hosts?.clusters ?? [])]) {
      parsePublicKey(key);
    }
    this.#judge = new Judge({ ...options, now, onOperators: () => this.#vigil.noteOperators() });
    const { bare, seen } = this.#judge;
    const limits = {
      timeoutMs: lookupSeconds * 1000,
      maxAgeMs: maxAgeSeconds * 1000,
      now,
    };
    this.#accounts = new Accounts({
      ...limits,
      lookups: new Lookups(resolver, limits),
      seenBefore: (key) => bare.has(key) || seen.knows(key),
      onToken: (state) => this.#noteToken(state),
      onChange: () => this.#tell(),
    });
    const trusts = (state: AccountState) => this.#trusts(state);
    this.#signers = new Signers({ ...limits, resolver, accounts: this.#accounts, trusts });
    const { timeoutMs } = limits;
    this.#vigil = new Vigil({ judge: this.#judge, accounts: this.#accounts, resolver, timeoutMs });
    this.#unwatch = resolver.watch?.((account) => {
      this.changed(account);
      if (account === undefined) this.#vigil.lookAtAll();
      else this.#vigil.lookAt(account);
    });
    this.#vigil.begin();
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
    const entry = token.length > TOKEN_BYTES ? undefined : this.#cache.get(token);
    if (entry && this.#accepts(entry) && kinds.includes(entry.chain.kind as K))
      return entry.chain as ChainOf<K>;
    return this.#verify(token, kinds, entry) as Promise<ChainOf<K>>;
  }

  /** Whether a chain that this verifier has answered with holds at this moment. It asks nobody, and costs next to nothing. */
  isLive(chain: Chain): boolean {
    const entry = this.#entries.get(chain);
    if (entry === undefined || this.#closed) return false;
    return this.#judge.holds(entry) && (entry.state === undefined || this.#accounts.countsOn(entry.state));
  }

  /**
   * To be called when something changed that chains rest on: what the resolver says of one account; without an account
   * anything, such as revocations or operators. Only chains that do not hold any more are given up.
   */
  changed(account?: string): void {
    this.#accounts.doubt(account);
    this.#vigil.noteOperators();
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
    this.#vigil.close();
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
    this.#judge.checkAlone(caller);
    if (caller.what === 'host') return this.#keep(text, this.#judge.host(caller), before);
    for (let tries = 0; tries < TRIES; tries++) {
      const state = await this.#accounts.current(await this.#accountOf(caller));
      if (!this.#accounts.counts(state)) continue;
      const tokens = tokensOf(this.#judge.standing(state));
      // From here to the answer nothing is waited for.
      if (this.#judge.seen.hasAll(tokens)) {
        return this.#keep(text, this.#judge.under(state, caller), before);
      }
      // Also for a caller whom it refuses: the token before it must not come back.
      await this.#judge.seen.note(tokens);
    }
    throw failing(caller)(
      'resolver_failed',
      'what its chain rests on changes faster than it can be verified: try again',
    );
  }

  async #accountOf(caller: CallerToken): Promise<string> {
    const { user, issuer } = caller;
    if (user) return user.issuer_account ?? issuer;
    const account = this.#judge.bare.has(issuer) ? issuer : await this.#signers.accountOf(issuer);
    if (account !== undefined) return account;
    throw failing(caller)('unknown_issuer', `no trusted account has the key ${issuer}, which signed it`);
  }

  #trusts(state: AccountState): boolean {
    if (this.#judge.standingIfAny(state) === undefined) return false;
    this.#accounts.vouchFor(state);
    return true;
  }

  /** That a newer token was seen counts from when it was seen, whoever asks next. */
  #noteToken(state: AccountState): void {
    const standing = this.#judge.standingIfAny(state);
    // Who asks next waits for it, and is told if it fails.
    if (standing) this.#judge.seen.note(tokensOf(standing)).catch(() => {});
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
    const { state } = entry;
    return (state === undefined || this.#accounts.counts(state)) && this.#judge.holdsAnew(entry);
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

/** Many hold it at once. */
function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value;
  for (const part of Object.values(value)) frozen(part);
  return Object.freeze(value);
}
