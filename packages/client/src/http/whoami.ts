import type { Action, Grant, GrantConditions, Principal, Whoami } from '../types.js';
import { formed, list, malformed, object, record, type Shape, string } from './shapes.js';

// Few programs ask who they are: this is loaded by those that do.

/** A field that may be left out; {@link record} then leaves it out too. */
export const optional = <T>(shape: Shape<T>): Shape<T> =>
  ((value, path) => (value == null ? undefined : shape(value, path))) as Shape<T>;

/** Printable ASCII without a space: the version of a server, a token, a kind. */
export const word = formed(/^[\x21-\x7e]{1,256}$/, 'a word of printable characters');
/** Of a store or a backup. */
export const id128 = formed(/^[0-9a-f]{32}$/, 'an id of 32 digits in hex');
export const serverKey = formed(/^N[A-Z2-7]{55}$/, 'the public key of a server');

/** True, or else false. */
export const flag: Shape<boolean> = (value) => value === true;

const CONDITIONS = { application: optional(list(string)), host: optional(list(string)) };

const conditions: Shape<GrantConditions> = (value, path) => {
  // Without a condition that we do not know, the grant would seem to be wider than it is.
  const unknown = Object.keys(object(value, path)).find((key) => !Object.hasOwn(CONDITIONS, key));
  if (unknown !== undefined) throw malformed(`${path}.${unknown}`, 'a condition that this client knows');
  return record<GrantConditions>(CONDITIONS)(value, path);
};

export const grant = record<Grant>({
  to: list(string),
  // A newer server may know actions that we do not; to read a policy we need not know them.
  actions: list(string) as Shape<Action[]>,
  secrets: list(string),
  when: optional(conditions),
});

const principal = record<Principal>({ id: string, kind: word, name: optional(string) });

export const whoami = record<Whoami>({
  principals: list(principal),
  grants: list(grant),
  server: record({ version: word, storeId: id128, serverKey, development: flag }),
});
