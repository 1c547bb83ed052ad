import type { Grant } from '../types.js';

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
  readonly from?: number | undefined;
  /** In place of `from`: so many lines before this moment. */
  readonly last?: number | undefined;
  /** Goes on with new lines as they become durable. */
  readonly follow?: boolean | undefined;
  /** A principal's id, or its name. */
  readonly principal?: string | undefined;
  /** A pattern of names, in which each `*` stands for any run of characters. */
  readonly secret?: string | undefined;
  readonly action?: string | undefined;
  /** A pattern of the applications that requests claimed to be for. */
  readonly application?: string | undefined;
  /** A pattern of the hosts that they claimed to come from. */
  readonly host?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
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
