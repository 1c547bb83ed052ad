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

/** A key that wasmCloud hosts seal their requests to a backend to, or with which a backend signs. */
export interface TransitKey {
  /** Such as `nats-kv`. */
  readonly backend: string;
  /** `X…`, or of one that signs `N…` */
  readonly publicKey: string;
  readonly createdAt: Date;
  /** The principal that made it. */
  readonly createdBy: string;
  /** Hosts are told this one, or it signs; the others are served, or believed, until they are retired. */
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
  /**
   * Where instances share the store: `all` of them, in the order of their times, or the copies of one chain, as
   * `auditInstances` names it; not with `last` or `follow`. Without it, the log of the server that is asked.
   */
  readonly instance?: string | undefined;
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

/** The audit logs of the instances that share a store. */
export interface AuditInstances {
  /** Of the asked server's log: how far its copies are. Undefined where it is alone. */
  readonly own?: {
    readonly instance: string;
    readonly chain: string;
    /** The last line whose copy was acknowledged, if that is known yet. */
    readonly delivered?: AuditLineRef;
    /** Lines that wait. */
    readonly pending: number;
    readonly pendingSince?: Date;
    readonly problem?: { readonly code: string; readonly message: string };
  };
  /** The copies that there are. */
  readonly chains: readonly {
    /** The instance's id, with `-1`, `-2`, … where its log was put back to an earlier state. */
    readonly chain: string;
    readonly instance: string;
    /** The instance's name. */
    readonly name: string;
    /** `seq` of the first line that is there. */
    readonly first: number;
    readonly head: AuditLineRef;
    /** When the first line of the newest copies was written. */
    readonly time: Date;
  }[];
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
  /** Another instance has changed the root key, and the asked one was not given the new one: it does not start again without it. */
  readonly lacksRootKey?: boolean;
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

/** Why nobody changes a shared store until a person has looked. */
export interface StorageAlarm {
  /** `behind`, `gone`, `recreated`, `missing`, `damaged` or `fork`; a newer server may know others. */
  readonly kind: string;
  readonly message: string;
  /** The instance that raised it. */
  readonly instance: string;
  readonly at: Date;
}

/** How a server's store is. */
export interface StorageStatus {
  /** Of all records, as this server has them. */
  readonly usedBytes: number;
  readonly quotaBytes?: number;
  /** Whether changes are taken. */
  readonly writable: boolean;
  /** Of a store in NATS JetStream, which several instances share; undefined for one in the state folder. */
  readonly shared?: SharedStorageStatus;
}

/** How a store is that several instances share, as one of them sees it. */
export interface SharedStorageStatus {
  /** The one that answered. */
  readonly instance: string;
  readonly connected: boolean;
  /** Why changes are refused. */
  readonly problem?: { readonly code: string; readonly message: string };
  readonly alarm?: StorageAlarm;
  /** Another instance has changed the root key, and this one was not given the new one: it does not start again without it. */
  readonly lacksRootKey?: boolean;
  /** How old what is read there may be; undefined before it heard of the store. */
  readonly replicaAgeMs?: number;
  readonly replicaSequence: number;
  /** Equal to that of the replica when all is applied; undefined if the store's servers do not answer. */
  readonly streamSequence?: number;
  readonly bucket: string;
  readonly replicas: number;
  /** `always` and `stated` (by the operator): what is acknowledged is on the disk; else `lazy`. */
  readonly sync: 'always' | 'stated' | 'lazy';
  readonly bytes?: number;
  /** Undefined if there is no limit. */
  readonly maxBytes?: number;
  /** Since the instance began: changes that another's overtook, and such of which was not known for a time whether they came true. */
  readonly conflicts: number;
  readonly inDoubt: number;
  /** `current`: it has all that the leader has. Where none leads, that the instance is connected to it: of the others nothing is known then. */
  readonly servers: readonly { readonly name: string; readonly leader: boolean; readonly current: boolean }[];
  readonly members: readonly {
    readonly instance: string;
    readonly name: string;
    readonly version: string;
    /** How far its replica is, as it last said. */
    readonly confirmed: number;
    readonly seenAt: Date;
    readonly alive: boolean;
    /** Its last word was that it ends as it should. */
    readonly ended?: boolean;
    /** Another instance has changed the root key, and this one was not given the new one yet. */
    readonly lacksRootKey?: boolean;
  }[];
}

/** An instance of a shared store: its id, and the name that its configuration gives it. */
export interface MemberName {
  readonly instance: string;
  readonly name: string;
}

/** What a heal of a shared store brought back, or with `dryRun` would. */
export interface HealReport {
  readonly dryRun: boolean;
  readonly alarm?: StorageAlarm;
  /** With `dryRun`: why the heal itself would be refused. */
  readonly refusal?: { readonly code: string; readonly message: string };
  /** The instances whose replicas were compared. */
  readonly compared: readonly string[];
  /** All other members, which did not answer or read the store anew: what only they have was not brought back. */
  readonly absent: readonly string[];
  readonly restored: number;
  readonly removed: number;
  /** Records with two futures: who had the one that won, and under which key the other one's is kept. */
  readonly forks: readonly {
    readonly key: string;
    readonly keptAs: string;
    readonly winner: string;
    readonly other: string;
    /** The secret whose record it is. */
    readonly secret?: string;
  }[];
  /** Records that are damaged in the stream, and that nobody has; set aside only with `giveUpDamaged`. */
  readonly damaged: readonly { readonly key: string; readonly keptAs: string }[];
  /** What a future that lost had taken away, and is taken away from the one that won. */
  readonly taken: readonly {
    /** `token`, `identity`, `grant`, `transit-key`, `issued`, `secret`, `version`. */
    readonly what: string;
    /** A token's id, an identity, a grant as JSON, a backend and its key, or a secret's name. */
    readonly target: string;
    readonly version?: number;
  }[];
  /** Messages in the bucket that no instance writes, which are removed. */
  readonly foreign: number;
  /** Records that are kept aside: of forks, also of what may have been one, what is damaged, and what does not open. */
  readonly setAside: number;
}

/** What heals of a shared store have set aside, where nobody reads it. */
export interface SetAside {
  readonly records: number;
  readonly bytes: number;
  /** It was there, and is no more. */
  readonly removed: boolean;
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
