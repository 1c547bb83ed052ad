import type { AccountState, Accounts } from './accounts.js';
import { ChainError } from './chain-error.js';
import { withTimeout } from './lookups.js';
import type { AccountResolver } from './options.js';

/** How old the index may be when a key is not in it. */
const VAIN_MS = 5_000;
const MOST_ACCOUNTS = 20_000;
/** So many accounts are asked for at a time. */
const AT_ONCE = 16;

interface Index {
  readonly accounts: ReadonlySet<string>;
  /** The account of each signing key; undefined: of more than one, so that it is nobody's. */
  readonly signers: ReadonlyMap<string, string | undefined>;
  /** Of keys that are signing keys no more. */
  readonly former: ReadonlyMap<string, string>;
  readonly generation: number;
  readonly madeAt: number;
}

export interface SignersOptions {
  readonly resolver: AccountResolver;
  readonly accounts: Accounts;
  /** Whether somebody trusted vouches for an account: signing keys of others do not count. */
  readonly trusts: (state: AccountState) => boolean;
  readonly timeoutMs: number;
  readonly maxAgeMs: number;
  /** Milliseconds. */
  readonly now: () => number;
}

/**
 * Tells of which account a key is that signed a component or provider: the account's own key, or one of its signing keys. The
 * tokens of wasmCloud name the key only. For signing keys all accounts are looked at, if the resolver can list them.
 */
export class Signers {
  readonly #options: SignersOptions;
  #index: Index | undefined;
  #making: Promise<Index> | undefined;

  constructor(options: SignersOptions) {
    this.#options = options;
  }

  /**
   * The account of a key; undefined: it is nobody's. What the account says of the key, its token must tell.
   *
   * @throws ChainError `resolver_failed`
   */
  async accountOf(issuer: string): Promise<string | undefined> {
    const { resolver, accounts } = this.#options;
    if (resolver.accounts === undefined) return issuer;
    const made = this.#index;
    const found = made && accountIn(made, issuer);
    if (made && this.#isFresh(made, found !== undefined)) return found;
    const index = await this.#make();
    // What changed while it was made may not be in it.
    return accountIn(index.generation === accounts.generation ? index : await this.#make(), issuer);
  }

  #isFresh({ generation, madeAt }: Index, found: boolean): boolean {
    const { accounts, maxAgeMs, now } = this.#options;
    const age = now() - madeAt;
    return generation === accounts.generation && age >= 0 && age < (found ? maxAgeMs : VAIN_MS);
  }

  #make(): Promise<Index> {
    this.#making ??= this.#collect().finally(() => {
      this.#making = undefined;
    });
    return this.#making;
  }

  async #collect(): Promise<Index> {
    const { accounts, now, trusts } = this.#options;
    const { generation } = accounts;
    const madeAt = now();
    const keys = await this.#list();
    const signers = new Map<string, string | undefined>();
    const former = new Map<string, string>();
    const left = keys.values();
    const take = async () => {
      for (const key of left) {
        const state = await accounts.current(key);
        for (const signer of state.signersSeen) former.set(signer, key);
        if (!trusts(state)) continue;
        for (const signer of state.token?.signers.keys() ?? []) {
          signers.set(signer, signers.has(signer) ? undefined : key);
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, take));
    for (const signer of signers.keys()) former.delete(signer);
    this.#index = { accounts: new Set(keys), signers, former, generation, madeAt };
    return this.#index;
  }

  async #list(): Promise<readonly string[]> {
    const { resolver, timeoutMs } = this.#options;
    try {
      const keys = await withTimeout(Promise.resolve(resolver.accounts?.() ?? []), timeoutMs);
      return [...new Set(keys)].slice(0, MOST_ACCOUNTS);
    } catch (error) {
      throw new ChainError('resolver_failed', 'the list of accounts', 'it could not be had', {
        cause: error,
      });
    }
  }
}

function accountIn({ accounts, signers, former }: Index, issuer: string): string | undefined {
  return accounts.has(issuer) ? issuer : (signers.get(issuer) ?? former.get(issuer));
}
