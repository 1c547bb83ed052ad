import { type Caller, NATS_PERMISSION, type Principal } from './caller.js';
import { ACTIONS, type Action, type Grant } from './grant.js';
import { matches, Pattern } from './patterns.js';
import { Requirement } from './when.js';

/** These two are the machine's own administrators; they have every right on every secret. */
const EVERYTHING = new Set(['dev', 'socket']);

/** How many principals' grants are kept ready. */
const CACHED_PRINCIPALS = 10_000;

/** What the grants give to one principal. */
interface Rights {
  readonly always: ReadonlyMap<Action, readonly Pattern[]>;
  readonly sometimes: readonly ConditionalRight[];
}

/** What a principal may also `get`, and when. */
interface ConditionalRight {
  readonly requirement: Requirement;
  readonly secrets: readonly Pattern[];
}

/** Decides what a caller may do. Holds one state of the grants; a changed policy is a new one. */
export class Policy {
  readonly grants: readonly Grant[];
  readonly #rights = new Map<string, Rights>();
  #index: GrantIndex | undefined;

  constructor(grants: readonly Grant[]) {
    this.grants = grants;
  }

  allows(caller: Caller, action: Action, secret: string): boolean {
    for (const { id } of caller.principals) {
      if (EVERYTHING.has(id)) return true;
      const rights = this.#of(id);
      for (const pattern of rights.always.get(action) ?? []) if (pattern.matches(secret)) return true;
      if (rights.sometimes.length > 0 && action === 'get' && mayGet(caller, rights, secret)) return true;
    }
    return false;
  }

  /** All patterns of secrets on which the caller has this right as it comes now, sorted; empty if there is none. */
  patternsOf(caller: Caller, action: Action): readonly string[] {
    const texts = caller.principals.flatMap(({ id }) => {
      if (EVERYTHING.has(id)) return ['*'];
      const rights = this.#of(id);
      const held = action === 'get' ? heldBy(caller, rights).flatMap(({ secrets }) => secrets) : [];
      return [...(rights.always.get(action) ?? []), ...held].map(({ text }) => text);
    });
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
        EVERYTHING.has(id) || (this.#of(id).always.get('admin') ?? []).some((outer) => outer.covers(pattern)),
    );
  }

  /** True if the caller administers something at all. */
  isSomeAdministrator(caller: Caller): boolean {
    return caller.principals.some(({ id }) => EVERYTHING.has(id) || this.#of(id).always.has('admin'));
  }

  /** True if the caller may say which components and providers get these secrets. */
  mayMap(caller: Caller, names: readonly string[]): boolean {
    const isPermitted = caller.principals.some(({ id }) => id === NATS_PERMISSION.id);
    return isPermitted || names.every((name) => this.administers(caller, name));
  }

  /** True for who may read the numbers of the whole server: for that the secrets of a grant mean nothing. */
  mayReadMetrics(caller: Caller): boolean {
    return (
      this.isAdministrator(caller) || caller.principals.some(({ id }) => this.#of(id).always.has('metrics'))
    );
  }

  /**
   * The grants that apply to a caller, without whom else they are to; those with conditions too, whether they hold or not.
   * `dev`, `socket` and `nats-permission` have one built in.
   */
  grantsOf(caller: Caller): Grant[] {
    const builtIn = caller.principals.flatMap((principal) => builtInGrant(principal) ?? []);
    const open = caller.principals.filter(({ id }) => id !== NATS_PERMISSION.id);
    const given = this.grants.flatMap((grant) => {
      const to = grant.to.filter((pattern) => open.some(({ id }) => matches(pattern, id)));
      return to.length > 0 ? [{ ...grant, to }] : [];
    });
    return [...builtIn, ...given];
  }

  #of(principal: string): Rights {
    const known = this.#rights.get(principal);
    if (known) return known;
    const rights = rightsFrom(
      principal === NATS_PERMISSION.id ? [PERMISSION_GRANT] : this.#grantsTo(principal),
    );
    if (this.#rights.size >= CACHED_PRINCIPALS) this.#rights.clear();
    this.#rights.set(principal, rights);
    return rights;
  }

  #grantsTo(principal: string): Iterable<Grant> {
    this.#index ??= new GrantIndex(this.grants);
    return this.#index.to(principal);
  }
}

/** Finds what is granted to a principal without a look at what is granted to others by their ids. */
class GrantIndex {
  readonly #byId = new Map<string, Grant[]>();
  readonly #byPattern: { readonly to: Pattern; readonly grant: Grant }[] = [];

  constructor(grants: readonly Grant[]) {
    for (const grant of grants) for (const to of grant.to) this.#add(to, grant);
  }

  to(principal: string): Iterable<Grant> {
    const byPattern = this.#byPattern.filter(({ to }) => to.matches(principal)).map(({ grant }) => grant);
    return new Set([...(this.#byId.get(principal) ?? []), ...byPattern]);
  }

  #add(to: string, grant: Grant): void {
    const known = this.#byId.get(to);
    if (to.includes('*')) this.#byPattern.push({ to: new Pattern(to), grant });
    else if (known) known.push(grant);
    else this.#byId.set(to, [grant]);
  }
}

/** What the principal of unsigned requests over NATS may, beside mapping. Grants to everybody are none to it. */
const PERMISSION_GRANT: Grant = { to: [NATS_PERMISSION.id], actions: ['put', 'activate'], secrets: ['*'] };

function builtInGrant({ id }: Principal): Grant | undefined {
  if (id === NATS_PERMISSION.id) return PERMISSION_GRANT;
  return EVERYTHING.has(id) ? { to: [id], actions: ACTIONS, secrets: ['*'] } : undefined;
}

function rightsFrom(grants: Iterable<Grant>): Rights {
  const texts = new Map<Action, Set<string>>();
  const sometimes: ConditionalRight[] = [];
  for (const { actions, secrets, when } of grants) {
    if (when) {
      // There is no conditional grant of anything else.
      if (actions.includes('get')) {
        sometimes.push({ requirement: new Requirement(when), secrets: patternsFrom(secrets) });
      }
      continue;
    }
    for (const action of actions) {
      const known = texts.get(action) ?? new Set();
      for (const secret of secrets) known.add(secret);
      texts.set(action, known);
    }
  }
  const always = new Map(Array.from(texts, ([action, secrets]) => [action, patternsFrom(secrets)]));
  return { always, sometimes };
}

const patternsFrom = (texts: Iterable<string>): Pattern[] => Array.from(texts, (text) => new Pattern(text));

/** Those of the conditional rights that the caller has as it comes now. */
function heldBy({ conditions }: Caller, { sometimes }: Rights): readonly ConditionalRight[] {
  return conditions ? sometimes.filter(({ requirement }) => requirement.isMetBy(conditions)) : [];
}

const mayGet = (caller: Caller, rights: Rights, secret: string): boolean =>
  heldBy(caller, rights).some(({ secrets }) => secrets.some((pattern) => pattern.matches(secret)));
