import { CofferError } from './errors.js';
import { checkedList } from './patterns.js';
import { canonicalWhen, type When } from './when.js';

/** Every action that a grant can allow; all but `admin` and `metrics` are setec's. */
export const ACTIONS = [
  'get',
  'info',
  'put',
  'create-version',
  'activate',
  'delete',
  'admin',
  'metrics',
] as const;
export type Action = (typeof ACTIONS)[number];

/**
 * Allows `actions` on the secrets that match `secrets` to the principals that match `to`.
 *
 * A pattern is a literal in which each `*` stands for any run of characters, `/` included. Everything that no
 * grant allows is denied.
 */
export interface Grant {
  readonly to: readonly string[];
  readonly actions: readonly Action[];
  readonly secrets: readonly string[];
  /** Only where `get` is the only action. */
  readonly when?: When;
}

/**
 * The grant in its one canonical form: sorted, without repetitions.
 *
 * @throws CofferError `invalid_policy` if a list is empty or has more than 1,000 entries, a pattern is empty or longer than
 *   1,024 bytes, or there are conditions on anything but `get`
 */
export function canonical(grant: Grant): Grant {
  for (const action of grant.actions) {
    if (!ACTIONS.includes(action)) {
      throw new CofferError('invalid_policy', `"${action}" is no action: use ${ACTIONS.join(', ')}`);
    }
  }
  const lists = {
    to: checkedList('to', grant.to),
    actions: checkedList('actions', grant.actions),
    secrets: checkedList('secrets', grant.secrets),
  };
  if (grant.when === undefined) return lists;
  if (lists.actions.some((action) => action !== 'get')) {
    throw new CofferError(
      'invalid_policy',
      'a grant with "when" has get as its only action: nothing else is asked for with an application or a host',
    );
  }
  return { ...lists, when: canonicalWhen(grant.when) };
}

/** Equal for equal canonical grants. */
export function grantId({ to, actions, secrets, when }: Grant): string {
  const lists = [to, actions, secrets];
  return JSON.stringify(when ? [...lists, when.application ?? null, when.host ?? null] : lists);
}

/** More would make the policy slow to change. */
const GRANTS = 10_000;

/** @throws CofferError `invalid_policy` */
export function requireFewGrants(count: number): void {
  if (count <= GRANTS) return;
  throw new CofferError(
    'invalid_policy',
    `a policy has at most ${GRANTS} grants: join some of them by patterns`,
  );
}
