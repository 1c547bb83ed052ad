import type { CofferError } from '../errors.js';
import type { StoredRecord } from './storage.js';

/** The work of which one instance is enough: see {@link SharedStorage.lease}. */
export const BACKGROUND = 'background';

/** How many records beside its head a change of a shared store may touch that is not {@link StorageChange.divisible}. */
export const MOST_AT_ONCE = 800;

/** How many records of one secret, or of the policy, are sealed anew at once: with room for those that are in many chunks. */
export const MOST_RESEALED_AT_ONCE = 500;

/**
 * What a store owes and tells that other instances change as well: in what order their changes become visible, how old what is
 * read may be, and whether the store can still be believed.
 */
export interface SharedStorage {
  /** This instance's own id, made with its replica: 16 hex digits. */
  readonly instance: string;
  /** In which the store is. */
  readonly bucket: string;
  /** True if the replica was read from the store at this open: there is no summary yet that vouches for it. */
  readonly isNewReplica: boolean;
  /**
   * Begins to take over what others commit, behind what is in the replica. Each change passes the admission before it is
   * visible, and watchers are told in the turn in which it is. Call it once, when what is in the replica has been proven.
   */
  follow(admission: Admission): void;
  readonly freshness: Freshness;
  /** How far the replica is: {@link reached} takes it, at this instance or another. */
  readonly position: string;
  /**
   * Waits until the replica has all that was there at `position`, for a second at the most; nothing is returned where it has.
   *
   * @throws CofferError `stale`; `invalid_argument` for what is no position
   */
  reached(position: string): void | Promise<void>;
  /** True if every member has what was committed at this revision. A member that is away has not, until it is forgotten. */
  confirmedByAll(revision: number): boolean;
  /** All that are known, this one too, as they last said. */
  readonly members: readonly MemberStatus[];
  /** Work that one instance is to do, as long as it lives; two may for a moment, and must do no harm. */
  lease(work: string): Lease;
  /** Why all instances refuse to write until a person has looked; undefined as it should be. */
  readonly alarm: StorageAlarm | undefined;
  /** Called when {@link alarm} changes. @returns a function that ends it */
  onAlarm(listener: () => void): () => void;
  /** How it is at this moment, as far as is known here. Asks nobody. */
  readonly health: SharedHealth;
  /** The same with what the servers say, as far as they answer within a second or two. Never rejects. */
  status(): Promise<SharedStatus>;
  /**
   * On how many servers the stream is kept, while all goes on.
   *
   * @throws CofferError `unavailable`, `unfit_store` where there are not so many servers
   */
  setReplicas(replicas: ReplicaCount): Promise<void>;
  /**
   * A head as the store has it at this moment, whatever the replica has; for who cannot follow yet. Nobody has looked at it.
   *
   * @throws CofferError `unavailable`
   */
  newest(key: Uint8Array): Promise<Uint8Array | undefined>;
  /** Nothing that others change comes in while `task` runs; it must not change anything itself. */
  still<T>(task: () => Promise<T>): Promise<T>;
  /**
   * The store did not open to this instance: if its replica is a new one, nobody waits for it any more, and the replica is emptied. Of an
   * instance that was there before nothing is changed, nor after {@link follow}.
   *
   * @throws CofferError `unavailable`, `io`
   */
  withdraw(): Promise<void>;
  /**
   * A member that will not come back: nothing waits for it any more. Should it come all the same, it begins anew.
   *
   * @param member its id or its name; where several have the name, the one that is away
   * @returns whom nothing waits for any more
   * @throws CofferError `not_found`; `conflict` for one that is alive, or where several are away; `unavailable`
   */
  forget(member: string): Promise<MemberName>;
  /**
   * Compares the replicas of all instances that answer with the stream, brings back what it lacks, and lifts the alarm; with
   * `dryRun` it says what it would do. Where there is no alarm, and nothing to do, nothing is stopped for it.
   *
   * @throws CofferError `unavailable`; `conflict` while another one heals, or a member does not answer and is not named in `without`,
   *   or is named there and answers; `not_found` for a name there that no member has
   */
  heal(options: HealRequest): Promise<HealReport>;
  /**
   * What heals have set aside: futures that lost, and what was damaged.
   *
   * @param remove for good. An instance that was away at such a heal, and had what was set aside, then takes it for lost, and raises the alarm
   * @throws CofferError `unavailable`
   */
  setAside(remove: boolean): Promise<SetAside>;
}

/** What lies aside in a shared store, where nobody reads it. */
export interface SetAside {
  readonly records: number;
  readonly bytes: number;
  /** It was there, and is no more. */
  readonly removed: boolean;
}

