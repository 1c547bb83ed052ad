import type { StoreContext } from '../store/context.js';
import { type CredsState, credsState } from './renewed-creds.js';
import { type Duty, dutiesOf } from './rotation-duties.js';
import type { PlannedUser, RotationPlan } from './rotation-plan.js';

/** What a rotation did or, as a dry run, would do. */
export interface RotationReport {
  readonly of: 'operator' | 'account';
  readonly name: string;
  readonly old: string;
  /** Nothing before the key is made. */
  readonly new?: string | undefined;
  readonly role?: string | undefined;
  /** It had been begun before. */
  readonly resumed: boolean;
  readonly reissued: readonly Reissued[];
  /** Revoked tokens, which are not signed again. */
  readonly left: RotationPlan['revoked'];
  /** Files that could not be read, so that nothing in them was signed anew. */
  readonly damaged: RotationPlan['damaged'];
  readonly oldKey: 'removed' | 'kept';
  readonly pushed: boolean;
  readonly duties: readonly Duty[];
}

export interface Reissued {
  readonly kind: 'account' | 'user' | 'activation';
  readonly name: string;
  /** The account that a user belongs to; that holds an activation token. */
  readonly account?: string | undefined;
  readonly subject: string;
  /** Of a user: its creds file, if it could be written. */
  readonly creds?: string | undefined;
  /** It had been signed anew before this run, and its creds written: they stay as they are. */
  readonly before?: boolean | undefined;
}

/** @param key the new key, once it is made */
export function reportOf(
  context: StoreContext,
  plan: RotationPlan,
  options: {
    readonly push?: unknown;
    readonly keepOld?: boolean | undefined;
    readonly deleteOldSeed?: boolean | undefined;
  },
  key: string | undefined,
): RotationReport {
  const creds = new Map<PlannedUser, CredsState>(
    plan.users.map((user) => [user, credsState(context, user.account, user.name, user.jwt)]),
  );
  const pushed = options.push !== undefined;
  return {
    of: plan.of,
    name: plan.name,
    old: plan.old,
    new: key ?? plan.begun?.new,
    role: plan.scope?.role,
    resumed: plan.begun !== undefined,
    reissued: [
      ...plan.accounts.map(({ name, jwt }) => ({ kind: 'account' as const, name, subject: jwt.claims.sub })),
      ...plan.users.map((user) => {
        const { name, account, jwt } = user;
        return {
          kind: 'user' as const,
          name,
          account,
          subject: jwt.claims.sub,
          creds: creds.get(user)?.path,
          before: jwt.claims.iss !== plan.old && creds.get(user)?.current === true,
        };
      }),
      ...plan.activations.map(({ holder, jwt }) => ({
        kind: 'activation' as const,
        name: jwt.claims.nats.subject ?? '',
        account: holder.name,
        subject: jwt.claims.sub,
      })),
      ...plan.givenAway.map(({ claims }) => ({
        kind: 'activation' as const,
        name: claims.nats.subject ?? '',
        subject: claims.sub,
      })),
    ],
    left: plan.revoked,
    damaged: plan.damaged,
    oldKey: options.keepOld ? 'kept' : 'removed',
    pushed,
    duties: dutiesOf(context, plan, creds, {
      pushed,
      keepOld: options.keepOld === true,
      deleteOldSeed: options.deleteOldSeed === true,
    }),
  };
}
