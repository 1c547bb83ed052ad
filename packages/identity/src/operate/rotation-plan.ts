import type { StoreContext } from '../store/context.js';
import { StoreError } from '../store/errors.js';
import type { DamagedToken } from '../store/operator-store.js';
import { accountSigner, operatorSigner } from '../store/signer.js';
import { signingKeysOf, type UserScope } from '../tokens/claims.js';
import type { Jwt } from '../tokens/jwt.js';
import {
  type AccountSnapshot,
  givenAway,
  type HeldActivation,
  heldActivations,
  isRevokedBySource,
  isUrl,
  type Snapshot,
  stateOf,
} from './issued.js';
import { isRevokedUser } from './revocations.js';
import { type Rotation, RotationJournal } from './rotation-journal.js';
import { takeSnapshot } from './snapshot.js';

/** Whose signing key is to be replaced, and which. */
export interface RotationRequest {
  /** An account of the folder by its name; without one, the operator itself. */
  readonly account?: string | undefined;
  /** The key that goes; needed where it is not clear which is meant. */
  readonly old?: string | undefined;
  /** Of an account's key: its role, in place of `old`. */
  readonly role?: string | undefined;
  /** `-K`: the operator's key that signs what the operator signs. */
  readonly key?: string | undefined;
}

/** What a rotation finds to do, from the folder as it is: the same for one that begins and one that goes on. */
export interface RotationPlan {
  readonly snapshot: Snapshot;
  readonly of: 'operator' | 'account';
  readonly name: string;
  readonly entity: string;
  readonly old: string;
  /** Of a rotation that was begun: the key that takes its place. */
  readonly begun?: Rotation | undefined;
  /** That key is one of the entity's already. */
  readonly joined: boolean;
  readonly scope?: UserScope | undefined;
  /** Tokens that the old key signed, or that the new one signed already. */
  readonly users: readonly PlannedUser[];
  readonly activations: readonly HeldActivation[];
  /** Activation tokens that were given away to accounts that are not here, or do not use them yet. */
  readonly givenAway: readonly Jwt<'activation'>[];
  readonly accounts: readonly AccountSnapshot[];
  /** What the old key signed and was revoked since: that stays refused, and is not signed again. */
  readonly revoked: readonly {
    readonly kind: 'user' | 'activation';
    readonly name: string;
    readonly account: string;
  }[];
  /** Files of which it cannot be told whether the old key signed what they held. */
  readonly damaged: readonly DamagedToken[];
  /** Imports whose token is somewhere else, so that only who keeps it there can replace it. */
  readonly byUrl: readonly { readonly account: string; readonly subject: string; readonly url: string }[];
}

export interface PlannedUser {
  readonly account: string;
  readonly name: string;
  readonly jwt: Jwt<'user'>;
}

/**
 * @throws StoreError `not_found` for a key that is no signing key, or if it is not clear which is meant; `no_signer` if nothing
 *   is here that may sign what has to be signed
 */
export function planRotation(context: StoreContext, request: RotationRequest): RotationPlan {
  const snapshot = takeSnapshot(context);
  const of = request.account === undefined ? 'operator' : 'account';
  const account = request.account === undefined ? undefined : accountOf(context, snapshot, request.account);
  const subject = account?.jwt.claims ?? snapshot.operator.claims;
  const keys: ReadonlyMap<string, UserScope | undefined> = account
    ? signingKeysOf(account.jwt.claims)
    : new Map((snapshot.operator.claims.nats.signing_keys ?? []).map((key) => [key, undefined]));
  const pending = new RotationJournal(context.keys.folder).of(subject.sub);
  const meant = begunRotation(pending, keys, request);
  const old = meant?.old ?? chosenKey(keys, request, subject.sub);
  const begun = meant ?? pending.find((rotation) => rotation.old === old);
  const scope = keys.get(old) ?? (begun && keys.get(begun.new));
  const plan = {
    of,
    name: account?.name ?? context.store.name,
    entity: subject.sub,
    old,
    begun,
    joined: begun !== undefined && keys.has(begun.new),
    scope,
    snapshot,
    damaged: concerned(snapshot, account),
    ...affected(snapshot, account, old, begun?.new),
  } as const;
  requireSigners(context, plan, request);
  return plan;
}

function accountOf(context: StoreContext, { accounts }: Snapshot, name: string): AccountSnapshot {
  context.store.account(name);
  return accounts.find((account) => account.name === name) as AccountSnapshot;
}

/** An operator's key signs accounts; an account's its users, and activation tokens that any other account may hold. */
function concerned({ damaged = [] }: Snapshot, account: AccountSnapshot | undefined): DamagedToken[] {
  return damaged.filter((one) => one.kind === 'account' || one.account === account?.name);
}

