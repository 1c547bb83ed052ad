import { type Client, callerOf } from '../client.js';
import type { Caller } from '../http/caller.js';
import type { CallOptions, ChangeOptions, Grant } from '../types.js';
import * as answers from './answers.js';
import { linesOf, queryText } from './audit.js';
import { type BackupFacts, wholeBackup } from './backup.js';
import type {
  AuditHead,
  AuditInstances,
  AuditQuery,
  HealReport,
  KeyRotation,
  Keys,
  MemberName,
  NewToken,
  Policy,
  PolicyChange,
  Revocation,
  SetAside,
  StorageStatus,
  TokenInfo,
  TransitKey,
} from './types.js';

/** The server is never silent for so long, but when its disk is. */
const BACKUP_IDLE_MS = 120_000;

/** A connection on which nothing moves for longer is cut. */
const HEAL_MS = 100_000;

/** The server sends a sign of life every 15 s. */
const AUDIT_IDLE_MS = 120_000;

/**
 * Administration of a coffer server. Every call needs a grant of `admin` on `*`, or the admin socket.
 *
 * ```ts
 * import { Admin } from '@coffer/client/admin';
 *
 * const { grants } = await new Admin(client).policy();
 * ```
 */
export class Admin {
  readonly #caller: Caller;

  /** Its calls go where the client's go; it ends with the client. */
  constructor(client: Client) {
    this.#caller = callerOf(client);
  }

  /** Every token ever made, revoked and expired ones too; never the tokens themselves. */
  tokens(options?: CallOptions): Promise<TokenInfo[]> {
    return this.#caller.ask({ path: '/api/admin/tokens', action: 'list tokens', options }, answers.tokenList);
  }

