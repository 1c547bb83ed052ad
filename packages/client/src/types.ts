import type { CofferClientError } from './errors.js';
import type { SecretBytes } from './secret/secret-bytes.js';

/** A secret without its values. */
export interface SecretInfo {
  readonly name: string;
  /** Numbers of the versions that exist, ascending. */
  readonly versions: readonly number[];
  readonly activeVersion: number;
}

/** One version's value. The bytes are yours: wipe them with `value.wipe()` after use. */
export interface SecretValue {
  readonly value: SecretBytes;
  readonly version: number;
}

/** One of many secrets that are asked for together. */
export interface SecretRequest {
  readonly name: string;
  /** 0 or absent: the active one. */
  readonly version?: number;
  /** The version that you have: if it is still the active one, it does not come again. Not together with `version`. */
  readonly known?: number;
}

/** What became of a {@link SecretRequest}. The bytes of a value are yours: wipe them with `value.wipe()` after use. */
export type SecretAnswer =
  | { readonly name: string; readonly version: number; readonly value: SecretBytes }
  /** The `known` version is the active one. */
  | { readonly name: string; readonly version: number; readonly unchanged: true }
  | {
      readonly name: string;
      /** `tampered`: the server found that the record is not what it wrote. */
      readonly error: 'not_found' | 'access_denied' | 'tampered' | (string & {});
    };

/** What a watch tells. `id` is where to go on from when you have taken the event: it is the `since` of a later watch. */
export type WatchEvent =
  /** First: the watch has begun, and misses nothing from here on. Without `since`, read now what there is. */
  | { readonly type: 'ready'; readonly id: string }
  /** A secret is this now, new or changed. */
  | ({ readonly type: 'change'; readonly id: string } & SecretInfo)
  | { readonly type: 'delete'; readonly id: string; readonly name: string }
  /** Changes were missed, or your grants are others: read anew what there is. */
  | { readonly type: 'reset'; readonly id: string };

export interface WatchOptions extends CallOptions {
  /** Patterns of names, at most 32; default all secrets. */
  readonly secrets?: readonly string[];
  /** The id of the last event that you took, to go on behind it. */
  readonly since?: string | undefined;
  /** Whether the process stays alive for it; default yes. */
  readonly keepsAlive?: boolean;
  /** Once for each outage: a connection was lost, or the next one cannot be had. The watch goes on trying. */
  readonly onTrouble?: ((error: CofferClientError) => void) | undefined;
  /** The outage that `onTrouble` told of is over. */
  readonly onRecovered?: (() => void) | undefined;
}

/** Everything that a grant can allow. */
export type Action = 'get' | 'info' | 'put' | 'create-version' | 'activate' | 'delete' | 'admin' | 'metrics';

/**
 * Allows `actions` on the secrets that match `secrets` to the principals that match `to`. In a pattern each `*`
 * stands for any run of characters, `/` included.
 */
export interface Grant {
  readonly to: readonly string[];
  readonly actions: readonly Action[];
  readonly secrets: readonly string[];
  /** Only in a grant of `get` alone. */
  readonly when?: GrantConditions;
}

/**
 * What must be so besides for a grant to hold: each list that is there has a pattern that matches what the request claims. It
 * narrows and proves nothing. Only requests over NATS claim anything.
 */
export interface GrantConditions {
  /** Names of applications. */
  readonly application?: readonly string[];
  /** Keys of hosts. */
  readonly host?: readonly string[];
}

/** One proven identity of the caller's. `id` is what grants name; `name` is for people's eyes. */
export interface Principal {
  readonly id: string;
  readonly kind: string;
  readonly name?: string;
}

/** Who the server takes the caller for, and what it allows. */
export interface Whoami {
  readonly principals: readonly Principal[];
  readonly grants: readonly Grant[];
  readonly server: {
    readonly version: string;
    readonly storeId: string;
    /** The server's public nkey (`N…`). */
    readonly serverKey: string;
    readonly development: boolean;
  };
}

/** A bearer token without the token itself, of which the server keeps only a hash. */
export interface TokenInfo {
  readonly id: string;
  readonly name: string;
  readonly createdAt: Date;
  /** The principal that made it. */
  readonly createdBy: string;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
}

