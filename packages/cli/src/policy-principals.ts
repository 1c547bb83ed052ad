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
export function needsNames(id: string): boolean {
  const { account, user } = partsOf(id) ?? {};
  return (account !== undefined && isName(account)) || (user !== undefined && isName(user));
}

/**
 * The id with its names made keys: `nats:ACCOUNT/USER`, `nats-tag:ACCOUNT:TAG`. Keys, and patterns with a `*` in the
 * account, stay as they are.
 *
 * @throws Failure if a name is not exactly one key's
 */
export function resolveId(id: string, names: IdentityNames): string {
  const parts = partsOf(id);
  if (parts === undefined || !needsNames(id)) return id;
  const { prefix, account, user, tag } = parts;
  const key = isName(account) ? names.accountKey(account) : account;
  if (tag !== undefined) return `${prefix}${key}:${tag}`;
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
}

function partsOf(id: string): Parts | undefined {
  const tagged = /^(?<prefix>nats-tag:)(?<account>[^:]+):(?<tag>.+)$/s.exec(id)?.groups;
  const user = /^(?<prefix>nats:)(?<account>[^/]+)\/(?<user>.+)$/s.exec(id)?.groups;
  return (tagged ?? user) as Parts | undefined;
}

/** What has the form of a key is one, right or wrong: nobody's name has it. */
const isName = (part: string): boolean => !part.includes('*') && !/^[A-Z2-7]{56}$/.test(part);
