import type { PolicyDifference, PolicyOptions, TokenInfo } from './administration.js';
import type { AnswerRoom } from './answer-room.js';
import type { AuditHead, AuditInstances, AuditQuery, AuditReadOptions } from './audit/reading.js';
import { type TakenByRestore, type TakenSince, takeAway } from './backup/take-away.js';
import type { Caller, Principal } from './caller.js';
import { systemError } from './errors.js';
import { type ForeignFetch, type ForeignReference, fetchForeign } from './foreign.js';
import type { Grant } from './grant.js';
import { getMany, type ManyAnswer, type ManyOptions, type ManyRequest } from './many.js';
import type { Mapping } from './mappings.js';
import type { Change } from './operations.js';
import type { EngineOptions } from './options.js';
import type { Revocation } from './policy-record.js';
import type { RevocationRequest } from './revocation.js';
import type { KeysInfo, Rotation } from './rotation/keys.js';
import type { RotationProgress } from './rotation/rewriter.js';
import { RunningEngine } from './running-engine.js';
import type { SecretInfo, SecretValue, ValueOptions } from './secret.js';
import type { HealReport, HealRequest, MemberName, SetAside } from './storage/shared.js';
import type { StorageInfo } from './storage-care.js';
import type { KeyUse, NewTransitKey, TransitKeyInfo, TransitKeyName } from './transit-keys.js';
import type { WatchEvent } from './watch/watch.js';
import type { WatchOptions } from './watch/watchers.js';

/**
 * The secrets service without its doors: authorises, seals, stores and audits. Every verb checks its input, throws
 * `CofferError`, and resolves when what it did is on stable storage.
 */
export class Engine extends RunningEngine {
  /**
   * Opens the store and the audit log in the state folder, or makes them; closes what a crash left open.
   *
   * @throws CofferError `store_locked`, `newer_format`, `development_store`, `tampered`, `audit_broken`, and for the root
   *   key `no_root_key`, `wrong_root_key`, `insecure_root_key`; `audit_rolled_back` and `store_rolled_back` unless that was
   *   accepted; `io` for what the operating system refuses
   */
  static async open(options: EngineOptions): Promise<Engine> {
    try {
      return await Engine.begin(options, (parts) => new Engine(parts, options));
    } catch (error) {
      throw systemError(error, `the store in ${options.stateDir} cannot be opened`);
    }
  }

  /** Secrets that the caller may `info`, in byte order of their names; one audit entry for all. */
  list(caller: Caller): Promise<SecretInfo[]> {
    return this.requests.read(() => this.services.secrets.list(caller));
  }

  info(caller: Caller, name: string): Promise<SecretInfo> {
    return this.requests.read(() => this.services.secrets.info(caller, name));
  }

  /** @param version 0 or absent: the active one */
  get(caller: Caller, name: string, version = 0, room?: AnswerRoom): Promise<SecretValue> {
    return this.requests.read(() => this.services.secrets.get(caller, name, version, room));
  }

  /** A secret that lies elsewhere, authorised and audited here, as {@link fetchForeign} says. */
  fetchForeign<T extends { readonly value: Uint8Array }>(
    caller: Caller,
    reference: ForeignReference,
    how: ForeignFetch<T>,
  ): Promise<T> {
    return this.requests.read(() => fetchForeign(this.services.context, caller, reference, how));
  }

  /** The active version, or undefined if it is `known`. */
  getIfChanged(
    caller: Caller,
    name: string,
    known: number,
    room?: AnswerRoom,
  ): Promise<SecretValue | undefined> {
    return this.requests.read(() => this.services.secrets.getIfChanged(caller, name, known, room));
  }

  /** Many values in one turn, each authorised and audited by itself, as {@link getMany} says. */
  getMany(
    caller: Caller,
    requests: readonly ManyRequest[],
    options: ManyOptions = {},
  ): Promise<ManyAnswer[]> {
    return this.requests.read(() => getMany(this.services.context, caller, requests, options));
  }

  /** @returns the number of the new version, or of the highest one if that has this value already */
  put(
    caller: Caller,
    name: string,
    value: Uint8Array,
    change?: Change,
    options?: ValueOptions,
  ): Promise<number> {
    return this.requests.run(() => this.services.secrets.put(caller, name, value, change, options));
  }

  /**
   * Makes a version and activates it, in one change; if the highest one has this value already, activates that. A name that
   * exists takes the rights to `put` and to `activate`, a new one takes `put` alone.
   *
   * @returns the number of the version that is active now
   */
  putAndActivate(
    caller: Caller,
    name: string,
    value: Uint8Array,
    change?: Change,
    options?: ValueOptions,
  ): Promise<number> {
    return this.requests.run(() =>
      this.services.secrets.putAndActivate(caller, name, value, change, options),
    );
  }

  /** Makes a version of an unused number and activates it. */
  createVersion(
    caller: Caller,
    name: string,
    version: number,
    value: Uint8Array,
    change?: Change,
  ): Promise<void> {
    return this.requests.run(() => this.services.secrets.createVersion(caller, name, version, value, change));
  }

