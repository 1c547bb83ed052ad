import type { ComponentChain, HostChain, HostTrust, KeyPair, Verifier, WascapToken } from '@coffer/identity';
import type { NatsConnection } from '@nats-io/transport-node';

/** A secret as a backend answers with it. The bytes belong to the receiver, who wipes them. */
export interface Secret {
  /** As the backend names it; never empty. */
  readonly version: string;
  /** How a component gets it: `string` is valid UTF-8. */
  readonly kind: 'string' | 'binary';
  readonly value: Uint8Array;
}

/** Which secret is asked for. */
export interface SecretQuery {
  readonly key: string;
  readonly field?: string | undefined;
  /** As the host wrote it; undefined: the current one. */
  readonly version?: string | undefined;
}

/** For whom a host asks, as far as tokens can tell. */
export interface Requester {
  readonly entity: Entity;
  readonly host: Host;
  readonly application: Application;
}

export interface Entity {
  readonly kind: 'component' | 'provider';
  /** `M…` or `V…`. */
  readonly key: string;
  readonly jti: string;
  /** For people; whoever signed the token chose it. */
  readonly name: string;
  /** The public key of the trusted account that it descends from; undefined: it was believed on its own word (`selfIssued`). */
  readonly account?: string | undefined;
  /** The verified chain; undefined where `account` is. */
  readonly chain?: ComponentChain | undefined;
  readonly token: WascapToken;
}

export interface Host {
  /** `N…`. */
  readonly key: string;
  readonly name: string;
  readonly chain: HostChain;
  readonly token: WascapToken;
}

/** What the host says of the application; nobody vouches for it. */
export interface Application {
  readonly name?: string | undefined;
  /** JSON in a string, as the host wrote it; may be empty. */
  readonly policy: string;
}

/** Answers with a secret to those who may have it, and is asked about many at the same time. */
export type FetchSecret = (query: SecretQuery, requester: Requester) => Promise<Secret>;

/** What an administrative request shows of its sender, beside that NATS let it publish. All of it is its sender's word. */
export interface Asker {
  readonly subject: string;
  /** Where the answer goes. Only nats-server itself makes one that begins with `_R_.`: for a request through a service import. */
  readonly reply: string;
  /** The bytes of the message as they came, which a proof is bound to. */
  readonly payload: Uint8Array;
  /** Header `Coffer-Proof`; of several all, which is no proof. */
  readonly proof?: string | undefined;
  /**
   * Header `Nats-Request-Info`; of several all, which is no JSON. nats-server writes it where a service import shares its
   * requester, and hands it on as it is where there is no service import.
   */
  readonly requestInfo?: string | undefined;
}

/** Administration as secrets-nats-kv has it, and more. Who may is for each of them to decide: it throws `SecretsError`. */
export interface BackendOperations {
  /** @returns the number of the version that is now the current one */
  putSecret(
    request: { readonly key: string; readonly kind: Secret['kind']; readonly value: Uint8Array },
    asker: Asker,
  ): Promise<number>;
  /** @param entity public key of a component or provider */
  addMapping(entity: string, names: readonly string[], asker: Asker): Promise<void>;
  removeMapping(entity: string, names: readonly string[], asker: Asker): Promise<void>;
  /** coffer's own. @param entity undefined: of all */
  listMappings(entity: string | undefined, asker: Asker): Promise<readonly Mapping[]>;
  /** coffer's own: for people, who show who they are by a proof. */
  getSecret(query: SecretQuery, asker: Asker): Promise<Secret>;
}

export interface Mapping {
  /** `M…` or `V…`. */
  readonly entity: string;
  /** The trusted account; undefined: of those believed on their own word. */
  readonly account?: string | undefined;
  /** Sorted. */
  readonly names: readonly string[];
}

/** The keys that requests are sealed to: the newest is told to hosts, all are served. */
export interface TransitKeys {
  /** The newest first; never empty. Asked on every request. */
  keys(): readonly KeyPair[];
  /** A request was opened with this key. */
  used(publicKey: string): void;
}

/** Which tokens are believed. */
export interface BackendTrust {
  /** Undefined: nobody is trusted, which `selfIssued` alone allows. */
  readonly verifier?: Pick<Verifier, 'verify'> | undefined;
  /** Believe any entity whose token is well signed, whoever signed it: for a migration. */
  readonly selfIssued?: boolean | undefined;
  /** For what `selfIssued` believes: revocations and clocks count there, too. */
  readonly revoked?:
    | ((token: { readonly jti: string; readonly key: string; readonly issuer: string }) => boolean)
    | undefined;
  readonly clockSkewSeconds?: number | undefined;
  /** Which hosts are believed where there is no verifier, which has its own; default: any. */
  readonly hosts?: HostTrust | undefined;
  /** For what `selfIssued` believes; a verifier has its own. */
  readonly now?: (() => Date) | undefined;
}

export interface BackendOptions {
  /** A token of the subject: `nats-kv`, `vault`, `kube`, or any other. */
  readonly name: string;
  /** Default `wasmcloud.secrets`. */
  readonly prefix?: string | undefined;
  /** Connected. Whoever made it closes it, after the backend. */
  readonly nats: NatsConnection;
  /** Default `<prefix>.<name>`. */
  readonly queueGroup?: string | undefined;
  readonly transitKeys: TransitKeys;
  readonly trust: BackendTrust;
  readonly fetch: FetchSecret;
  /** Without them, their subjects are answered with `Other`. */
  readonly operations?: BackendOperations | undefined;
  /** Requests under way; beyond, each is answered `Other: busy`. Default 256. */
  readonly maxInFlight?: number | undefined;
  /** Told of each request once it is answered, for metrics and logs. */
  readonly onAnswered?: ((answered: Answered) => void) | undefined;
  /** Told when an entity is believed on its own word. */
  readonly onSelfIssued?: ((entity: Entity) => void) | undefined;
  /** Told of what is our own mistake; the request is answered `Other`. */
  readonly onError?: ((error: unknown) => void) | undefined;
}

export type Operation =
  | 'get'
  | 'server_xkey'
  | 'put_secret'
  | 'add_mapping'
  | 'remove_mapping'
  | 'list_mappings'
  | 'get_secret'
  | 'unknown';

/** What became of a request. */
export interface Answered {
  readonly operation: Operation;
  /** `ok`, `busy`, `dropped` (no subject to reply to, hence nothing done), or the code of the error. */
  readonly result: string;
  readonly seconds: number;
  /** Why the tokens were refused, or the source refuses ({@link SourceReason}), for the log: never a token. */
  readonly reason?: string | undefined;
  /** True where the sender was refused before anybody could say who it is: the engine has not audited it. */
  readonly stranger: boolean;
}

/** A backend that answers. */
export interface ServedBackend {
  readonly inFlight: number;
  /** False once it is drained, or its connection closed, or NATS has not let it subscribe (which `onError` is told). */
  readonly serving: boolean;
  /**
   * Takes no more requests, answers those that it has, all of them, and ends. What NATS has not delivered yet goes to other
   * members of the queue group.
   */
  drain(): Promise<void>;
}
