import { hash, randomBytes } from 'node:crypto';
import type { AuditAction, AuditSubject } from './audit/entry.js';
import { type Caller, type Principal, SERVER } from './caller.js';
import { counted } from './counted.js';
import { CofferError } from './errors.js';
import { accessDenied, type Gate } from './gate.js';
import { canonical, type Grant, grantId, requireFewGrants } from './grant.js';
import type { Manifest, ManifestNews } from './manifest.js';
import type { ManifestChanges } from './manifest-changes.js';
import type { Change } from './operations.js';
import { Policy } from './policy.js';
import { recordOf, type StoredToken } from './policy-record.js';

/** Marks a bearer token of coffer's, for secret scanners as well as for us. */
const TOKEN_PREFIX = 'cft_';
const TOKEN_BYTES = 32;
const TOKEN_FORM = /^cft_[A-Za-z0-9_-]{43}$/;
const TOKEN_NAME_LENGTH = 256;
const TOKEN_ID_FORM = /^[0-9a-f]{16}$/;

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

/** What a newer state of the store is known to have taken away. */
export interface ToTakeAway {
  /** When each token was revoked, by id. */
  readonly revoked: ReadonlyMap<string, Date>;
  /** Of those in force. */
  readonly grants: readonly Grant[];
}

export interface TakenAway {
  readonly tokensRevoked: readonly TokenInfo[];
  readonly grantsRemoved: readonly Grant[];
}

/** Tokens and grants. Everything here needs `admin`, and is audited like any access. */
export class Administration {
  readonly #manifest: Manifest;
  readonly #changes: ManifestChanges;
  readonly #gate: Gate;
  readonly #now: () => Date;
  /** By the token's hash. */
  readonly #tokens = new Map<string, { readonly token: StoredToken; readonly principal: Principal }>();
  readonly #byPrincipal = new Map<string, StoredToken>();
  policy: Policy;
  /** Told when grants or tokens have changed, in the turn in which they do. */
  onChange: (what: 'grants' | 'tokens') => void = () => undefined;

  constructor(manifest: Manifest, changes: ManifestChanges, gate: Gate, now: () => Date) {
    this.#manifest = manifest;
    this.#changes = changes;
    this.#gate = gate;
    this.#now = now;
    for (const token of manifest.tokens) this.#know(token);
    this.policy = new Policy(manifest.grants);
    manifest.onChange((news) => this.#take(news));
  }

  /** The principal of a token that is known, not expired and not revoked. */
  authenticateToken(token: string): Principal | undefined {
    if (!TOKEN_FORM.test(token)) return undefined;
    // The hash is the key: what the time of the look-up tells is about the hash, from which no token follows.
    const known = this.#tokens.get(hash('sha256', token));
    return known && this.#isLive(known.token) ? known.principal : undefined;
  }

  /** False if a token or an identity of the caller's has expired or was revoked; it was live when the caller came. */
  knows({ principals, session }: Caller): boolean {
    if (session && !(session.isLive() && isAhead(session.expiresAt, this.#now()))) return false;
    return principals.every(({ id, kind }) => {
      if (kind !== 'token') return true;
      const token = this.#byPrincipal.get(id);
      return token !== undefined && this.#isLive(token);
    });
  }

  /** When the first of the caller's tokens, or its identity, expires. */
  expiryOf({ principals, session }: Caller): Date | undefined {
    const tokens = principals.flatMap(({ id }) => this.#byPrincipal.get(id)?.expiresAt ?? []);
    const expiries = session?.expiresAt ? [...tokens, session.expiresAt] : tokens;
    return expiries.sort((a, b) => a.getTime() - b.getTime())[0];
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
    const asked = await this.#authorise(caller, 'create-token', stored.id);
    // The id is in the request, so that an operation which comes again is refused: its token cannot be shown again.
    await this.#changes.makeForAdministrator(asked, change, `create-token ${stored.id}`, () => ({
      write: [{ kind: 'token', token: stored }],
    }));
    return { token, info: infoOf(stored) };
  }

  async listTokens(caller: Caller): Promise<TokenInfo[]> {
    await this.#gate.allow(await this.#authorise(caller, 'list-tokens'));
    return this.#manifest.tokens.map(infoOf).sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime());
  }

  /** Takes effect at once. Revoking a revoked token changes nothing. */
  async revokeToken(caller: Caller, id: string, change?: Change): Promise<TokenInfo> {
    // Who gives the token itself is not answered, nor logged, with it.
    if (!TOKEN_ID_FORM.test(id)) {
      throw new CofferError(
        'invalid_argument',
        "a token's id has 16 hexadecimal digits: see the list of tokens",
      );
    }
    const asked = await this.#authorise(caller, 'revoke-token', id);
    const find = () => {
      const token = this.#manifest.tokens.find((token) => token.id === id);
      if (!token) throw new CofferError('not_found', `there is no token with the id ${id}`);
      return token;
    };
    await this.#changes.makeForAdministrator(asked, change, `revoke-token ${id}`, () => {
      const token = find();
      if (token.revokedAt) return undefined;
      return { write: [{ kind: 'token', token: { ...token, revokedAt: this.#now() } }], urgent: true };
    });
    return infoOf(find());
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
    const asked = { caller, action: 'apply-policy', target: counted(grants.length, 'grant') } as const;
    // Before a look at a long list of who may not give one.
    if (!this.policy.isSomeAdministrator(caller)) return this.#gate.deny(asked);
    requireFewGrants(grants.length);
    const wanted = new Map(grants.map(canonical).map((grant) => [grantId(grant), grant]));
    if (!this.#mayApply(caller, wanted)) return this.#gate.deny(asked);
    if (dryRun) {
      // It is not used here, and yet what is wrong with it should show in the trial.
      this.#gate.operationOf(change);
      await this.#gate.allow({ ...asked, target: `${asked.target}, dry run` });
      return this.#difference(caller, wanted);
    }
    let made: PolicyDifference | undefined;
    const request = `apply-policy ${hash('sha256', JSON.stringify([...wanted.keys()].sort()))}`;
    await this.#changes.make(asked, change, request, () => {
      if (!this.#mayApply(caller, wanted)) throw accessDenied();
      const difference = this.#difference(caller, wanted);
      const { added, removed, generation } = difference;
      if (expectedGeneration !== undefined && expectedGeneration !== generation) {
        throw new CofferError(
          'policy_changed',
          'the policy was changed in the meantime: look at it again, then apply',
        );
      }
      if (added.length + removed.length === 0) return undefined;
      requireFewGrants(this.#manifest.grants.length + added.length - removed.length);
      made = { ...difference, generation: generation + 1 };
      return {
        write: added.map(recordOf),
        remove: removed.map(recordOf),
        newPolicy: true,
        urgent: added.length === 0,
      };
    });
    return (
      made ?? { added: [], removed: [], unchanged: wanted.size, generation: this.#manifest.policyGeneration }
    );
  }

  /**
   * Takes away what a newer state of the store had not given any more, by the server itself: after a restore. What is
   * not there, or is revoked already, is passed over.
   */
  async takeAway({ revoked, grants }: ToTakeAway): Promise<TakenAway> {
    const tokensRevoked: TokenInfo[] = [];
    for (const token of this.#manifest.tokens) {
      const revokedAt = revoked.get(token.id);
      if (!revokedAt || token.revokedAt) continue;
      const asked = { caller: SERVER, action: 'revoke-token', target: token.id } as const;
      await this.#changes.make(asked, undefined, `revoke-token ${token.id}`, () => ({
        write: [{ kind: 'token', token: { ...token, revokedAt } }],
        urgent: true,
      }));
      tokensRevoked.push(infoOf({ ...token, revokedAt }));
    }
    if (grants.length > 0) {
      const target = `${counted(grants.length, 'grant')} taken away`;
      const asked = { caller: SERVER, action: 'apply-policy', target } as const;
      await this.#changes.make(asked, undefined, 'take away', () => ({
        remove: grants.map(recordOf),
        newPolicy: true,
        urgent: true,
      }));
    }
    return { tokensRevoked, grantsRemoved: grants };
  }