  activate(caller: Caller, name: string, version: number, change?: Change): Promise<void> {
    return this.requests.run(() => this.services.secrets.activate(caller, name, version, change));
  }

  deleteVersion(caller: Caller, name: string, version: number, change?: Change): Promise<void> {
    return this.requests.run(() => this.services.secrets.deleteVersion(caller, name, version, change));
  }

  /** Deletes all versions and the memory of their numbers. */
  delete(caller: Caller, name: string, change?: Change): Promise<void> {
    return this.requests.run(() => this.services.secrets.delete(caller, name, change));
  }

  /**
   * Tells of secrets as they change, never of values, until the caller's right or the caller ends, see {@link WatchEvent}.
   *
   * @throws CofferError `invalid_argument`, `access_denied` for who may `get` nothing at all, `busy`, `stopped`
   */
  watch(caller: Caller, options: WatchOptions = {}): AsyncGenerator<WatchEvent, void> {
    return this.services.watchers.watch(caller, options);
  }

  /** Makes a bearer token, which is shown this once; it has no rights until a grant names `token:<id>`. */
  createToken(
    caller: Caller,
    request: { name: string; expiresAt?: Date | undefined },
    change?: Change,
  ): Promise<{ token: string; info: TokenInfo }> {
    return this.requests.run(() => this.services.administration.createToken(caller, request, change));
  }

  listTokens(caller: Caller): Promise<TokenInfo[]> {
    return this.requests.run(() => this.services.administration.listTokens(caller));
  }

  revokeToken(caller: Caller, id: string, change?: Change): Promise<TokenInfo> {
    return this.requests.run(() => this.services.administration.revokeToken(caller, id, change));
  }

  policy(caller: Caller): Promise<{ grants: Grant[]; generation: number }> {
    return this.requests.run(() => this.services.administration.showPolicy(caller));
  }

  applyPolicy(
    caller: Caller,
    grants: readonly Grant[],
    options: PolicyOptions = {},
    change?: Change,
  ): Promise<PolicyDifference> {
    return this.requests.run(() => this.services.administration.applyPolicy(caller, grants, options, change));
  }

  /**
   * Lets a component or provider get these secrets, whether they are there yet or not: a grant to `entity`, its principal. For
   * who administers each of the names, and for what NATS itself lets through.
   *
   * @throws CofferError `access_denied`, `invalid_argument` for another principal, no names, more than 1,000, or a pattern,
   *   `invalid_name`, `name_too_long`, `invalid_policy`
   */
  mapEntity(caller: Caller, entity: string, names: readonly string[], change?: Change): Promise<void> {
    return this.requests.run(() => this.services.mappings.map(caller, entity, names, change));
  }

  /**
   * Takes that back. What is not mapped is passed over.
   *
   * @throws CofferError as {@link mapEntity}, and `conflict` if another grant lets it get one of them all the same: the mapping
   *   is gone then, and the right is not
   */
  unmapEntity(caller: Caller, entity: string, names: readonly string[], change?: Change): Promise<void> {
    return this.requests.run(() => this.services.mappings.unmap(caller, entity, names, change));
  }

  /** All mappings, of the names that the caller administers; by principal. */
  mappings(caller: Caller): Promise<Mapping[]> {
    return this.requests.run(() => this.services.mappings.list(caller));
  }

  /**
   * A token, by its `jti`, or a public key is believed no more, until {@link liftRevocation}. What is revoked already stays as
   * it is. Needs unscoped `admin`, as all on revocations.
   */
  revoke(caller: Caller, request: RevocationRequest, change?: Change): Promise<Revocation> {
    return this.requests.run(() => this.services.revocations.revoke(caller, request, change));
  }

  /** All in force, the oldest first. */
  revocations(caller: Caller): Promise<Revocation[]> {
    return this.requests.run(() => this.services.revocations.list(caller));
  }

  liftRevocation(caller: Caller, id: string, change?: Change): Promise<void> {
    return this.requests.run(() => this.services.revocations.lift(caller, id, change));
  }

  /**
   * Makes a key the current one of its backend, whose first one only the server makes; those before it stay until they are retired.
   * Needs unscoped `admin`, as all on transit keys. A repetition of the operation adds nothing, whatever key it brings.
   *
   * @returns the current key
   * @throws CofferError `access_denied`; `invalid_argument`, also where the seed is not the public key's; `not_found` where there
   *   is no key before it; `conflict` for a key that was retired or replaced, and where the ring is full
   */
  addTransitKey(caller: Caller, key: NewTransitKey, change?: Change): Promise<TransitKeyInfo> {
    return this.requests.run(() => this.services.transitKeys.add(caller, key, change));
  }

  /**
   * Requests sealed to this key are opened no more, for good.
   *
   * @throws CofferError `access_denied`, `not_found`, `invalid_argument` for the current key
   */
  retireTransitKey(caller: Caller, key: TransitKeyName, change?: Change): Promise<void> {
    return this.requests.run(() => this.services.transitKeys.retire(caller, key, change));
  }