export interface HealRequest {
  readonly dryRun: boolean;
  /** Records that are damaged in the stream, and that nobody has, are set aside. */
  readonly giveUpDamaged?: boolean | undefined;
  /** Members that need not answer, by id, or by name for all that are absent and have it; `dryRun` needs none. */
  readonly without?: readonly string[] | undefined;
  readonly join?: ForkJoin | undefined;
}

export type ReplicaCount = 1 | 3 | 5;

/** What a heal found and did, or with `dryRun` would do. Keys are blinded, in hex. */
export interface HealReport {
  readonly dryRun: boolean;
  /** What was wrong; undefined if nothing was. */
  readonly alarm: StorageAlarm | undefined;
  /** With `dryRun`: why the heal itself would be refused. */
  readonly refusal?: CofferError | undefined;
  /** Whose replicas were compared. */
  readonly compared: readonly string[];
  /** All other members: they did not answer, or read the store anew. What only they have is not brought back. */
  readonly absent: readonly string[];
  /** Records that are brought back, with their values; removals that are. */
  readonly restored: number;
  readonly removed: number;
  /** Of which records two futures were found. The one that did not win is kept under a key of its own. */
  readonly forks: readonly {
    readonly key: string;
    readonly keptAs: string;
    /** Who had the one that won, and who the other. */
    readonly winner: string;
    readonly other: string;
    /** The secret whose record it is. */
    readonly secret?: string | undefined;
  }[];
  /** What the futures that lost had taken away, and what is taken away from those that won, too. */
  readonly taken: readonly TakenAwayByHeal[];
  /** How many messages were in the bucket that no instance writes; they are removed. */
  readonly foreign: number;
  /** How many records are kept aside: those of forks, also of what may have been one, what is damaged, and what does not open. */
  readonly setAside: number;
  /** Damaged in the stream, and nobody has them as they were: only when they may be given up does a heal end. */
  readonly damaged: readonly { readonly key: string; readonly keptAs: string }[];
}

/** The target is a token's id, an identity (`token <jti>`, `key <nkey>`), a grant's JSON, `<backend> <key>`, or a secret's name. */
export interface TakenAwayByHeal {
  readonly what: 'token' | 'identity' | 'grant' | 'transit-key' | 'issued' | 'secret' | 'version';
  readonly target: string;
  readonly version?: number | undefined;
}

/** A head and what is beside it, as somebody has them. Keys are in base64url. */
export interface Future {
  /** Fingerprints of all that is not removed. */
  readonly records: ReadonlyMap<string, string>;
  bytes(key: string): Promise<Uint8Array>;
}

export interface LosingFuture extends Future {
  /** False where it may as well be what the winner was long ago. */
  readonly isSure: boolean;
}

/** What a head that won becomes, so that what a loser had taken away does not come back. */
export interface Joined {
  readonly head: Uint8Array;
  readonly put: readonly { readonly key: string; readonly bytes: Uint8Array }[];
  readonly remove: readonly string[];
  readonly taken: readonly TakenAwayByHeal[];
}

/** The engine's word on two futures of a record, which it has the keys for. */
export interface ForkJoin {
  /** The record that has the keys: it must be here as it will be. */
  readonly fence: Uint8Array;
  /** @returns undefined if the winner may stay as it is. @throws CofferError `tampered` for what does not open */
  join(key: Uint8Array, winner: Future, losers: readonly LosingFuture[]): Promise<Joined | undefined>;
  /** Of a head; undefined if it is no secret's, or does not open. */
  nameOf(key: Uint8Array, bytes: Uint8Array): string | undefined;
  /** False for a record of this store's that is not what it was; those under a key that is not here count as good. */
  opens(key: Uint8Array, bytes: Uint8Array): boolean | Promise<boolean>;
  /** True for a record that only one secret needs. */
  mayGiveUp(key: Uint8Array): boolean;
  /** Logs what will be taken away, before it is. */
  announce(taken: readonly TakenAwayByHeal[]): Promise<void>;
}

/** A head that somebody committed, before anybody reads it. */
export interface IncomingHead {
  readonly key: Uint8Array;
  readonly before: StoredRecord | undefined;
  /** Undefined: it was removed. */
  readonly after: Uint8Array | undefined;
  readonly revision: number;
}

