import { grant, problem } from '../http/answers.js';
import {
  date,
  formed,
  id128,
  list,
  malformed,
  object,
  serverKey,
  string,
  whole,
  word,
} from '../http/shapes.js';
import type {
  AuditHead,
  AuditLineRef,
  KeyRotation,
  Keys,
  NewToken,
  Policy,
  PolicyChange,
  Revocation,
  TokenInfo,
  TransitKey,
} from './types.js';

const SHA_256 = /^[0-9a-f]{64}$/;
const XKEY = /^X[A-Z2-7]{55}$/;
const TOKEN_ID = /^[0-9a-f]{16}$/;

/** What a backup says of itself at its beginning. */
export function backupPreamble(value: unknown): { backupId: string; storeId: string; madeAt: Date } {
  const fields = object(value, 'the backup');
  return {
    backupId: id128(fields.backupId, 'the backup.backupId'),
    storeId: id128(fields.storeId, 'the backup.storeId'),
    madeAt: date(fields.madeAt, 'the backup.madeAt'),
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