  /** Of each backend, or of one, the newest first; without seeds. Of both uses, or of one. */
  listTransitKeys(caller: Caller, backend?: string, use?: KeyUse): Promise<TransitKeyInfo[]> {
    return this.requests.run(() => this.services.transitKeys.list(caller, backend, use));
  }

  /**
   * A backup of the store and of the audit log as they are at the moment of the first `next`, while others read and write:
   * the bytes of a file, to be put wherever they are safe. It is whole when the iterator comes to its end.
   *
   * @throws CofferError `access_denied`, on the way too if the caller may no longer; `conflict` while another one is made;
   *   `abandoned` if its bytes are not taken for a minute; `stopped`
   */
  backup(caller: Caller): AsyncGenerator<Uint8Array, void> {
    this.requests.requireRunning();
    return this.services.backups.backup(caller);
  }

  /**
   * Lines of the audit log with their newlines, some at a time; an empty line is a sign of life. Needs unscoped `admin`,
   * and is audited before the first of them.
   *
   * @throws CofferError `access_denied`, `invalid_argument`, `busy` (too many follow), `stopped`
   */
  audit(caller: Caller, query: AuditQuery, options?: AuditReadOptions): AsyncGenerator<Uint8Array, void> {
    this.requests.requireRunning();
    return this.services.auditReading.read(caller, query, options);
  }

  /** Of which instances there are logs, where several share the store, and how far the copies of this one's are. */
  auditInstances(caller: Caller): Promise<AuditInstances> {
    return this.runAsOperator(caller, () => this.services.auditReading.instances(caller));
  }

  /** Where the audit log begins and ends, and what the store has sealed of it. */
  auditHead(caller: Caller): Promise<AuditHead> {
    return this.runAsOperator(caller, () => this.services.auditReading.head(caller));
  }

  /**
   * For a restore, which has the state folder for itself: logs it, takes away what is known to have been taken away since the
   * backup was made, and takes over what was revoked since.
   *
   * @param why the backup and who restores it
   */
  takeAway(since: TakenSince, why: string): Promise<TakenByRestore> {
    return this.requests.run(() => takeAway(this.services, since, why));
  }

  /** The store's keys, with an exact count of the records under each, which reads the whole store. */
  keys(caller: Caller): Promise<KeysInfo> {
    return this.requests.run(() => this.services.keys.list(caller));
  }

  /** How far the re-encryption under a new data key is; undefined if there is none under way. */
  rotation(caller: Caller): Promise<RotationProgress | undefined> {
    return this.requests.run(() => this.services.keys.progress(caller));
  }

  /**
   * Puts a new data key, or a new root key, in force. Under a new data key the records are re-encrypted in the background,
   * and then the old one is destroyed; nothing that callers see changes.
   */
  rotateKeys(caller: Caller, rotation: Rotation = {}, change?: Change): Promise<KeysInfo> {
    return this.requests.run(() => this.services.keys.rotate(caller, rotation, change));
  }

  /** How the store is, and the others that share it. Needs unscoped `admin`, as all on the store. */
  storageStatus(caller: Caller): Promise<StorageInfo> {
    return this.requests.runStale(() => this.services.storageCare.status(caller));
  }

  /** On how many servers a shared store is kept: 1, 3 or 5. */
  setStorageReplicas(caller: Caller, replicas: number): Promise<void> {
    return this.runAsOperator(caller, () => this.services.storageCare.setReplicas(caller, replicas));
  }

  /** Of a shared store: an instance that will not come back. */
  forgetMember(caller: Caller, member: string): Promise<MemberName> {
    return this.runAsOperator(caller, () => this.services.storageCare.forget(caller, member));
  }

  /** Of a shared store: brings back from the replicas of all instances what it has lost, and lifts the alarm. */
  healStorage(caller: Caller, options: Omit<HealRequest, 'join'>): Promise<HealReport> {
    return this.requests.runStale(() => this.services.storageCare.heal(caller, options));
  }

  /** Of a shared store: how much heals have set aside, which `remove` removes for good. */
  setAside(caller: Caller, options: { readonly remove: boolean }): Promise<SetAside> {
    return this.runAsOperator(caller, () => this.services.storageCare.setAside(caller, options));
  }

  /**
   * What the caller is and may do. Reveals nothing of others, and is not audited.
   *
   * @throws CofferError `stale`
   */
  whoami(caller: Caller): { principals: readonly Principal[]; grants: Grant[] } {
    this.requireFresh();
    return { principals: caller.principals, grants: this.services.administration.policy.grantsOf(caller) };
  }

  /**
   * Lets those pass who may read {@link facts}. Only a refusal is audited: nothing of a secret's is revealed, and a monitor
   * asks day and night.
   *
   * @throws CofferError `access_denied`
   */
  async authoriseMetrics(caller: Caller): Promise<void> {
    if (!this.services.administration.policy.mayReadMetrics(caller)) {
      await this.requests.run(() => this.services.context.gate.deny({ caller, action: 'metrics' }));
    }
  }
}
