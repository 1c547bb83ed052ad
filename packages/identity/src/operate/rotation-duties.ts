import type { StoreContext } from '../store/context.js';
import type { Jwt } from '../tokens/jwt.js';
import { ActivationLedger } from './activation-ledger.js';
import type { CredsState } from './renewed-creds.js';
import type { PlannedUser, RotationPlan } from './rotation-plan.js';

/** What a rotation cannot do itself. */
export interface Duty {
  readonly who: string;
  readonly must: string;
}

/** Who must act, and how, for everything to work under the new key. */
export function dutiesOf(
  context: StoreContext,
  plan: RotationPlan,
  creds: ReadonlyMap<PlannedUser, CredsState>,
  {
    pushed,
    keepOld,
    deleteOldSeed,
  }: { readonly pushed: boolean; readonly keepOld: boolean; readonly deleteOldSeed: boolean },
): Duty[] {
  const [written, unwritten] = [true, false].map((here) =>
    plan.users.filter((user) => (creds.get(user)?.path !== undefined) === here),
  ) as [PlannedUser[], PlannedUser[]];
  return [
    ...(written.some((user) => user.jwt.claims.iss === plan.old || !creds.get(user)?.current)
      ? [COPIES]
      : []),
    ...unwritten.map((user) => seedElsewhere(context, user)),
    ...plan.byUrl.map(({ account, subject, url }) => ({
      who: `account ${account}`,
      must: `its import of "${subject}" takes its activation token from ${url}: put a new one there`,
    })),
    ...plan.givenAway.map((jwt) => recipientDuty(context, jwt)),
    ...strangersDuties(context, plan),
    ...serverDuties(context, plan, pushed),
    ...(keepOld ? [{ who: 'you', must: 'the old key still counts: run this again without --keep-old' }] : []),
    ...(!keepOld && !deleteOldSeed && context.keys.has(plan.old)
      ? [
          {
            who: 'you',
            must: `the seed of the old key, of no use any more, is still in ${context.keys.pathOf(plan.old)}`,
          },
        ]
      : []),
  ];
}

const COPIES: Duty = {
  who: 'users that run with a copy of their creds',
  must: 'each needs its new creds file, as listed above',
};

function seedElsewhere({ store }: StoreContext, { account, name }: PlannedUser): Duty {
  const token = store.userPath(account, name);
  return {
    who: `user ${name} of ${account}`,
    must: `its seed is not here, so its creds could not be written: whoever has them puts in the new token, ${token}`,
  };
}

function recipientDuty({ keys }: StoreContext, jwt: Jwt<'activation'>): Duty {
  const file = new ActivationLedger(keys.folder).pathOf(jwt);
  return {
    who: `account ${jwt.claims.sub}`,
    must: `import "${jwt.claims.nats.subject ?? ''}" with its new activation token, ${file}`,
  };
}

/** Who holds an activation token that was made elsewhere is known only to whom it was given. */
function strangersDuties({ store }: StoreContext, { of, name, scope }: RotationPlan): Duty[] {
  // A key with a role signs users only.
  if (of === 'operator' || scope !== undefined) return [];
  const closed = (store.account(name).claims.nats.exports ?? []).filter(({ token_req }) => token_req);
  return closed.map(({ subject = '' }) => ({
    who: `others with an import of "${subject}"`,
    must:
      'if they have an activation token that the old key signed and that is not listed here, make them a new one: ' +
      `coffer identity generate activation --account ${name} --subject '${subject}' --target-account A…`,
  }));
}

function serverDuties(
  { store }: StoreContext,
  { of, name, accounts, activations }: RotationPlan,
  pushed: boolean,
) {
  const duties: Duty[] = [];
  if (of === 'operator') {
    duties.push({
      who: 'nats-servers and others that trust this operator',
      must: `each needs the operator’s new token, ${store.operatorPath}; a nats-server is started anew for that`,
    });
  }
  if (store.managed) {
    duties.push({ who: 'the operator', must: 'sign the changed accounts, which sign themselves meanwhile' });
  }
  if (!pushed) {
    const changed =
      of === 'operator'
        ? accounts.map((one) => one.name)
        : [name, ...activations.map((one) => one.holder.name)];
    if (changed.length > 0) {
      duties.push({
        who: 'nats-servers, if there are any',
        must: `they learn of ${[...new Set(changed)].join(', ')} by "coffer identity push" or a new configuration`,
      });
    }
  }
  return duties;
}
