import { Failure } from './failure.js';
import { quote } from './quote.js';

/** A principal as a policy file may write it, and its id. */
export interface ResolvedName {
  readonly name: string;
  readonly id: string;
}

/** Finds keys by the names that people gave to accounts and users. */
export interface IdentityNames {
  /** @throws an error with a sentence for a person, if there is not exactly one */
  accountKey(name: string): string;
  /** @param account a public key */
  userKey(account: string, name: string): string;
}

/** Whether an id holds a name, which only somebody who knows the identities can make a key of. */
function needsNames(id: string): boolean {
  const { account, user } = partsOf(id) ?? {};
  return (account !== undefined && isName(account)) || (user !== undefined && isName(user));
}

/**
 * The id with its names made keys: `nats:ACCOUNT/USER`, `nats-tag:ACCOUNT:TAG`, `component:ACCOUNT/KEY`, `provider:ACCOUNT/KEY`.
 * Keys, and patterns with a `*` in the account, stay as they are.
 *
 * @throws Failure if a name is not exactly one key's
 */
function resolveId(id: string, names: IdentityNames): string {
  const parts = partsOf(id);
  if (parts === undefined || !needsNames(id)) return id;
  const { prefix, account, user, tag, entity } = parts;
  const key = isName(account) ? names.accountKey(account) : account;
  if (tag !== undefined) return `${prefix}${key}:${tag}`;
  if (entity !== undefined) return `${prefix}${key}/${entity}`;
  if (user === undefined || !isName(user)) return `${prefix}${key}/${user ?? ''}`;
  if (key.includes('*')) {
    throw new Failure(`${quote(id)}: whose user ${quote(user)} is meant cannot be told: name the account`);
  }
  return `${prefix}${key}/${names.userKey(key, user)}`;
}

interface Parts {
  readonly prefix: string;
  readonly account: string;
  readonly user?: string;
  readonly tag?: string;
  /** A component or provider, which has no name that is only its own. */
  readonly entity?: string;
}

function partsOf(id: string): Parts | undefined {
  const tagged = /^(?<prefix>nats-tag:)(?<account>[^:]+):(?<tag>.+)$/s.exec(id)?.groups;
  const user = /^(?<prefix>nats:)(?<account>[^/]+)\/(?<user>.+)$/s.exec(id)?.groups;
  const entity = /^(?<prefix>component:|provider:)(?<account>[^/]+)\/(?<entity>.+)$/s.exec(id)?.groups;
  return (tagged ?? user ?? (entity?.account === SELF_ISSUED ? undefined : entity)) as Parts | undefined;
}

/** In the place of an account: what is believed on its own word. */
const SELF_ISSUED = 'self-issued';

/** What has the form of a key is one, right or wrong: nobody's name has it. */
const isName = (part: string): boolean => !part.includes('*') && !/^[A-Z2-7]{56}$/.test(part);

/** Reads principals: ids as they are, and what stands for one. */
export class PrincipalReader {
  readonly #openNames: () => IdentityNames;
  readonly #aliases: ReadonlyMap<string, string> | undefined;
  readonly #resolved = new Map<string, string>();
  #names: IdentityNames | undefined;

  constructor(aliases: unknown, openNames: () => IdentityNames) {
    this.#openNames = openNames;
    this.#aliases = aliases === undefined ? undefined : this.#readAliases(aliases);
  }

  get resolved(): ResolvedName[] {
    return Array.from(this.#resolved, ([name, id]) => ({ name, id }));
  }

  readonly read = (value: unknown, path: string): string => {
    const word = text(value, path);
    const alias = this.#aliases?.get(word);
    if (alias !== undefined) return alias;
    // Ids have a colon, but for these; with aliases in use, another word is a misspelt one.
    const isPlain = !/[:*]/.test(word) && !BUILT_IN.has(word);
    if (this.#aliases !== undefined && isPlain) {
      throw new Failure(
        `${path}: ${quote(word)} is no alias of this file: write one, or the id of a principal`,
      );
    }
    return this.#resolve(word, word, path);
  };

  #readAliases(value: unknown): Map<string, string> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Failure('aliases: must hold names, each with the id of a principal');
    }
    return new Map(
      Object.entries(value).map(([name, id]) => {
        const path = `aliases.${name}`;
        if (!ALIAS.test(name) || BUILT_IN.has(name)) {
          throw new Failure(`aliases: ${quote(name)} cannot be an alias: letters, digits, dots, - and _ can`);
        }
        return [name, this.#resolve(name, text(id, path), path)];
      }),
    );
  }

  #resolve(name: string, id: string, path: string): string {
    let found = id;
    if (needsNames(id)) {
      this.#names ??= this.#openNames();
      try {
        found = resolveId(id, this.#names);
      } catch (error) {
        throw error instanceof Failure ? new Failure(`${path}: ${error.message}`) : error;
      }
    }
    if (found !== name) this.#resolved.set(name, found);
    return found;
  }
}

const ALIAS = /^[\p{L}\p{N}][\p{L}\p{N}._-]{0,99}$/u;
/** Ids without a colon. */
const BUILT_IN: ReadonlySet<string> = new Set(['socket', 'dev', 'server', 'nats-permission']);

export function text(value: unknown, path: string): string {
  if (typeof value !== 'string' || value === '') throw new Failure(`${path}: must be text`);
  return value;
}
