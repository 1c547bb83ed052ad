import type { Caller } from './caller.js';
import { ACTIONS, type Action, type Grant, matches, Pattern } from './grant.js';

/** These two are the machine's own administrators; they have every right on every secret. */
const EVERYTHING = new Set(['dev', 'socket']);

/** How many principals' grants are kept ready. */
const CACHED_PRINCIPALS = 10_000;

/** Decides what a caller may do. Holds one state of the grants; a changed policy is a new one. */
export class Policy {
  readonly grants: readonly Grant[];
  readonly #patterns = new Map<string, ReadonlyMap<Action, readonly Pattern[]>>();

  constructor(grants: readonly Grant[]) {
    this.grants = grants;
  }

  allows(caller: Caller, action: Action, secret: string): boolean {
    for (const { id } of caller.principals) {
      if (EVERYTHING.has(id)) return true;
      for (const pattern of this.#of(id).get(action) ?? []) if (pattern.matches(secret)) return true;
    }
    return false;
  }

  /** All patterns of secrets on which the caller has this right, sorted; empty if there is none. */
  patternsOf(caller: Caller, action: Action): readonly string[] {
    const texts = caller.principals.flatMap(({ id }) =>
      EVERYTHING.has(id) ? ['*'] : (this.#of(id).get(action) ?? []).map(({ text }) => text),
    );
    return [...new Set(texts)].sort();
  }

  /** True for who administers everything, and so may make tokens, keys and trust. */
  isAdministrator(caller: Caller): boolean {
    return this.administers(caller, '*');
  }

  /** True for who came in by the machine itself, over the admin socket or to a development server. */
  isOperator(caller: Caller): boolean {
    return caller.principals.some(({ id }) => EVERYTHING.has(id));
  }

  /** True if the caller may grant on every secret that `pattern` can match. */
  administers(caller: Caller, pattern: string): boolean {
    return caller.principals.some(
      ({ id }) =>
        EVERYTHING.has(id) || (this.#of(id).get('admin') ?? []).some((outer) => outer.covers(pattern)),
    );
  }

  /** True if the caller administers something at all. */
  isSomeAdministrator(caller: Caller): boolean {
    return caller.principals.some(({ id }) => EVERYTHING.has(id) || this.#of(id).has('admin'));
  }

  /** True for who may read the numbers of the whole server: for that the secrets of a grant mean nothing. */
  mayReadMetrics(caller: Caller): boolean {
    return this.isAdministrator(caller) || caller.principals.some(({ id }) => this.#of(id).has('metrics'));
  }

  /** The grants that apply to a caller, without whom else they are to; `dev` and `socket` have one built in. */
  grantsOf(caller: Caller): Grant[] {
    const builtIn = caller.principals
      .filter(({ id }) => EVERYTHING.has(id))
      .map(({ id }): Grant => ({ to: [id], actions: ACTIONS, secrets: ['*'] }));
    const given = this.grants.flatMap((grant) => {
      const to = grant.to.filter((pattern) => caller.principals.some(({ id }) => matches(pattern, id)));
      return to.length > 0 ? [{ ...grant, to }] : [];
    });
    return [...builtIn, ...given];
  }

  #of(principal: string): ReadonlyMap<Action, readonly Pattern[]> {
    const known = this.#patterns.get(principal);
    if (known) return known;
    const texts = new Map<Action, Set<string>>(ACTIONS.map((action) => [action, new Set()]));
    for (const { to, actions, secrets } of this.grants) {
      if (!to.some((pattern) => matches(pattern, principal))) continue;
      for (const action of actions) for (const secret of secrets) texts.get(action)?.add(secret);
    }
    const patterns = new Map<Action, Pattern[]>();
    for (const [action, secrets] of texts) {
      if (secrets.size > 0)
        patterns.set(
          action,
          Array.from(secrets, (secret) => new Pattern(secret)),
        );
    }
    if (this.#patterns.size >= CACHED_PRINCIPALS) this.#patterns.clear();
    this.#patterns.set(principal, patterns);
    return patterns;
  }
}
