import { CofferClientError } from '../errors.js';
import { decodeBase64 } from '../secret/base64.js';
import type { SecretBytes } from '../secret/secret-bytes.js';
import type {
  Action,
  AuditHead,
  AuditLineRef,
  Grant,
  GrantConditions,
  KeyRotation,
  Keys,
  NewToken,
  Policy,
  PolicyChange,
  Principal,
  Revocation,
  SecretAnswer,
  SecretInfo,
  SecretValue,
  TokenInfo,
  TransitKey,
  Whoami,
} from '../types.js';
import { clean } from './refusal.js';

/**
 * Turns the server's answers into types that cannot be wrong. What is not as it should be is `bad_answer` with
 * the path of the field; messages name fields, never what stands in them.
 */

const MAX_VERSION = 2 ** 32 - 1;
/** What ids, keys and codes look like: they go to terminals and into commands as they are. */
const ID_128 = /^[0-9a-f]{32}$/;
const SHA_256 = /^[0-9a-f]{64}$/;
const SERVER_KEY = /^N[A-Z2-7]{55}$/;
const XKEY = /^X[A-Z2-7]{55}$/;
const TOKEN_ID = /^[0-9a-f]{16}$/;
const CODE = /^[a-z][a-z0-9_]{0,63}$/;
const WORD = /^[\x21-\x7e]{1,256}$/;
const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

/** Reads an answer's body. The parser's own error is dropped: it quotes the text, which may be a secret. */
export function parseJson(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw malformed('the body', 'JSON');
  }
}

/** A bare version number, as `put` answers. */
export function version(value: unknown, path = 'the body'): number {
  if (!isWhole(value) || value < 1 || value > MAX_VERSION) throw malformed(path, 'a version number');
  return value;
}

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
  if (fields.error !== undefined)
    return { name, error: formed(fields.error, `${path}.error`, CODE, 'an error code') };
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

/** What a backup says of itself at its beginning. */
export function backupPreamble(value: unknown): { backupId: string; storeId: string; madeAt: Date } {
  const fields = object(value, 'the backup');
  return {
    backupId: id128(fields.backupId, 'the backup.backupId'),
    storeId: id128(fields.storeId, 'the backup.storeId'),
    madeAt: date(fields.madeAt, 'the backup.madeAt'),
  };
}

