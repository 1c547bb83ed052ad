import type { CopiesFacts } from './audit/copies/publisher.js';
import type { Caller, Principal } from './caller.js';
import { canLockMemory } from './crypto/secure-memory.js';
import { CofferError } from './errors.js';
import type { EngineFacts } from './facts.js';
import { closeStore, type OpenStore, openStore } from './open-store.js';
import type { EngineOptions } from './options.js';
import { Outcomes } from './outcomes.js';
import { Requests } from './requests.js';
import { checkRetention, type RetentionRule } from './retention/rules.js';
import { openServices, type Services } from './services.js';
import type { SharedHealth } from './storage/shared.js';
import type { TransitKeyPair } from './transit-keys.js';

/** A store with its log and its services, from the opening to the end, and what the server itself asks of them on the way. */
export abstract class RunningEngine {
  /** The store's incarnation id, hex. */
  readonly storeId: string;
  readonly development: boolean;
  /** The server's public nkey, which signs the audit log's checkpoints. */
  readonly serverKey: string;
  protected readonly requests: Requests;
  protected readonly services: Services;
  readonly #parts: OpenStore;
  readonly #outcomes: Outcomes;
  #closing: Promise<void> | undefined;

  protected constructor(parts: OpenStore, options: EngineOptions) {
    const { storage, header, follower } = parts;
    const freshness = follower?.freshness;
    this.#parts = parts;
    this.#outcomes = new Outcomes(parts, freshness);
    this.requests = new Requests(freshness, () => storage.shared?.health.problem);
    this.storeId = Buffer.from(storage.incarnation).toString('hex');
    this.development = options.development ?? false;
    this.serverKey = parts.signer.publicKey;
    this.services = openServices(parts, options, {
      shared: freshness && {
        freshness,
        inDoubt: (asked, close) => this.#outcomes.settle(asked, close),
      },
      isFresh: () => this.stale === undefined,
      run: (task) => this.requests.run(task),
    });
    const { duty, revocations, rewriter, pruner, tombstones } = this.services;
    revocations.onChange(() => this.recheckCallers());
    parts.onStop((error) => {
      this.requests.stop(error);
      this.endWatches();
    });
    duty.onBegin(() => {
      rewriter.start();
      pruner.begin();
      tombstones.begin();
    });
    // Another instance may have put a new data key in force.
    header.onChange(() => rewriter.start());
  }

  /** Opens the store, closes what a crash left open, and takes up the work in the background. Errors as of `Engine.open`. */
  protected static async begin<E extends RunningEngine>(
    options: EngineOptions,
    make: (parts: OpenStore) => E,
  ): Promise<E> {
    const { retention = [], onNotice } = options;
    if (!canLockMemory()) {
      onNotice?.('Memory cannot be locked, so keys may reach the swap space: raise "ulimit -l".');
    }
    checkRetention(retention);
    const parts = await openStore(options);
    try {
      const engine = make(parts);
      await engine.#outcomes.recover();
      await parts.upkeep.retire();
      await engine.services.tombstones.purge();
      engine.setRetention(retention);
      engine.services.rewriter.start();
      return engine;
    } catch (error) {
      await closeStore(parts);
      throw error;
    }
  }

  /**
   * Which old versions need not be kept from now on, in place of what the options said.
   *
   * @throws CofferError `invalid_argument`
   */
  setRetention(rules: readonly RetentionRule[]): void {
    this.services.pruner.setRules(rules);
  }

  /** Drops at once what the rules do not keep, which otherwise happens hourly and after changes. */
  applyRetention(): Promise<void> {
    return this.services.pruner.all();
  }

  /**
   * Some callers' sessions may have ended: watches and who follows the audit log look at once, and end if theirs has.
   */
  recheckCallers(): void {
    this.services.watchers.recheck();
    this.services.auditReading.recheck();
  }

  /** Ends every watch and who follows the audit log, and lets no new one in: the doors close. */
  endWatches(): void {
    this.services.watchers.close();
    this.services.auditReading.close();
  }

  /**
   * The principal of a live bearer token; undefined for any other text.
   *
   * @throws CofferError `stale`
   */
  authenticateToken(token: string): Principal | undefined {
    const principal = this.services.administration.authenticateToken(token);
    // It may have been made elsewhere, and nobody should throw it away for that.
    if (!principal) this.requireFresh();
    return principal;
  }

  /** Whether a caller that was let in is still who it was: no token of its was revoked or expired since, no session has ended. */
  isCurrent(caller: Caller): boolean {
    return this.services.administration.knows(caller);
  }

  /** Whether the token with this `jti` is revoked. A look into memory. */
  tokenRevoked(jti: string): boolean {
    return this.services.revocations.tokenRevoked(jti);
  }

  keyRevoked(key: string): boolean {
    return this.services.revocations.keyRevoked(key);
  }

  /** When the newest token of this key was issued that was ever seen, in seconds since 1970. A look into memory. */
  newestIssued(key: string): number | undefined {
    return this.services.revocations.newestIssued(key);
  }

  /**
   * Remembers for good that a token of this key was seen which was issued then, in seconds since 1970; resolves when that is
   * durable.
   *
   * @throws CofferError `invalid_argument` if that is more than a day ahead
   */
  rememberIssued(key: string, iat: number): Promise<void> {
    return this.requests.run(() => this.services.revocations.rememberIssued(key, iat));
  }

