import { hash, randomBytes } from 'node:crypto';

import type { AuditAction } from './audit/entry.js';
import type { Caller, Principal } from './caller.js';
import { CofferError } from './errors.js';
import { type Asked, type Gate, operationOf } from './gate.js';
import { canonical, type Grant, grantId } from './grant.js';
import { Locks } from './locks.js';
import type { Manifest, StoredToken } from './manifest.js';
import { type Change, findOperation, keepOperations } from './operations.js';
import { Policy } from './policy.js';

/** Marks a bearer token of coffer's, for secret scanners as well as for us. */
const TOKEN_PREFIX = 'cft_';
const TOKEN_BYTES = 32;
const TOKEN_FORM = /^cft_[A-Za-z0-9_-]{43}$/;
const TOKEN_NAME_LENGTH = 256;

/** A bearer token without its secret part. */
export interface TokenInfo {
  readonly id: string;
  /** For people; grants name the id. */
  readonly name: string;
  readonly createdAt: Date;
  /** Principal id of who made it. */
  readonly createdBy: string;
  readonly expiresAt?: Date;
  readonly revokedAt?: Date;
}

export interface PolicyDifference {
  readonly added: readonly Grant[];
  readonly removed: readonly Grant[];
  readonly unchanged: number;
  /** The policy's generation after it, or, in a dry run, as it is. */
  readonly generation: number;
}

export interface PolicyOptions {
  /** Answers the difference and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Refuses (`policy_changed`) if the policy is not at this generation. */
  readonly expectedGeneration?: number | undefined;
}

/** Tokens and grants. Everything here needs `admin`, and is audited like any access. */
export class Administration {
  readonly #manifest: Manifest;
  readonly #gate: Gate;
  readonly #now: () => Date;
  readonly #lock = new Locks();
  readonly #tokens = new Map<string, StoredToken>();
  policy: Policy;

  constructor(manifest: Manifest, gate: Gate, now: () => Date) {
    this.#manifest = manifest;
    this.#gate = gate;
    this.#now = now;
    for (const token of manifest.tokens) this.#tokens.set(token.hash, token);
    this.policy = new Policy(manifest.grants);
  }

  /** The principal of a token that is known, not expired and not revoked. */
  authenticateToken(token: string): Principal | undefined {
    if (!TOKEN_FORM.test(token)) return undefined;
    // The hash is the key: what the time of the look-up tells is about the hash, from which no token follows.
    const stored = this.#tokens.get(hash('sha256', token));
    if (!stored || stored.revokedAt) return undefined;
    if (stored.expiresAt && stored.expiresAt <= this.#now()) return undefined;
    return { id: `token:${stored.id}`, kind: 'token', name: stored.name };
  }

  async createToken(
    caller: Caller,
    { name, expiresAt }: { name: string; expiresAt?: Date | undefined },
    change?: Change,
  ): Promise<{ token: string; info: TokenInfo }> {
    if (name === '' || name.length > TOKEN_NAME_LENGTH || !name.isWellFormed()) {
      throw new CofferError(
        'invalid_token_request',
        `a token's name has 1 to ${TOKEN_NAME_LENGTH} characters`,
      );
    }
    if (expiresAt && !(expiresAt > this.#now())) {
      throw new CofferError('invalid_token_request', 'the token would have expired already');
    }
    const token = TOKEN_PREFIX + randomBytes(TOKEN_BYTES).toString('base64url');
    const stored: StoredToken = {
      id: randomBytes(8).toString('hex'),
      name,
      hash: hash('sha256', token),
      createdAt: this.#now(),
      createdBy: caller.principals[0].id,
      ...(expiresAt && { expiresAt }),
    };
    await this.#authorise(caller, 'create-token', stored.id);
    await this.#change(caller, 'create-token', stored.id, change, async (operations) => {
      await this.#manifest.commit({ write: [{ kind: 'token', token: stored }], operations });
      this.#tokens.set(stored.hash, stored);
    });
    return { token, info: infoOf(stored) };
  }

  async listTokens(caller: Caller): Promise<TokenInfo[]> {
    await this.#gate.allow(await this.#authorise(caller, 'list-tokens'));
    return this.#manifest.tokens.map(infoOf).sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  }

  /** Takes effect at once. Revoking a revoked token changes nothing. */
  async revokeToken(caller: Caller, id: string, change?: Change): Promise<TokenInfo> {
    const asked = await this.#authorise(caller, 'revoke-token', id);
    const find = () => this.#manifest.tokens.find((token) => token.id === id);
    if (!find())
      return this.#gate.fail(asked, new CofferError('not_found', `there is no token with the id ${id}`));
    await this.#change(caller, 'revoke-token', id, change, async (operations) => {
      const token = find() as StoredToken;
      const revoked = { ...token, revokedAt: token.revokedAt ?? this.#now() };
      await this.#manifest.commit({ write: [{ kind: 'token', token: revoked }], operations });
      this.#tokens.set(revoked.hash, revoked);
    });
    return infoOf(find() as StoredToken);
  }

