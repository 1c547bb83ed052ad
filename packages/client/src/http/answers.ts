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
  id128,
  list,
  malformed,
  object,
  serverKey,
  string,
  version,
  word,
} from './shapes.js';

export function secretInfo(value: unknown, path = 'the body'): SecretInfo {
  const fields = object(value, path);
  return {
    name: string(fields.Name, `${path}.Name`),
    versions: list(fields.Versions ?? [], `${path}.Versions`, version),
    activeVersion: version(fields.ActiveVersion, `${path}.ActiveVersion`),
  };
}

/** Nothing visible is `null` on the wire. */
export function secretList(value: unknown): SecretInfo[] {
  return list(value ?? [], 'the body', secretInfo);
}

export function secretValue(value: unknown): SecretValue {
  const fields = object(value, 'the body');
  return {
    value: bytes(fields.Value ?? '', 'the body.Value'),
    version: version(fields.Version, 'the body.Version'),
  };
}

export function secretAnswers(value: unknown): SecretAnswer[] {
  return list(object(value, 'the body').secrets, 'the body.secrets', secretAnswer);
}

function secretAnswer(value: unknown, path: string): SecretAnswer {
  const fields = object(value, path);
  const name = string(fields.name, `${path}.name`);
  if (fields.error !== undefined) return { name, error: errorCode(fields.error, `${path}.error`) };
  const number = version(fields.version, `${path}.version`);
  if (fields.unchanged === true) return { name, version: number, unchanged: true };
  return { name, version: number, value: bytes(fields.value, `${path}.value`) };
}

/** A secret as a watch tells it. */
export function changedSecret(value: unknown): SecretInfo {
  const fields = object(value, 'the event');
  return {
    name: string(fields.name, 'the event.name'),
    versions: list(fields.versions, 'the event.versions', version),
    activeVersion: version(fields.activeVersion, 'the event.activeVersion'),
  };
}

export function deletedSecret(value: unknown): string {
  return string(object(value, 'the event').name, 'the event.name');
}

/** Why a watch ends, or a rotation does not go on. */
export function problem(value: unknown, path = 'the event'): { code: string; message: string } {
  const fields = object(value, path);
  return {
    code: errorCode(fields.code, `${path}.code`),
    message: clean(Buffer.from(string(fields.message, `${path}.message`))),
  };
}

export function whoami(value: unknown): Whoami {
  const fields = object(value, 'the body');
  const server = object(fields.server, 'the body.server');
  return {
    principals: list(fields.principals, 'the body.principals', principal),
    grants: list(fields.grants, 'the body.grants', grant),
    server: {
      version: word(server.version, 'the body.server.version'),
      storeId: id128(server.storeId, 'the body.server.storeId'),
      serverKey: serverKey(server.serverKey, 'the body.server.serverKey'),
      development: server.development === true,
    },
  };
}

export function grant(value: unknown, path: string): Grant {
  const fields = object(value, path);
  return {
    to: list(fields.to, `${path}.to`, string),
    // A newer server may know actions that we do not; to read a policy we need not know them.
    actions: list(fields.actions, `${path}.actions`, string) as Action[],
    secrets: list(fields.secrets, `${path}.secrets`, string),
    ...(fields.when == null ? {} : { when: conditions(fields.when, `${path}.when`) }),
  };
}

function conditions(value: unknown, path: string): GrantConditions {
  const { application, host, ...others } = object(value, path);
  // Without a condition that we do not know, the grant would seem to be wider than it is.
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw malformed(`${path}.${unknown}`, 'a condition that this client knows');
  return {
    ...(application == null ? {} : { application: list(application, `${path}.application`, string) }),
    ...(host == null ? {} : { host: list(host, `${path}.host`, string) }),
  };
}

function principal(value: unknown, path: string): Principal {
  const fields = object(value, path);
  return {
    id: string(fields.id, `${path}.id`),
    kind: word(fields.kind, `${path}.kind`),
    ...(fields.name == null ? {} : { name: string(fields.name, `${path}.name`) }),
  };
}