  /**
   * Makes a bearer token. It may do nothing until a grant names `token:<id>`.
   *
   * @param request `name` is for people's eyes; `expiresIn` is in seconds, without it the token never expires.
   */
  createToken(
    request: { readonly name: string; readonly expiresIn?: number | undefined },
    options: ChangeOptions = {},
  ): Promise<NewToken> {
    return this.#caller.ask(
      { path: '/api/admin/tokens', action: 'create a token', body: request, change: options },
      answers.newToken,
    );
  }

  /** Revokes a token for good, at once on every instance. */
  revokeToken(id: string, options: ChangeOptions = {}): Promise<TokenInfo> {
    return this.#caller.ask(
      { path: '/api/admin/tokens/revoke', action: 'revoke a token', body: { id }, change: options },
      answers.tokenInfo,
    );
  }

  /** NATS identities that are believed no more, the oldest revocation first. */
  revocations(options?: CallOptions): Promise<Revocation[]> {
    return this.#caller.ask(
      { path: '/api/admin/revocations', action: 'list revocations', options },
      answers.revocationList,
    );
  }

  /**
   * One token, by its `jti`, or a public key with all that it signed, is believed no more: at once on every instance, until
   * the revocation is lifted. What is revoked already stays as it is, and is answered.
   *
   * ```ts
   * await admin.revoke({ key: 'U…', reason: 'laptop stolen' });
   * ```
   */
  revoke(
    request: ({ readonly jti: string } | { readonly key: string }) & { readonly reason?: string | undefined },
    options: ChangeOptions = {},
  ): Promise<Revocation> {
    return this.#caller.ask(
      { path: '/api/admin/revocations', action: 'revoke an identity', body: request, change: options },
      answers.revocation,
    );
  }

  /** What was revoked is believed again. */
  liftRevocation(id: string, options: ChangeOptions = {}): Promise<void> {
    return this.#caller.ask(
      { path: '/api/admin/revocations/lift', action: 'lift a revocation', body: { id }, change: options },
      () => undefined,
    );
  }

  /** The grants in force. */
  policy(options?: CallOptions): Promise<Policy> {
    return this.#caller.ask(
      { path: '/api/admin/policy', action: 'read the policy', options },
      answers.policy,
    );
  }

  /**
   * Replaces the grants in force by these, and answers with the difference.
   *
   * @param options With `dryRun` nothing changes. With `expectedGeneration` the call fails with the code
   *   `policy_changed` if somebody else changed the policy since it was read.
   */
  applyPolicy(
    grants: readonly Grant[],
    options: {
      readonly dryRun?: boolean | undefined;
      readonly expectedGeneration?: number | undefined;
    } & ChangeOptions = {},
  ): Promise<PolicyChange> {
    const { dryRun, expectedGeneration } = options;
    return this.#caller.ask(
      {
        path: '/api/admin/policy',
        action: 'apply a policy',
        body: { grants, dryRun, expectedGeneration },
        change: options,
      },
      answers.policyChange,
    );
  }

  /**
   * Lines of the audit log, as text without the line feed: those that were there when this was asked, so that the entry for
   * the reading is not among them; with `follow` new ones too, until the server stops, your right ends, or you `break`. If the
   * connection breaks, the iteration throws.
   *
   * ```ts
   * for await (const line of admin.audit({ action: 'get', since: yesterday })) print(JSON.parse(line));
   * ```
   */
  async *audit(query: AuditQuery = {}, options?: CallOptions): AsyncGenerator<string, void> {
    const path = `/api/admin/audit${queryText(query)}`;
    const question = { path, action: 'read the audit log', options };
    yield* linesOf(await this.#caller.stream(question, AUDIT_IDLE_MS));
  }

  /** Of which instances there are audit logs, where several share the store, and how far the copies of the asked one's are. */
  auditInstances(options?: CallOptions): Promise<AuditInstances> {
    return this.#caller.ask(
      { path: '/api/admin/audit/instances', action: 'read the audit log', options },
      answers.auditInstances,
    );
  }

  /** Where the audit log begins and ends, and what the store knows of it. */
  auditHead(options?: CallOptions): Promise<AuditHead> {
    return this.#caller.ask(
      { path: '/api/admin/audit/head', action: 'read the audit log', options },
      answers.auditHead,
    );
  }

  /**
   * A backup of the store and of the audit log, as they are when it begins: the bytes of a file. It is whole only if the
   * iteration comes to its end without an error; then it returns what the backup says of itself. The bytes are to be taken
   * at least once a minute.
   *
   * ```ts
   * for await (const bytes of admin.backup()) await file.write(bytes);
   * ```
   */
  async *backup(options?: CallOptions): AsyncGenerator<Uint8Array, BackupFacts> {
    const question = { path: '/api/admin/backup', body: {}, action: 'make a backup', options };
    const chunks = await this.#caller.stream(question, BACKUP_IDLE_MS);
    return yield* wholeBackup(chunks, this.#caller.transport.address.display);
  }

  /** The server's keys, without themselves, and how many records are under each; counting reads the whole store. */
  keys(options?: CallOptions): Promise<Keys> {
    return this.#caller.ask({ path: '/api/admin/keys', action: 'list keys', options }, answers.keys);
  }

  /** How far the re-encryption under a new data key is, at no cost; undefined if none is under way. */
  keyRotation(options?: CallOptions): Promise<KeyRotation | undefined> {
    return this.#caller.ask(
      { path: '/api/admin/keys/rotation', action: 'see how far the rotation is', options },
      answers.keyRotation,
    );
  }

  /**
   * Puts a new data key in force, or with `root` a new root key. Records are re-encrypted under a new data key in the
   * background; {@link keyRotation} tells how far that is.
   *
   * @param options `to`: where the server finds or makes the new root key, `file:PATH`, `passphrase:file:PATH`,
   *   `passphrase:env:NAME`, `xkey-seed:file:PATH` or `xkey-seed:env:NAME`; without it the file of the present one is replaced.
   * `without`: members of a shared store that lack the root key, by id or name: while one of them lives, a new data key is a
   * `conflict`, since it would answer nothing from then on.
   */
  rotateKeys(
    options: {
      readonly root?: boolean | undefined;
      readonly to?: string | undefined;
      readonly without?: readonly string[] | undefined;
    } & ChangeOptions = {},
  ): Promise<Keys> {
    const { root, to, without } = options;
    return this.#caller.ask(
      {
        path: '/api/admin/keys/rotate',
        action: 'rotate a key',
        body: { root, to, without },
        change: options,
      },
      answers.keys,
    );
  }

  /** How the server's store is, and the instances that share it, if any do. */
  storage(options?: CallOptions): Promise<StorageStatus> {
    return this.#caller.ask(
      { path: '/api/admin/storage', action: 'look at the store', options },
      answers.storageStatus,
    );
  }

  /** On how many servers a shared store is kept: 1, 3 or 5. The servers copy in the background. */
  setStorageReplicas(replicas: number, options: ChangeOptions = {}): Promise<void> {
    return this.#caller.ask(
      {
        path: '/api/admin/storage/replicas',
        action: 'change the replicas of the store',
        body: { replicas },
        change: options,
      },
      () => undefined,
    );
  }

  /** An instance of a shared store will not come back: nothing waits for it any more. `conflict` for one that lives. */
  forgetMember(member: string, options: ChangeOptions = {}): Promise<MemberName> {
    return this.#caller.ask(
      { path: '/api/admin/storage/forget', action: 'forget a member', body: { member }, change: options },
      answers.member,
    );
  }

  /**
   * Brings back what a shared store has lost, from the replicas of all instances that are there, and lifts its alarm. It may take
   * minutes; where the connection breaks it goes on, as {@link storage} tells.
   *
   * @param options With `dryRun` nothing changes. With `giveUpDamaged` records are set aside that are damaged, and that nobody has.
   * Without `dryRun` a member that does not answer is a `conflict`, unless `without` names it, by its id, or by its name: what only
   * it has is not brought back. So is one that is named there, and answers.
   */
  healStorage(
    options: {
      readonly dryRun?: boolean | undefined;
      readonly giveUpDamaged?: boolean | undefined;
      readonly without?: readonly string[] | undefined;
    } & ChangeOptions = {},
  ): Promise<HealReport> {
    const { dryRun, giveUpDamaged, without } = options;
    return this.#caller.ask(
      {
        path: '/api/admin/storage/heal',
        action: 'heal the store',
        body: { dryRun, giveUpDamaged, without },
        change: options,
        patience: HEAL_MS,
      },
      answers.healReport,
    );
  }

  /**
   * How much heals of a shared store have set aside: futures that lost, and what was damaged.
   *
   * @param options With `remove` it is removed, for good.
   */
  setAside(options: { readonly remove?: boolean | undefined } & ChangeOptions = {}): Promise<SetAside> {
    const { remove } = options;
    return this.#caller.ask(
      {
        path: '/api/admin/storage/set-aside',
        action: remove ? 'remove what was set aside' : 'look at what was set aside',
        body: { remove },
        change: options,
      },
      answers.setAside,
    );
  }

  /** The keys that wasmCloud hosts seal their requests to, of each backend the newest first. */
  transitKeys(options?: CallOptions): Promise<TransitKey[]> {
    return this.#caller.ask(
      { path: '/api/admin/transit-keys', action: 'list transit keys', options },
      answers.transitKeyList,
    );
  }

  /** The keys with which backends sign, as for their log-ins to Vault, of each backend the newest first. */
  signingKeys(options?: CallOptions): Promise<TransitKey[]> {
    return this.#caller.ask(
      { path: '/api/admin/signing-keys', action: 'list signing keys', options },
      answers.transitKeyList,
    );
  }

  /** Makes a new transit key, which hosts are told from now on. The older ones are served until they are retired. */
  rotateTransitKey(backend: string, options: ChangeOptions = {}): Promise<TransitKey> {
    return this.#caller.ask(
      {
        path: '/api/admin/transit-keys/rotate',
        action: 'rotate a transit key',
        body: { backend },
        change: options,
      },
      answers.transitKey,
    );
  }

  /** Makes a new key with which a backend signs from now on. What the older ones sign is believed until they are retired. */
  rotateSigningKey(backend: string, options: ChangeOptions = {}): Promise<TransitKey> {
    return this.#caller.ask(
      {
        path: '/api/admin/transit-keys/rotate',
        action: 'rotate a signing key',
        body: { backend, use: 'signing' },
        change: options,
      },
      answers.transitKey,
    );
  }

  /**
   * What is sealed to this transit key is served no more, for good. Hosts that know only that key must be started anew.
   *
   * @param key not the current one
   */
  retireTransitKey(
    { backend, publicKey }: Pick<TransitKey, 'backend' | 'publicKey'>,
    options: ChangeOptions = {},
  ): Promise<void> {
    return this.#caller.ask(
      {
        path: '/api/admin/transit-keys/retire',
        action: 'retire a transit key',
        body: { backend, publicKey },
        change: options,
      },
      () => undefined,
    );
  }
}
