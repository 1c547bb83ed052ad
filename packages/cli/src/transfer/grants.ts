import type { Grant } from '@coffer/client';
import type { Admin } from '@coffer/client/admin';
import { isClientError } from '../failure.js';
import { displayName } from '../quote.js';
import type { Outcome } from './outcome.js';

/** Which secrets a principal shall be let get, one by one. */
export interface Wanted {
  readonly principal: string;
  readonly names: readonly string[];
}

/**
 * Lets each principal get its secrets, besides those that it is mapped to already, by grants as `coffer wasmcloud add-mapping`
 * makes them. All of it is one change of the policy: others' changes meanwhile are kept. What fails, fails for all.
 */
export async function mapAll(
  admin: Admin,
  wanted: readonly Wanted[],
  { dryRun }: { readonly dryRun: boolean },
): Promise<Outcome[]> {
  for (let attempt = 1; ; attempt++) {
    try {
      const { generation, grants } = await admin.policy();
      const plan = wanted.map((each) => planned(each, grants));
      if (plan.some(({ added }) => added.length > 0)) {
        const replaced = new Set(plan.flatMap(({ own, added }) => (added.length > 0 ? own : [])));
        const next = [
          ...grants.filter((grant) => !replaced.has(grant)),
          ...plan.flatMap(({ grants: ofPrincipal, added }) => (added.length > 0 ? ofPrincipal : [])),
        ];
        await admin.applyPolicy(next, { dryRun, expectedGeneration: generation });
      }
      return plan.map(toOutcome);
    } catch (error) {
      if (!isClientError(error)) throw error;
      if (error.code === 'policy_changed' && attempt < ATTEMPTS) continue;
      return wanted.map(({ principal }) => ({ name: principal, outcome: 'failed', detail: error.message }));
    }
  }
}

const ATTEMPTS = 5;
/** The most that a list of a grant takes. */
const NAMES_PER_GRANT = 1_000;

interface Planned {
  readonly principal: string;
  /** Its mappings of before. */
  readonly own: readonly Grant[];
  /** Those to be in their place. */
  readonly grants: readonly Grant[];
  readonly added: readonly string[];
}

function planned({ principal, names }: Wanted, grants: readonly Grant[]): Planned {
  const own = grants.filter((grant) => isMapping(grant, principal));
  const mapped = own.flatMap(({ secrets }) => secrets);
  const added = [...new Set(names)].filter((name) => !mapped.includes(name)).sort();
  const all = [...new Set([...mapped, ...added])].sort();
  const chunks = Array.from({ length: Math.ceil(all.length / NAMES_PER_GRANT) }, (_, index) =>
    all.slice(index * NAMES_PER_GRANT, (index + 1) * NAMES_PER_GRANT),
  );
  const made = chunks.map((secrets): Grant => ({ to: [principal], actions: ['get'], secrets }));
  return { principal, own, grants: made, added };
}

/** As the server tells a mapping from another grant. */
const isMapping = ({ to, actions, secrets, when }: Grant, principal: string): boolean =>
  to.length === 1 &&
  to[0] === principal &&
  actions.length === 1 &&
  actions[0] === 'get' &&
  when === undefined &&
  !secrets.some((name) => name.includes('*'));

function toOutcome({ principal, own, added }: Planned): Outcome {
  const outcome = added.length === 0 ? 'unchanged' : own.length === 0 ? 'created' : 'changed';
  return { name: principal, outcome, detail: added.map(displayName).join(', ') };
}
