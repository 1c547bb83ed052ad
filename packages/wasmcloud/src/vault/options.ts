import type { BackendTrust } from '../backend/options.js';

/** A key that signs log-in tokens, such as a `KeyPair` of @coffer/identity. */
export interface SigningKey {
  /** An Ed25519 nkey, as a server's `N…`. */
  readonly publicKey: string;
  sign(message: Uint8Array): Uint8Array;
}

/** The keys of log-in tokens. Asked at every log-in, so that they may change. */
export interface SigningKeys {
  current(): SigningKey;
  /** The public keys that Vault is to take, for its JWKS: the current one, and for a while those before and after it. */
  all(): readonly string[];
  /**
   * Tells when a key is none of them any more. Vault, which takes what it signed until it reads the keys anew, is made to do that.
   *
   * @returns a function that ends it
   */
  onLost?(listener: () => void): () => void;
}

/** Hosts that are believed when they say for which application they ask. Neither: none. */
export interface ApplicationHosts {
  /** Hosts (`N…`) whose own key signed their token. */
  readonly keys?: readonly string[] | undefined;
  /** Keys (`C…`, or `A…` as stock hosts use) that sign the tokens of hosts. */
  readonly clusters?: readonly string[] | undefined;
}

/** What policies may name beside what the options name. In each a `*` stands for any run of characters. */
export interface VaultAllow {
  readonly namespaces?: readonly string[] | undefined;
  readonly authMounts?: readonly string[] | undefined;
  readonly enginePaths?: readonly string[] | undefined;
  /** Without it, and without `role`, any: Vault itself binds roles. */
  readonly roles?: readonly string[] | undefined;
}

export interface VaultOptions {
  /** Claim `backend` of log-in tokens. Default: empty. */
  readonly name?: string | undefined;
  /** `http(s)://HOST[:PORT][/PATH]` */
  readonly address: string;
  /** Take an address of `http://` that is no loopback one: tokens and secrets pass in clear. */
  readonly insecureHttp?: boolean | undefined;
  /** Certificate authorities to trust in place of the system's: a file of PEM, or the PEM itself. Read once. */
  readonly ca?: string | Uint8Array | undefined;
  readonly signingKeys: SigningKeys;
  /** Of Vault Enterprise and HCP, and of OpenBao; default for policies without one: none. */
  readonly namespace?: string | undefined;
  /** Default for policies without `mount_path`: `jwt`. */
  readonly authMount?: string | undefined;
  /** Default for policies without `secret_engine_path`: `secret`. */
  readonly enginePath?: string | undefined;
  /** Of the engine at `enginePath`, where Vault does not say; it is asked of each. */
  readonly kvVersion?: 1 | 2 | undefined;
  /** For policies without `role_name`; default: they are refused. */
  readonly role?: string | undefined;
  /** Default: policies name nothing but what the options above name, and any role if there is no `role`. */
  readonly allow?: VaultAllow | undefined;
  /** Claim `aud` of log-in tokens. Default `Vault`. */
  readonly audience?: string | undefined;
  /** For all that one get, and one log-in, asks of Vault, second attempts included. Default 5. */
  readonly timeoutSeconds?: number | undefined;
  /** So often a request is sent again that a lost connection, 412, 429 or 5xx ended. Default 2. */
  readonly retries?: number | undefined;
  /** Only their requests carry the claim `application`; in those of others it is empty. Default: none. */
  readonly applicationHosts?: ApplicationHosts | undefined;
  /** Of which tokens what Vault let in by them is ended; asked each minute. Default: of none. */
  readonly revoked?: BackendTrust['revoked'];
  /** Told what a person should do: a sentence. */
  readonly onNotice?: ((sentence: string) => void) | undefined;
}