  #mayApply(caller: Caller, wanted: ReadonlyMap<string, Grant>): boolean {
    if (!this.knows(caller)) return false;
    const within = [...wanted.values()].every((grant) => this.#administers(caller, grant));
    return within && this.policy.isSomeAdministrator(caller);
  }

  #grantsOf(caller: Caller): Grant[] {
    return this.#manifest.grants.filter((grant) => this.#administers(caller, grant));
  }

  #administers(caller: Caller, { actions, secrets }: Grant): boolean {
    // It is about the whole server, whatever the secrets of its grant are.
    if (actions.includes('metrics') && !this.policy.isAdministrator(caller)) return false;
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

  async #authorise(caller: Caller, action: AuditAction, target?: string): Promise<AuditSubject> {
    const asked = { caller, action, target };
    if (!this.policy.isAdministrator(caller)) await this.#gate.deny(asked);
    return asked;
  }

  /** What became true here or at another instance holds from now on. */
  #take({ write, remove, newPolicy }: ManifestNews): void {
    // Only a heal takes a whole token away: one that was made in a future that lost.
    for (const record of remove) {
      if (record.kind !== 'token') continue;
      this.#tokens.delete(record.token.hash);
      this.#byPrincipal.delete(`token:${record.token.id}`);
    }
    const tokens = write.flatMap((record) => (record.kind === 'token' ? [record.token] : []));
    for (const token of tokens) this.#know(token);
    if (newPolicy) this.policy = new Policy(this.#manifest.grants);
    if (newPolicy) this.onChange('grants');
    else if (tokens.length + remove.length > 0) this.onChange('tokens');
  }

  #isLive({ revokedAt, expiresAt }: StoredToken): boolean {
    return !revokedAt && isAhead(expiresAt, this.#now());
  }

  #know(token: StoredToken): void {
    const principal = { id: `token:${token.id}`, kind: 'token', name: token.name } as const;
    this.#tokens.set(token.hash, { token, principal });
    this.#byPrincipal.set(principal.id, token);
  }
}

const infoOf = ({ hash: _, ...info }: StoredToken): TokenInfo => info;

const isAhead = (time: Date | undefined, now: Date): boolean => time === undefined || time > now;
