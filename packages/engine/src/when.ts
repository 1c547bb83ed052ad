import type { Conditions } from './caller.js';
import { CofferError } from './errors.js';
import { checkedList, Pattern } from './patterns.js';

/**
 * What must be so besides for a grant to hold: each list that is there has a pattern that matches what the caller's request
 * claims. It only ever narrows; a caller of whom nothing is claimed never meets it.
 */
export interface When {
  readonly application?: readonly string[];
  readonly host?: readonly string[];
}

/** What a request may claim. Its order is that of the canonical form. */
export const CONDITIONS = ['application', 'host'] as const;
type ConditionName = (typeof CONDITIONS)[number];

/**
 * In its one canonical form: sorted, without repetitions.
 *
 * @throws CofferError `invalid_policy` if it states nothing, or something else than conditions, or a list is not one
 */
export function canonicalWhen(when: When): When {
  const stated = Object.keys(when);
  const unknown = stated.find((name) => !CONDITIONS.includes(name as ConditionName));
  if (unknown !== undefined || stated.length === 0) {
    throw new CofferError('invalid_policy', `"when" has one or more of ${CONDITIONS.join(', ')}`);
  }
  return listsOf(when, (name, patterns) => checkedList(`when.${name}`, patterns));
}

/** The lists that are there, in the canonical order. */
function listsOf(
  when: When,
  list: (name: ConditionName, patterns: readonly string[]) => readonly string[],
): When {
  const { application, host } = when;
  return {
    ...(application !== undefined && { application: list('application', application) }),
    ...(host !== undefined && { host: list('host', host) }),
  };
}

/** Conditions taken apart once, for who asks often. */
export class Requirement {
  readonly #lists: readonly (readonly [ConditionName, readonly Pattern[]])[];

  constructor(when: When) {
    this.#lists = CONDITIONS.flatMap((name) => {
      const patterns = when[name];
      return patterns ? [[name, patterns.map((pattern) => new Pattern(pattern))] as const] : [];
    });
  }

  isMetBy(conditions: Conditions): boolean {
    return this.#lists.every(([name, patterns]) => {
      const claimed = conditions[name];
      return claimed !== undefined && patterns.some((pattern) => pattern.matches(claimed));
    });
  }
}
