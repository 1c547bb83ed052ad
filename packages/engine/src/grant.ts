import { CofferError } from './errors.js';

/** Every action that a grant can allow; all but `admin` are setec's. */
export const ACTIONS = ['get', 'info', 'put', 'create-version', 'activate', 'delete', 'admin'] as const;
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
}

/** True if `text` matches `pattern`. Linear in both but for repeated literals; no regular expression is involved. */
export function matches(pattern: string, text: string): boolean {
  const firstStar = pattern.indexOf('*');
  if (firstStar < 0) return pattern === text;
  const parts = pattern.split('*');
  const head = parts[0] as string;
  const tail = parts.at(-1) as string;
  if (text.length < head.length + tail.length) return false;
  if (!text.startsWith(head) || !text.endsWith(tail)) return false;
  const end = text.length - tail.length;
  let at = head.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return at <= end;
}

/**
 * True if every text that matches `inner` matches `outer`. A `*` of `inner` can only be covered by a `*` of `outer`,
 * so reading `inner` as a text decides it.
 */
export const covers = (outer: string, inner: string): boolean => matches(outer, inner);

/**
 * The grant in its one canonical form: sorted, without repetitions.
 *
 * @throws CofferError `invalid_policy` if a list is empty or a pattern is
 */
export function canonical(grant: Grant): Grant {
  const list = <T extends string>(what: string, items: readonly T[]): T[] => {
    if (items.length === 0)
      throw new CofferError('invalid_policy', `a grant needs at least one entry in "${what}"`);
    if (items.includes('' as T)) throw new CofferError('invalid_policy', `"${what}" has an empty entry`);
    return [...new Set(items)].sort();
  };
  for (const action of grant.actions) {
    if (!ACTIONS.includes(action)) {
      throw new CofferError('invalid_policy', `"${action}" is no action: use ${ACTIONS.join(', ')}`);
    }
  }
  return {
    to: list('to', grant.to),
    actions: list('actions', grant.actions),
    secrets: list('secrets', grant.secrets),
  };
}

/** Equal for equal canonical grants. */
export const grantId = ({ to, actions, secrets }: Grant): string => JSON.stringify([to, actions, secrets]);