  /** The grants that the caller administers. */
  async showPolicy(caller: Caller): Promise<{ grants: Grant[]; generation: number }> {
    const asked = { caller, action: 'show-policy' } as const;
    if (!this.policy.isSomeAdministrator(caller)) return this.#gate.deny(asked);
    await this.#gate.allow(asked);
    return { grants: this.#grantsOf(caller), generation: this.#manifest.policyGeneration };
  }

  /**
   * Replaces the grants that the caller administers by these; who administers a part can neither see nor touch the
   * rest.
   *
   * @throws CofferError `invalid_policy`, `policy_changed`, `access_denied` for a grant beyond the caller's part
   */
  async applyPolicy(
    caller: Caller,
    grants: readonly Grant[],
    { dryRun = false, expectedGeneration }: PolicyOptions,
    change?: Change,
  ): Promise<PolicyDifference> {
    const wanted = new Map(grants.map(canonical).map((grant) => [grantId(grant), grant]));
    const asked = { caller, action: 'apply-policy', target: `${wanted.size} grants` } as const;
    const within = [...wanted.values()].every((grant) => this.#administers(caller, grant));
    if (!within || !this.policy.isSomeAdministrator(caller)) return this.#gate.deny(asked);
    if (dryRun) {
      await this.#gate.allow({ ...asked, target: `${asked.target}, dry run` });
      return this.#difference(caller, wanted);
    }
    let difference = this.#difference(caller, wanted);
    await this.#change(caller, 'apply-policy', asked.target, change, async (operations) => {
      difference = this.#difference(caller, wanted);
      if (expectedGeneration !== undefined && expectedGeneration !== difference.generation) {
        throw new CofferError(
          'policy_changed',
          'the policy was changed in the meantime: look at it again, then apply',
        );
      }
      const { added, removed } = difference;
      const record = (grant: Grant) => ({ kind: 'grant', grant }) as const;
      const newPolicy = added.length + removed.length > 0;
      await this.#manifest.commit({
        write: added.map(record),
        remove: removed.map(record),
        operations,
        newPolicy,
      });
      this.policy = new Policy(this.#manifest.grants);
      difference = { ...difference, generation: this.#manifest.policyGeneration };
    });
    return difference;
  }

  /** Tells whether an operation came true, for the recovery after a crash. */
  remembers(operation: string): boolean {
    return this.#manifest.operations.some(({ id }) => id === operation);
  }

  #grantsOf(caller: Caller): Grant[] {
    return this.#manifest.grants.filter((grant) => this.#administers(caller, grant));
  }

  #administers(caller: Caller, { secrets }: Grant): boolean {
    return secrets.every((pattern) => this.policy.administers(caller, pattern));
  }

  #difference(caller: Caller, wanted: ReadonlyMap<string, Grant>): PolicyDifference {
    const now = new Map(this.#grantsOf(caller).map((grant) => [grantId(grant), grant]));
    const added = [...wanted].filter(([id]) => !now.has(id)).map(([, grant]) => grant);
    const removed = [...now].filter(([id]) => !wanted.has(id)).map(([, grant]) => grant);
    return {
      added,
      removed,
      unchanged: wanted.size - added.length,
      generation: this.#manifest.policyGeneration,
    };
  }

  async #authorise(caller: Caller, action: AuditAction, target?: string): Promise<Asked> {
    const asked = { caller, action, target };
    if (!this.policy.isAdministrator(caller)) await this.#gate.deny(asked);
    return asked;
  }

  /** One after the other, since all of it hangs on one head. */
  async #change(
    caller: Caller,
    action: AuditAction,
    target: string,
    change: Change | undefined,
    make: (operations: ReturnType<typeof keepOperations>) => Promise<void>,
  ): Promise<void> {
    const { operation, given } = operationOf(change);
    const by = caller.principals[0].id;
    const request = given ? `${action} ${target}` : '';
    const asked = { caller, action, target, operation };
    const made = await this.#lock.run('manifest', async () => {
      if (given && findOperation(this.#manifest.operations, { id: operation, by, request })) {
        await this.#gate.allow(asked);
        return undefined;
      }
      const added = { id: operation, by, request, result: 0, given };
      return this.#gate.change(asked, () =>
        make(keepOperations(this.#manifest.operations, this.#gate.underWay, added)),
      );
    });
    await made?.settle();
  }
}

const infoOf = ({ hash: _, ...info }: StoredToken): TokenInfo => info;