function begunRotation(
  pending: readonly Rotation[],
  keys: ReadonlyMap<string, UserScope | undefined>,
  { old, role }: RotationRequest,
): Rotation | undefined {
  if (old !== undefined) return pending.find((rotation) => rotation.old === old);
  // Of the two keys either may be the only one that is in the token.
  const hasRole = (key: string) => keys.get(key)?.role === role;
  const begun = role === undefined ? pending : pending.filter((one) => hasRole(one.old) || hasRole(one.new));
  if (begun.length < 2) return begun[0];
  throw new StoreError(
    'not_found',
    `several rotations were begun and not ended: say which with --old, one of ${begun.map((one) => one.old).join(', ')}`,
  );
}

function chosenKey(
  keys: ReadonlyMap<string, UserScope | undefined>,
  { old, role }: RotationRequest,
  entity: string,
): string {
  if (old === entity) {
    throw new StoreError('not_found', 'only a signing key can be rotated: this is the identity’s own key');
  }
  const all = [...keys].map(([key, scope]) => ({ key, role: scope?.role }));
  const list = all.map((one) => (one.role ? `${one.key} (role ${one.role})` : one.key)).join(', ');
  const there = all.length === 0 ? 'there is none' : `there is ${list}`;
  if (old !== undefined) {
    if (keys.has(old)) return old;
    throw new StoreError('not_found', `${old} is no signing key of ${entity}: ${there}`);
  }
  const meant =
    role === undefined ? all.filter((one) => one.role === undefined) : all.filter((one) => one.role === role);
  const [only, ...more] = meant.length === 0 && role === undefined ? all : meant;
  if (only && more.length === 0) return only.key;
  throw new StoreError(
    'not_found',
    only ? `say which signing key with --old: ${there}` : `there is no such signing key to rotate: ${there}`,
  );
}

function affected(
  snapshot: Snapshot,
  account: AccountSnapshot | undefined,
  old: string,
  replacement: string | undefined,
): Pick<RotationPlan, 'users' | 'activations' | 'givenAway' | 'accounts' | 'revoked' | 'byUrl'> {
  const signed = ({ claims }: { readonly claims: { readonly iss: string } }) =>
    claims.iss === old || claims.iss === replacement;
  const users = (account?.users ?? []).filter(({ jwt }) => signed(jwt));
  const isGone = ({ jwt }: PlannedUser) =>
    account !== undefined && jwt.claims.iss === old && isRevokedUser(account.jwt.claims, jwt.claims);
  const planned = users.map((user) => ({ ...user, account: account?.name ?? '' }));
  const held = heldActivations(snapshot).filter(({ jwt }) => signed(jwt));
  const given = givenAway(snapshot).filter(
    (jwt) => signed(jwt) && stateOf(jwt.claims, new Date()) !== 'expired',
  );
  const isWithdrawn = (jwt: Jwt<'activation'>) =>
    jwt.claims.iss === old && isRevokedBySource(jwt, snapshot.accounts);
  return {
    users: planned.filter((user) => !isGone(user)),
    activations: held.filter(({ jwt }) => !isWithdrawn(jwt)),
    givenAway: given.filter((jwt) => !isWithdrawn(jwt)),
    accounts: account ? [] : snapshot.accounts.filter(({ jwt }) => signed(jwt)),
    revoked: [
      ...planned.filter(isGone).map(({ name, account }) => ({ kind: 'user' as const, name, account })),
      ...held
        .filter(({ jwt }) => isWithdrawn(jwt))
        .map(({ jwt, holder }) => ({
          kind: 'activation' as const,
          name: jwt.claims.nats.subject ?? '',
          account: holder.name,
        })),
      ...given.filter(isWithdrawn).map(({ claims }) => ({
        kind: 'activation' as const,
        name: claims.nats.subject ?? '',
        account: claims.sub,
      })),
    ],
    byUrl: account ? importsByUrl(snapshot, account.jwt.claims.sub) : [],
  };
}

function importsByUrl({ accounts }: Snapshot, exporter: string): RotationPlan['byUrl'] {
  return accounts.flatMap(({ name, jwt }) =>
    (jwt.claims.nats.imports ?? [])
      .filter(({ account, token }) => account === exporter && token !== undefined && isUrl(token))
      .map(({ subject = '', token = '' }) => ({ account: name, subject, url: token })),
  );
}

/** So that a rotation ends before it begins rather than half-way. */
function requireSigners(context: StoreContext, plan: RotationPlan, { key }: RotationRequest): void {
  const { claims } = plan.snapshot.operator;
  if (plan.of === 'operator') {
    using signer = operatorSigner(claims, context.keys, { key });
    if (key !== undefined && signer.pair.publicKey === plan.old) {
      throw new StoreError('wrong_signer', 'the key that goes cannot sign: name another one with -K');
    }
    return;
  }
  const resigned = [plan.entity, ...plan.activations.map(({ holder }) => holder.jwt.claims.sub)];
  for (const account of plan.snapshot.accounts.filter(({ jwt }) => resigned.includes(jwt.claims.sub))) {
    const own = context.store.managed ? account.jwt.claims.sub : undefined;
    accountSigner(claims, context.keys, { key, own })[Symbol.dispose]();
  }
}