/** A token just made. `token` is shown this once; nobody can ask for it again. */
export interface NewToken extends TokenInfo {
  readonly token: string;
}

/** A NATS identity that is believed no more. */
export interface Revocation {
  readonly id: string;
  /** `token`: one token, by its `jti`; `key`: whoever has the key, with all that it signed. */
  readonly kind: 'token' | 'key';
  /** The `jti`, or the public key. */
  readonly value: string;
  /** Empty if none was given. */
  readonly reason: string;
  readonly revokedAt: Date;
  /** The principal that revoked it. */
  readonly revokedBy: string;
}

/** A key that wasmCloud hosts seal their requests to a backend to. */
export interface TransitKey {
  /** Such as `nats-kv`. */
  readonly backend: string;
  /** `X…` */
  readonly publicKey: string;
  readonly createdAt: Date;
  /** The principal that made it. */
  readonly createdBy: string;
  /** Hosts are told this one; the others are served until they are retired. */
  readonly current: boolean;
  /** Since the server began; undefined if no request was sealed to it. */
  readonly lastUsedAt?: Date;
}

/** The grants in force. Each change makes `generation` grow. */
export interface Policy {
  readonly generation: number;
  readonly grants: readonly Grant[];
}

/** What applying a policy changed, or with `dryRun` would change. */
export interface PolicyChange {
  readonly added: readonly Grant[];
  readonly removed: readonly Grant[];
  /** How many grants stay as they are. */
  readonly unchanged: number;
  readonly generation: number;
}

/** Which lines of the audit log are wanted; what is left out does not narrow. */
export interface AuditQuery {
  /** `seq` of the first line. */
  readonly from?: number;
  /** In place of `from`: so many lines before this moment. */
  readonly last?: number;
  /** Goes on with new lines as they become durable. */
  readonly follow?: boolean;
  /** A principal's id, or its name. */
  readonly principal?: string;
  /** A pattern of names, in which each `*` stands for any run of characters. */
  readonly secret?: string;
  readonly action?: string;
  /** A pattern of the applications that requests claimed to be for. */
  readonly application?: string;
  /** A pattern of the hosts that they claimed to come from. */
  readonly host?: string;
  readonly since?: Date;
  readonly until?: Date;
}

/** A line of the audit log: its number, and SHA-256 of its bytes in hex. */
export interface AuditLineRef {
  readonly seq: number;
  readonly hash: string;
}

/** Where the audit log begins and ends. */
export interface AuditHead {
  /** The newest line. */
  readonly head: AuditLineRef;
  /** The line that the store knows. */
  readonly anchor: AuditLineRef;
  /** `seq` of the oldest line that is there. */
  readonly first: number;
  readonly storeId: string;
  /** The server's public nkey, which signs the log. */
  readonly serverKey: string;
}

/** A server's keys, without themselves. */
export interface Keys {
  readonly rootKey: {
    /** `file`, `passphrase` or `xkey-seed`; a newer server may know others. */
    readonly kind: string;
    /** Fingerprint; none of a passphrase. */
    readonly id?: string;
    /** Since when it is the root key, if that is known. */
    readonly since?: Date;
  };
  /** By id, ascending. `active` seals new records; `retiring` is destroyed when no record is under it any more. */
  readonly dataKeys: readonly {
    readonly id: number;
    readonly createdAt: Date;
    readonly state: 'active' | 'retiring';
    readonly records: number;
  }[];
  /** Undefined if all records are under one key. */
  readonly rotation?: KeyRotation;
}

/** How far the re-encryption under a new data key is. */
export interface KeyRotation {
  /** Records in the store. */
  readonly total: number;
  /** Those that are not yet under the new key. */
  readonly remaining: number;
  /** Why it does not go on at the moment. */
  readonly problem?: { readonly code: string; readonly message: string };
}

/** Taken by every call. */
export interface CallOptions {
  /** Ends the call early; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** Taken by every call that changes something. */
export interface ChangeOptions extends CallOptions {
  /**
   * Names this change, so that sending it again is harmless: 1 to 128 printable ASCII characters without spaces. The
   * default is a fresh random UUID. Give your own to repeat a change whose outcome you never learned.
   */
  readonly operation?: string;
}
