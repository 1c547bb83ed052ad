/** What a chain can be about: a user of NATS, or what wasmCloud runs and runs on. */
export type ChainKind = 'user' | 'component' | 'provider' | 'host';

/** An operator or an account, by its key; the name is for people's eyes, and empty if its token says none. */
export interface Party {
  readonly key: string;
  readonly name: string;
}

/** One link of a chain: who, and which key signed its token. A bare trusted account has no issuer. */
export interface ChainLink {
  readonly what: 'operator' | 'account' | ChainKind;
  readonly key: string;
  readonly name: string;
  readonly issuer?: string | undefined;
}

interface ChainBase {
  /** The public key that the token is about. That the caller holds its other half, the token does not prove. */
  readonly subject: string;
  readonly jti: string;
  readonly name: string;
  /**
   * As its signer chose them: of users in lower case. The holder of a scoped signing key chooses them, too: only `role` tells
   * what the account's owner has said of such a user.
   */
  readonly tags: readonly string[];
  /** The key that signed the token. */
  readonly issuer: string;
  /** When the first of all its links expires, in seconds since 1970. */
  readonly expiresAt?: number | undefined;
  /** From the operator downwards. */
  readonly links: readonly ChainLink[];
}

/** How a user may come, by its own token or, if a scoped key signed it, by the scope's template. Never empty lists. */
export interface UserConditions {
  /** Networks, in CIDR notation. */
  readonly src?: readonly string[] | undefined;
  /** Hours of the day, as `15:04:05`, by the clocks of `locale`. */
  readonly times?:
    | readonly { readonly start?: string | undefined; readonly end?: string | undefined }[]
    | undefined;
  /** An IANA time zone. */
  readonly locale?: string | undefined;
  readonly connectionTypes?: readonly string[] | undefined;
  /** For NATS the token alone would be proof enough. */
  readonly bearer: boolean;
}

export interface UserChain extends ChainBase {
  readonly kind: 'user';
  readonly account: Party;
  /** Absent below a bare trusted account. */
  readonly operator?: Party | undefined;
  /** The name of its signing key's scope; undefined unless a scoped key signed it. */
  readonly role?: string | undefined;
  readonly user: UserConditions;
}

export interface ComponentChain extends ChainBase {
  readonly kind: 'component' | 'provider';
  readonly account: Party;
  readonly operator?: Party | undefined;
}

export interface HostChain extends ChainBase {
  readonly kind: 'host';
  /** Whether its signer is one of those that `VerifierOptions.hosts` names. If not, the token proves nothing but its form. */
  readonly trusted: boolean;
}

/** A token with all that it descends from, verified. Told apart by `kind`. */
export type Chain = UserChain | ComponentChain | HostChain;
export type ChainOf<K extends ChainKind> = K extends 'user'
  ? UserChain
  : K extends 'host'
    ? HostChain
    : ComponentChain;