  /**
   * Calls `listener` when something is revoked, or a revocation lifted, in the turn in which that becomes true; then watches
   * and who follows the audit log look whether their caller is still live.
   *
   * @returns a function that ends it
   */
  onTrustChange(listener: () => void): () => void {
    return this.services.revocations.onChange(listener);
  }

  /**
   * The keys that requests to a backend are sealed to, the newest first, with copies of their seeds, which the receiver wipes.
   * For the server's own use: it is not audited.
   *
   * @throws CofferError `stopped`, `tampered`
   */
  transitKeys(backend: string): TransitKeyPair[] {
    this.requests.requireRunning();
    return this.services.transitKeys.pairs(backend, 'sealing');
  }

  /** As {@link transitKeys}, those with which a backend signs (Ed25519, `N…`). They are added and retired as those. */
  signingKeys(backend: string): TransitKeyPair[] {
    this.requests.requireRunning();
    return this.services.transitKeys.pairs(backend, 'signing');
  }

  /**
   * Calls `listener` when a transit key was added or retired, in the turn in which that becomes true.
   *
   * @returns a function that ends it
   */
  onTransitChange(listener: () => void): () => void {
    return this.services.transitKeys.onChange(listener);
  }

  /**
   * A caller whom nobody knows was turned away. Cheap: the audit log gets one entry a minute for all of them together.
   *
   * @param address where from
   */
  refusedStranger(address: string): void {
    this.#parts.upkeep.strangers.add(address);
  }

  /** How far a shared store is here: whoever shows it to another instance is given nothing older. Undefined where there is none other. */
  get position(): string | undefined {
    return this.#parts.storage.shared?.position;
  }

  /**
   * Waits until what is read here is as new as that position; nothing is returned where it is. A store that is not shared is always.
   *
   * @throws CofferError `stale`; `invalid_argument` for what is no position
   */
  reached(position: string): void | Promise<void> {
    return this.#parts.storage.shared?.reached(position);
  }

  /** For what waits for nothing. @throws CofferError `stale` */
  protected requireFresh(): void {
    try {
      this.services.context.gate.requireFresh();
    } catch (error) {
      throw this.requests.explained(error);
    }
  }

  /** Why reads are refused at this moment, if they are: what is here is too old. */
  get stale(): CofferError | undefined {
    try {
      this.requireFresh();
      return undefined;
    } catch (error) {
      if (error instanceof CofferError) return error;
      throw error;
    }
  }

  /** True if another instance has changed the root key: this one goes on, and does not start again until it is given the new one. */
  get lacksRootKey(): boolean {
    return this.#parts.header.lacksRootKey;
  }

  /** How a shared store is; undefined where it is not shared. Asks nobody. */
  get sharedHealth(): SharedHealth | undefined {
    return this.#parts.storage.shared?.health;
  }

  /**
   * Calls `listener` when the alarm of a shared store is raised or lifted, or another one is found: `sharedHealth` has it.
   *
   * @returns a function that ends it
   */
  onStoreAlarm(listener: () => void): () => void {
    return this.#parts.storage.shared?.onAlarm(listener) ?? (() => undefined);
  }

  /** How far the copies of this instance's log are; undefined where no instances share the store. For a look at any time. */
  get auditCopies(): CopiesFacts | undefined {
    return this.#parts.upkeep.copies?.facts;
  }

  /** Whether there is room for changes, as far as it can be told. Reads go on without. */
  async isWritable(): Promise<boolean> {
    const { storage } = this.#parts;
    const { problem, room } = storage.shared?.health ?? {};
    if (problem ?? room?.problem) return false;
    const { writable } = await storage.facts();
    return writable;
  }

  /** How the engine is, in numbers. */
  async facts(): Promise<EngineFacts> {
    const { storage, header, catalog, audit } = this.#parts;
    const { keys, watchers, backups } = this.services;
    return {
      storeFormat: header.format,
      ...catalog.heads.count(),
      storage: { ...(await storage.facts()), writable: await this.isWritable() },
      shared: this.sharedHealth,
      audit: { sequence: audit.durable.seq, syncs: audit.syncs, copies: this.auditCopies },
      keys: keys.facts(),
      watchers: watchers.count,
      lastBackup: backups.lastMade,
    };
  }

  /** Why requests cannot be served; undefined when they can. */
  get stopped(): CofferError | undefined {
    return this.requests.stopped;
  }

  /** Refuses new requests, waits for those under way, then closes the store and the log and wipes the keys. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #close(): Promise<void> {
    if (!this.stopped) this.requests.stop(new CofferError('stopped', 'the server is shutting down'));
    this.endWatches();
    const { pruner, tombstones, duty, backups, rewriter } = this.services;
    pruner.close();
    tombstones.close();
    duty.close();
    await Promise.all([backups.close(), rewriter.stop()]);
    await this.requests.quiet();
    await this.#outcomes.close();
    await closeStore(this.#parts);
  }

  /**
   * Whoever came in by the machine itself reads this instance's log and minds the store when the store cannot be reached, too: the log
   * may tell why. Anybody else may have lost the right to, which is not known here then.
   */
  protected runAsOperator<T>(caller: Caller, task: () => Promise<T>): Promise<T> {
    const { auditReading } = this.services;
    return auditReading.isOperator(caller) ? this.requests.runStale(task) : this.requests.run(task);
  }
}