/** Why a watch ends, or a rotation does not go on. */
export function problem(value: unknown, path = 'the event'): { code: string; message: string } {
  const fields = object(value, path);
  return {
    code: formed(fields.code, `${path}.code`, CODE, 'an error code'),
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

export function tokenList(value: unknown): TokenInfo[] {
  return list(object(value, 'the body').tokens, 'the body.tokens', tokenInfo);
}

export function newToken(value: unknown): NewToken {
  return { ...tokenInfo(value), token: word(object(value, 'the body').token, 'the body.token') };
}

export function tokenInfo(value: unknown, path = 'the body'): TokenInfo {
  const fields = object(value, path);
  return {
    id: formed(fields.id, `${path}.id`, TOKEN_ID, 'the id of a token'),
    name: string(fields.name, `${path}.name`),
    createdAt: date(fields.createdAt, `${path}.createdAt`),
    createdBy: string(fields.createdBy, `${path}.createdBy`),
    ...(fields.expiresAt == null ? {} : { expiresAt: date(fields.expiresAt, `${path}.expiresAt`) }),
    ...(fields.revokedAt == null ? {} : { revokedAt: date(fields.revokedAt, `${path}.revokedAt`) }),
  };
}

export function policy(value: unknown): Policy {
  const fields = object(value, 'the body');
  return {
    generation: whole(fields.generation, 'the body.generation'),
    grants: list(fields.grants, 'the body.grants', grant),
  };
}

export function revocationList(value: unknown): Revocation[] {
  return list(object(value, 'the body').revocations, 'the body.revocations', revocation);
}

export function revocation(value: unknown, path = 'the body'): Revocation {
  const fields = object(value, path);
  const { kind } = fields;
  // Taken for the other one it would be lifted, or made again, in vain.
  if (kind !== 'token' && kind !== 'key') throw malformed(`${path}.kind`, 'a kind of revocation');
  return {
    id: formed(fields.id, `${path}.id`, TOKEN_ID, 'an id of 16 digits in hex'),
    kind,
    value: word(fields.value, `${path}.value`),
    reason: string(fields.reason, `${path}.reason`),
    revokedAt: date(fields.revokedAt, `${path}.revokedAt`),
    revokedBy: string(fields.revokedBy, `${path}.revokedBy`),
  };
}

export function transitKeyList(value: unknown): TransitKey[] {
  return list(object(value, 'the body').keys, 'the body.keys', transitKey);
}

export function transitKey(value: unknown, path = 'the body'): TransitKey {
  const fields = object(value, path);
  return {
    backend: word(fields.backend, `${path}.backend`),
    publicKey: formed(fields.publicKey, `${path}.publicKey`, XKEY, 'the public key of an xkey'),
    createdAt: date(fields.createdAt, `${path}.createdAt`),
    createdBy: string(fields.createdBy, `${path}.createdBy`),
    current: fields.current === true,
    ...(fields.lastUsedAt == null ? {} : { lastUsedAt: date(fields.lastUsedAt, `${path}.lastUsedAt`) }),
  };
}

export function policyChange(value: unknown): PolicyChange {
  const fields = object(value, 'the body');
  return {
    added: list(fields.added, 'the body.added', grant),
    removed: list(fields.removed, 'the body.removed', grant),
    unchanged: whole(fields.unchanged, 'the body.unchanged'),
    generation: whole(fields.generation, 'the body.generation'),
  };
}

export function auditHead(value: unknown): AuditHead {
  const fields = object(value, 'the body');
  return {
    head: auditLine(fields.head, 'the body.head'),
    anchor: auditLine(fields.anchor, 'the body.anchor'),
    first: whole(fields.first, 'the body.first'),
    storeId: id128(fields.storeId, 'the body.storeId'),
    serverKey: serverKey(fields.serverKey, 'the body.serverKey'),
  };
}

function auditLine(value: unknown, path: string): AuditLineRef {
  const fields = object(value, path);
  return {
    seq: whole(fields.seq, `${path}.seq`),
    hash: formed(fields.hash, `${path}.hash`, SHA_256, 'a SHA-256 in hex'),
  };
}

export function keys(value: unknown): Keys {
  const fields = object(value, 'the body');
  const rootKey = object(fields.rootKey, 'the body.rootKey');
  const rotation = keyRotation(value);
  return {
    rootKey: {
      kind: word(rootKey.kind, 'the body.rootKey.kind'),
      ...(rootKey.id == null ? {} : { id: word(rootKey.id, 'the body.rootKey.id') }),
      ...(rootKey.since == null ? {} : { since: date(rootKey.since, 'the body.rootKey.since') }),
    },
    dataKeys: list(fields.dataKeys, 'the body.dataKeys', dataKey),
    ...(rotation && { rotation }),
  };
}

export function keyRotation(value: unknown): KeyRotation | undefined {
  const { rotation } = object(value, 'the body');
  if (rotation == null) return undefined;
  const fields = object(rotation, 'the body.rotation');
  return {
    total: whole(fields.total, 'the body.rotation.total'),
    remaining: whole(fields.remaining, 'the body.rotation.remaining'),
    ...(fields.problem == null ? {} : { problem: problem(fields.problem, 'the body.rotation.problem') }),
  };
}

function dataKey(value: unknown, path: string): Keys['dataKeys'][number] {
  const fields = object(value, path);
  return {
    id: whole(fields.id, `${path}.id`),
    createdAt: date(fields.createdAt, `${path}.createdAt`),
    state: fields.state === 'active' ? 'active' : 'retiring',
    records: whole(fields.records, `${path}.records`),
  };
}

function grant(value: unknown, path: string): Grant {
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

function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw malformed(path, 'an object');
  return value as Record<string, unknown>;
}

function list<T>(value: unknown, path: string, item: (value: unknown, path: string) => T): T[] {
  if (!Array.isArray(value)) throw malformed(path, 'a list');
  return value.map((each, index) => item(each, `${path}[${index}]`));
}

function string(value: unknown, path: string): string {
  if (typeof value !== 'string') throw malformed(path, 'a string');
  return value;
}

function formed(value: unknown, path: string, form: RegExp, what: string): string {
  if (typeof value !== 'string' || !form.test(value)) throw malformed(path, what);
  return value;
}

/** Printable ASCII without a space: the version of a server, a token, a kind. */
function word(value: unknown, path: string): string {
  return formed(value, path, WORD, 'a word of printable characters');
}

/** Of a store or a backup. */
function id128(value: unknown, path: string): string {
  return formed(value, path, ID_128, 'an id of 32 digits in hex');
}

function serverKey(value: unknown, path: string): string {
  return formed(value, path, SERVER_KEY, 'the public key of a server');
}

function whole(value: unknown, path: string): number {
  if (!isWhole(value) || value < 0) throw malformed(path, 'a whole number');
  return value;
}

function isWhole(value: unknown): value is number {
  return Number.isSafeInteger(value);
}

function date(value: unknown, path: string): Date {
  const parsed = new Date(typeof value === 'string' && RFC_3339.test(value) ? value : Number.NaN);
  if (Number.isNaN(parsed.getTime())) throw malformed(path, 'an RFC 3339 time');
  return parsed;
}

function bytes(value: unknown, path: string): SecretBytes {
  const decoded = decodeBase64(value);
  if (!decoded) throw malformed(path, 'base64');
  return decoded;
}

function malformed(path: string, expected: string): CofferClientError {
  return new CofferClientError(
    'bad_answer',
    `the server's answer is malformed: ${path} is not ${expected}; is this the address of a coffer server?`,
  );
}
