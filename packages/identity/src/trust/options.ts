/** Where the tokens of accounts are. Its answers are not trusted: they must be for the account asked for, and pass the chain. */
export interface AccountResolver {
  /** The account's token; undefined: there is no such account. An answer at once, where it is at hand, spares a wait. */
  lookup(account: string): Promise<string | undefined> | string | undefined;
  /**
   * The keys of all accounts. Without it, components and providers are known by their account's own key only: their tokens do
   * not say of which account their signing key is.
   */
  accounts?(): Promise<readonly string[]> | readonly string[];
  /**
   * Tells when what it delivered may have changed: that of one account, or any (undefined).
   *
   * @returns ends it
   */
  watch?(changed: (account?: string) => void): () => void;
  close?(): Promise<void>;
}

/** The newest time of issue ever seen of each operator and account, so that an older token cannot bring back what it allowed. */
export interface IssuedMemory {
  newest(key: string): number | undefined;
  /** Settles when it is safely kept. An older time than the newest changes nothing. */
  remember(key: string, iat: number): Promise<void>;
}

/** What nsc cannot revoke: one token by its id, and one key, of whatever kind. Asked on every use, hence at once. */
export interface Revocations {
  tokenRevoked(jti: string): boolean;
  keyRevoked(key: string): boolean;
}

/**
 * Which hosts of wasmCloud are believed. By default any: their tokens are checked for form, signature, kind, time and
 * revocation, and prove nothing, as the issuer of a stock host is a key made at its start.
 */
export interface HostTrust {
  /** Hosts (`N…`) whose own key signed their token. */
  readonly keys?: readonly string[] | undefined;
  /** Keys (`C…`, or `A…` as stock hosts use) that sign the tokens of hosts. */
  readonly clusters?: readonly string[] | undefined;
}

export interface VerifierOptions {
  /**
   * The tokens of trusted operators, of NATS or of wasmCloud, or their public keys; asked at every use, so that they may change.
   * Below an operator that is known by its key alone, accounts hold whose token that very key signed: what its token would say
   * of signing keys and of strict signing key usage is not known, and it does not expire.
   */
  readonly operators: () => readonly string[];
  /** Public keys of accounts that are trusted without an operator; one whose token another has signed is refused. */
  readonly accounts?: readonly string[] | undefined;
  readonly resolver: AccountResolver;
  /** Default: forgotten with the process. */
  readonly issued?: IssuedMemory | undefined;
  /** Default: none. Tell the verifier (`changed`) when there are others. */
  readonly revocations?: Revocations | undefined;
  readonly hosts?: HostTrust | undefined;
  /** How far clocks may differ. Default 5. */
  readonly clockSkewSeconds?: number | undefined;
  /** How long an answer of the resolver is used before it is asked for again. Default 300. */
  readonly maxAgeSeconds?: number | undefined;
  /** How long the resolver may take. Default 5. */
  readonly lookupSeconds?: number | undefined;
  readonly now?: (() => Date) | undefined;
}
