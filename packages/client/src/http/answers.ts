import type {
  Action,
  Grant,
  GrantConditions,
  Principal,
  SecretAnswer,
  SecretInfo,
  SecretValue,
  Whoami,
} from '../types.js';
import { clean } from './refusal.js';
import {
  bytes,
  errorCode,
  flag,
  id128,
  inside,
  list,
  malformed,
  object,
  optional,
  or,
  record,
  type Shape,
  serverKey,
  string,
  version,
  word,
} from './shapes.js';

/** As `list` and `info` answer, and as a watch tells it. */
export const secretInfo = record<SecretInfo>({
  name: string,
  versions: or(list(version), []),
  activeVersion: version,
});

/** Nothing visible is `null` on the wire. */
export const secretList = or(list(secretInfo), []);

export const secretValue = record<SecretValue>({ value: or(bytes, ''), version });

const refused = record<{ name: string; error: string }>({ name: string, error: errorCode });
const unchanged = record<{ name: string; version: number; unchanged: true }>({
  name: string,
  version,
  unchanged: () => true,
});
const told = record<{ name: string; version: number; value: SecretValue['value'] }>({
  name: string,
  version,
  value: bytes,
});

const secretAnswer: Shape<SecretAnswer> = (value, path) => {
  const fields = object(value, path);
  const shape: Shape<SecretAnswer> =
    fields.error != null ? refused : fields.unchanged === true ? unchanged : told;
  return shape(value, path);
};

export const secretAnswers = inside('secrets', list(secretAnswer));

/** A secret that is no more, as a watch tells it. */
export const deletedSecret = record<{ name: string }>({ name: string });

/** Why a watch ends, or a rotation does not go on. */
export const problem = record<{ code: string; message: string }>({
  code: errorCode,
  message: (value, path) => clean(Buffer.from(string(value, path))),
});

const CONDITIONS = { application: optional(list(string)), host: optional(list(string)) };

const conditions: Shape<GrantConditions> = (value, path) => {
  // Without a condition that we do not know, the grant would seem to be wider than it is.
  const unknown = Object.keys(object(value, path)).find((key) => !(key in CONDITIONS));
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
