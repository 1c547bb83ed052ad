export type { PolicyDifference, PolicyOptions, TokenInfo } from './administration.js';
export type { AnswerRoom } from './answer-room.js';
export { mergeByTime } from './audit/copies/merge.js';
export type { CopiesFacts } from './audit/copies/publisher.js';
export type { ChainInfo } from './audit/copies/reader.js';
export { endOfLog } from './audit/copy.js';
export { AUDIT_ACTIONS } from './audit/entry.js';
export { type AuditFilter, requireKnownAction } from './audit/filter.js';
export { SEGMENT_BYTES, SEGMENT_DAYS } from './audit/log.js';
export { type AuditRange, type LogEnd, readLog } from './audit/reader.js';
export type { AuditHead, AuditInstances, AuditQuery, AuditReadOptions } from './audit/reading.js';
export type { Signer } from './audit/signer.js';
export {
  type AuditBreak,
  type AuditRemark,
  type AuditVerdict,
  AuditVerifier,
  type KnownLine,
  type KnownVerdict,
  type VerifyOptions,
} from './audit/verifier.js';
export { type VerifyLogOptions, verifyAuditLog } from './audit/verify.js';
export type { BackupContent, Signing } from './backup/check.js';
export type { Damage, DamagedValue, LogDamage } from './backup/damage.js';
export type { FoundDamage } from './backup/format.js';
export type { Merged, SecretsDifference } from './backup/merge.js';
export type { BackupFacts } from './backup/produce.js';
export { type Restored, type RestoreOptions, restoreBackup } from './backup/restore.js';
export { type VerifyBackupOptions, verifyBackup } from './backup/verify.js';
export { type ClosedSource, writeBackup } from './backup/write.js';
export {
  type Caller,
  type Conditions,
  NATS_PERMISSION,
  type Principal,
  type PrincipalKind,
  SERVER,
  type Session,
} from './caller.js';
export { counted } from './counted.js';
export { parseRootKey, type RootKeySpec } from './crypto/root-key-spec.js';
export { canLockMemory } from './crypto/secure-memory.js';
export { Engine } from './engine.js';
export { CofferError, type ErrorCode } from './errors.js';
export type { EngineFacts } from './facts.js';
export { makeFolders, rightsOfOthers } from './files.js';
export type { ForeignFetch, ForeignReference } from './foreign.js';
export { ACTIONS, type Action, canonical, type Grant } from './grant.js';
export { type AuditTailState, inspectAuditTail } from './inspect/audit-tail.js';
export { type AuditWitness, type AuditWitnessOptions, auditWitness } from './inspect/audit-witness.js';
export { type BucketState, inspectBucket } from './inspect/bucket.js';
export { inspectBucketKey } from './inspect/bucket-key.js';
export { storeOwner } from './inspect/owner.js';
export { inspectRootKey, type RootKeyState } from './inspect/root-key.js';
export { type InspectStoreOptions, inspectStore, type StoreKeys, type StoreState } from './inspect/store.js';
export { MANY_BYTES, MANY_REQUESTS, type ManyAnswer, type ManyOptions, type ManyRequest } from './many.js';
export type { Mapping } from './mappings.js';
export type { Migrated, MigrateOptions, MigrateProgress } from './migrate/options.js';
export { migrateToEmbedded } from './migrate/to-embedded.js';
export { migrateToJetStream } from './migrate/to-jetstream.js';
export { DEFAULT_LIMITS, type Limits, MAX_VERSION } from './names.js';
export type { Change } from './operations.js';
export { AUDIT_FOLDER, type AuditSettings, DEFAULT_MIN_FREE_BYTES, type EngineOptions } from './options.js';
export type { IssuedRecord, Revocation } from './policy-record.js';
export type { RetentionRule } from './retention/rules.js';
export type { RevocationRequest } from './revocation.js';
export type { DataKeyInfo, KeysInfo, Rotation } from './rotation/keys.js';
export type { RotationProgress } from './rotation/rewriter.js';
export type { SecretInfo, SecretValue, ValueOptions } from './secret.js';
export { requireSync } from './storage/jetstream/fitness.js';
export {
  DEFAULT_AUDIT_MAX_BYTES,
  DEFAULT_BOUND_MS,
  DEFAULT_MAX_BYTES,
  type JetStreamOptions,
} from './storage/jetstream/options.js';
export { JetStreamStorage } from './storage/jetstream/storage.js';
export { LmdbStorage } from './storage/lmdb.js';
export type {
  HealReport,
  MemberName,
  MemberStatus,
  ReplicaCount,
  SetAside,
  SharedHealth,
  SharedStatus,
  StorageAlarm,
} from './storage/shared.js';
export type {
  Storage,
  StorageChange,
  StorageEvent,
  StorageSnapshot,
  StoredRecord,
  Summariser,
} from './storage/storage.js';
export type { StorageInfo } from './storage-care.js';
export { Timings, type TimingsSnapshot } from './timings.js';
export type { NewTransitKey, TransitKeyInfo, TransitKeyName, TransitKeyPair } from './transit-keys.js';
export type { WatchEnd, WatchEvent } from './watch/watch.js';
export {
  DEFAULT_WATCH_LIMITS,
  WATCH_PATTERNS,
  type WatchLimits,
  type WatchOptions,
} from './watch/watchers.js';
export { CONDITIONS, type When } from './when.js';
