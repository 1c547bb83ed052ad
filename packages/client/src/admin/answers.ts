import { problem } from '../http/answers.js';
import {
  formed,
  inside,
  isWhole,
  list,
  malformed,
  object,
  record,
  type Shape,
  string,
} from '../http/shapes.js';
import { flag, grant, id128, optional, serverKey, word } from '../http/whoami.js';
import type {
  AuditHead,
  AuditInstances,
  AuditLineRef,
  HealReport,
  KeyRotation,
  Keys,
  MemberName,
  NewToken,
  Policy,
  PolicyChange,
  Revocation,
  SetAside,
  SharedStorageStatus,
  StorageAlarm,
  StorageStatus,
  TokenInfo,
  TransitKey,
} from './types.js';

const RFC_3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/;

const id64 = formed(/^[0-9a-f]{16}$/, 'an id of 16 digits in hex');
const sha256 = formed(/^[0-9a-f]{64}$/, 'a SHA-256 in hex');
const backendKey = formed(/^[XN][A-Z2-7]{55}$/, 'the public key of an xkey or a server’s nkey');

const whole: Shape<number> = (value, path) => {
  if (!isWhole(value) || value < 0) throw malformed(path, 'a whole number');
  return value;
};

const date: Shape<Date> = (value, path) => {
  const parsed = new Date(typeof value === 'string' && RFC_3339.test(value) ? value : Number.NaN);
  if (Number.isNaN(parsed.getTime())) throw malformed(path, 'an RFC 3339 time');
  return parsed;
};

/** What a backup says of itself at its beginning. */
export const backupPreamble = record<{ backupId: string; storeId: string; madeAt: Date }>({
  backupId: id128,
  storeId: id128,
  madeAt: date,
});

const token = {
  id: id64,
  name: string,
  createdAt: date,
  createdBy: string,
  expiresAt: optional(date),
  revokedAt: optional(date),
};
export const tokenInfo = record<TokenInfo>(token);
export const newToken = record<NewToken>({ ...token, token: word });
export const tokenList = inside('tokens', list(tokenInfo));

export const policy = record<Policy>({ generation: whole, grants: list(grant) });

export const policyChange = record<PolicyChange>({
  added: list(grant),
  removed: list(grant),
  unchanged: whole,
  generation: whole,
});

export const revocation = record<Revocation>({
  id: id64,
  // Taken for the other one it would be lifted, or made again, in vain.
  kind: formed(/^(token|key)$/, 'a kind of revocation') as Shape<Revocation['kind']>,
  value: word,
  reason: string,
  revokedAt: date,
  revokedBy: string,
});
export const revocationList = inside('revocations', list(revocation));

export const transitKey = record<TransitKey>({
  backend: word,
  publicKey: backendKey,
  createdAt: date,
  createdBy: string,
  current: flag,
  lastUsedAt: optional(date),
});
export const transitKeyList = inside('keys', list(transitKey));

const auditLine = record<AuditLineRef>({ seq: whole, hash: sha256 });
export const auditHead = record<AuditHead>({
  head: auditLine,
  anchor: auditLine,
  first: whole,
  storeId: id128,
  serverKey,
});

const chain = formed(/^[0-9a-f]{16}(-[1-9]\d*)?$/, 'a chain of an instance');
export const auditInstances = record<AuditInstances>({
  own: optional(
    record<NonNullable<AuditInstances['own']>>({
      instance: id64,
      chain,
      delivered: optional(auditLine),
      pending: whole,
      pendingSince: optional(date),
      problem: optional(problem),
    }),
  ),
  chains: list(
    record<AuditInstances['chains'][number]>({
      chain,
      instance: id64,
      name: string,
      first: whole,
      head: auditLine,
      time: date,
    }),
  ),
});

const storageAlarm = record<StorageAlarm>({ kind: word, message: string, instance: id64, at: date });

const shared = record<SharedStorageStatus>({
  instance: id64,
  connected: flag,
  problem: optional(problem),
  alarm: optional(storageAlarm),
  lacksRootKey: optional(flag),
  replicaAgeMs: optional(whole),
  replicaSequence: whole,
  streamSequence: optional(whole),
  bucket: word,
  replicas: whole,
  // What is not known to be synced is not.
  sync: (value) => (value === 'always' || value === 'stated' ? value : 'lazy'),
  bytes: optional(whole),
  maxBytes: optional(whole),
  conflicts: whole,
  inDoubt: whole,
  servers: list(
    record<SharedStorageStatus['servers'][number]>({ name: string, leader: flag, current: flag }),
  ),
  members: list(
    record<SharedStorageStatus['members'][number]>({
      instance: id64,
      name: string,
      version: string,
      confirmed: whole,
      seenAt: date,
      alive: flag,
      ended: optional(flag),
      lacksRootKey: optional(flag),
    }),
  ),
});

const ownStorage = record<Omit<StorageStatus, 'shared'>>({
  usedBytes: whole,
  quotaBytes: optional(whole),
  writable: flag,
});

export const storageStatus: Shape<StorageStatus> = (value, path) => {
  const own = ownStorage(value, path);
  return object(value, path).kind === 'jetstream' ? { ...own, shared: shared(value, path) } : own;
};

export const member = record<MemberName>({ instance: id64, name: string });

export const healReport = record<HealReport>({
  dryRun: flag,
  alarm: optional(storageAlarm),
  refusal: optional(problem),
  compared: list(id64),
  absent: list(id64),
  restored: whole,
  removed: whole,
  forks: list(
    record<HealReport['forks'][number]>({
      key: word,
      keptAs: word,
      winner: word,
      other: word,
      secret: optional(string),
    }),
  ),
  damaged: list(record<HealReport['damaged'][number]>({ key: word, keptAs: word })),
  taken: list(
    record<HealReport['taken'][number]>({
      what: word,
      target: string,
      version: optional(whole),
    }),
  ),
  foreign: whole,
  setAside: whole,
});

export const setAside = record<SetAside>({ records: whole, bytes: whole, removed: flag });

const rotation = optional(
  record<KeyRotation>({ total: whole, remaining: whole, problem: optional(problem) }),
);
export const keyRotation = inside<KeyRotation | undefined>('rotation', rotation);

export const keys = record<Keys>({
  rootKey: record<Keys['rootKey']>({
    kind: word,
    id: optional(word),
    since: optional(date),
  }),
  lacksRootKey: optional(flag),
  dataKeys: list(
    record<Keys['dataKeys'][number]>({
      id: whole,
      createdAt: date,
      state: (value) => (value === 'active' ? value : 'retiring'),
      records: whole,
    }),
  ),
  rotation,
});