/** The engine's word on what comes in. */
export interface Admission {
  /**
   * Called in the order of the commits, one call after the other, for this instance's own as well; it may take time (a root key
   * in a KMS).
   *
   * @throws CofferError `tampered` for a head that does not open, or is not what could follow the one before: the alarm is raised
   *   and nothing of it becomes visible; the signal's reason
   * @param signal ends a wait for what is not here: nothing of it becomes visible then, and it comes again
   */
  admit(heads: readonly IncomingHead[], signal?: AbortSignal): void | Promise<void>;
  /** What {@link admit} waits for, if it does: meanwhile nothing newer is read here, and nothing is changed. */
  readonly problem?: CofferError | undefined;
  /**
   * Whether the store, as far as the replica has it, is under a root key that is not here: looks for it again, and never rejects. The others
   * are told, since this instance answers nothing any more once the data key is another, too.
   */
  lacksRootKey?(): Promise<boolean>;
  /**
   * Keyed by what only the store's instances have, for as long as there is the store: by it they know each other. Undefined as long
   * as the key is not here; without it no other instance is asked or answered.
   */
  authenticate(message: Uint8Array): Uint8Array | undefined;
}

/** How old what this instance reads may be. Times are of the monotonic clock, `performance.now()`. */
export interface Freshness {
  /**
   * When the newest beat was sent of this instance's own that has come back: all that was acknowledged anywhere before that is in
   * what is read in this turn. -Infinity before the first.
   */
  mark(): number;
  /**
   * To be asked last before an answer leaves, with the mark of the moment in which its state was read.
   *
   * @throws CofferError `stale` if that is longer ago than the bound, unless the deployment takes stale answers
   */
  require(mark: number): void;
  /**
   * Before something is read: in a deployment with `consistency: latest` waits for a beat that is sent from now on; in others
   * answers at once, as {@link require} does.
   *
   * @throws CofferError `stale`
   */
  ready(): void | Promise<void>;
  /** Milliseconds since {@link mark}. */
  age(): number;
}

export interface Lease {
  /** Whether this instance holds it, as far as it knows. */
  readonly held: boolean;
  /** Called when {@link held} changes. @returns a function that ends it */
  onChange(listener: () => void): () => void;
  /** Gives it up, for another to take. */
  close(): void;
}

/** What was found that must not be: all instances stop writing. */
export interface StorageAlarm {
  readonly kind: 'behind' | 'gone' | 'recreated' | 'missing' | 'damaged' | 'fork';
  /** For a person: what was found, and what to do. */
  readonly message: string;
  /** Who raised it, and when. */
  readonly instance: string;
  readonly at: Date;
  /** The instance that heals the store, or whose heal was broken off. */
  readonly healer?: string | undefined;
}

export interface MemberName {
  readonly instance: string;
  /** The name that its configuration gives it. */
  readonly name: string;
}

/** One instance that has, or had, a replica. */
export interface MemberStatus extends MemberName {
  readonly version: string;
  /** The highest revision that its replica has, as it last said. */
  readonly confirmed: number;
  /** When it last said so, by its own clock. */
  readonly seenAt: Date;
  readonly alive: boolean;
  /** Its last word was that it ends as it should. */
  readonly ended: boolean;
  /** Another instance has changed the root key, and this one was not given the new one. */
  readonly lacksRootKey: boolean;
}

/** Of a bucket, as far as is known. */
export interface BucketRoom {
  readonly bytes: number;
  /** Undefined: no limit. */
  readonly maxBytes: number | undefined;
  /** Why changes that take room are refused; those that make some go through. */
  readonly problem: CofferError | undefined;
}

/** How an instance's view of the store is. */
export interface SharedHealth {
  readonly instance: string;
  readonly connected: boolean;
  /** Why changes are refused now; undefined when they are taken, as far as there is {@link room}. */
  readonly problem: CofferError | undefined;
  /** They are for a moment: the stream is about to be read, as after a start, a heal, or a lost connection. */
  readonly isBeginning: boolean;
  readonly alarm: StorageAlarm | undefined;
  /** Milliseconds; Infinity before the first beat. */
  readonly replicaAge: number;
  /** The stream's sequence up to which the replica has it. */
  readonly replicaSequence: number;
  /** `always` where every server syncs before it acknowledges, `stated` where the operator says so, else `lazy`. */
  readonly sync: 'always' | 'stated' | 'lazy';
  /** Undefined before the store was heard of. */
  readonly room: BucketRoom | undefined;
  /** How many instances have a replica, and how many of them live. */
  readonly members: number;
  readonly membersAlive: number;
  /** Since this process began: commits that another's overtook, and commits of which was not known whether they came true. */
  readonly conflicts: number;
  readonly inDoubt: number;
}

/** How the distributed store is. */
export interface SharedStatus {
  readonly health: SharedHealth;
  readonly bucket: string;
  readonly replicas: number;
  /** The stream's newest; undefined if nobody answers. Equal to the replica's when all is applied. */
  readonly streamSequence: number | undefined;
  readonly bytes: number | undefined;
  readonly maxBytes: number;
  /** `current` without a leader: only that this instance is connected to it; of the others nothing is known then. */
  readonly servers: readonly { readonly name: string; readonly leader: boolean; readonly current: boolean }[];
  readonly members: readonly MemberStatus[];
}
